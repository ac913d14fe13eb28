"""Super-resolution: two networks, one distribution, and a small picture that is heard."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from playground import checkpoints
from playground.decoding.lane import Lane
from playground.decoding.run import Run
from playground.errors import CheckpointError, ConfigError
from playground.models.conditioned import as_drawn
from playground.models.super_resolution import (
    SuperResolution,
    SuperResolutionConfig,
    area_average,
    small_pictures,
)
from playground.tokenizers.image import ImageTokenizer
from tests.helpers import (
    ENLARGED,
    influence,
    picture_model,
    pixels_before,
    random_tokens,
    small_picture,
)

BOS, SIZE = 5, 48  # 5 levels, 6 x 8 pixels


@pytest.fixture(scope="module")
def model():
    return picture_model("super-resolution", **ENLARGED)


def prefix(count, length, seed=0):
    drawn = random_tokens(count, length - 1, seed=seed, vocab_size=BOS)
    return torch.cat((torch.full((count, 1), BOS), drawn), dim=1)


def test_the_logits_are_those_of_both_networks_summed(model):
    tokens, small = prefix(3, SIZE), small_picture(model, 3)
    rows = model.forward(tokens, small)
    said = model.conditioner(small).view(3, SIZE, BOS)
    torch.testing.assert_close(rows[..., :BOS], model.prior.forward(tokens)[..., :BOS] + said)
    assert bool((rows[..., BOS] < rows[..., :BOS].amin(-1) - 10).all())  # never drawn


@pytest.mark.parametrize("count", [1, 3])
def test_steps_are_forward_under_one_small_picture_or_one_a_row(model, count):
    tokens, small = prefix(3, SIZE), small_picture(model, count)
    rows = model.forward(tokens, small)
    _, state = model.step(tokens[:, :2], model.initial_state(3, small))
    for at in range(2, SIZE):
        logits, state = model.step(tokens[:, at : at + 1], state)
        torch.testing.assert_close(logits, rows[:, at], rtol=1e-4, atol=1e-4)
    every, _ = model.step_every(tokens, model.initial_state(3, small))
    torch.testing.assert_close(every, rows, rtol=1e-4, atol=1e-4)


def test_without_a_small_picture_it_is_the_prior(model):
    tokens = prefix(2, 20)
    assert torch.equal(model.forward(tokens), model.prior.forward(tokens))
    logits, _ = model.step(tokens, model.initial_state(2))
    assert torch.equal(logits, model.prior.step(tokens, model.prior.initial_state(2))[0])


def test_another_small_picture_is_another_distribution_everywhere(model):
    tokens = prefix(1, SIZE)
    one, other = (
        model.forward(tokens, small_picture(model, seed=seed)).softmax(-1) for seed in (0, 1)
    )
    assert bool(((one - other).abs().sum(-1) > 1e-3).all())


def test_rows_have_the_same_bits_alone_and_beside_others(model):
    tokens, small = prefix(5, 11), small_picture(model, 5)
    logits, state = model.step(tokens, model.initial_state(5, small))
    shuffled = torch.tensor([4, 1, 1, 0])
    selected, _ = model.step(tokens[shuffled, :1], state.select(shuffled))
    for i, row in enumerate(shuffled.tolist()):
        alone, own = model.step(tokens[row : row + 1], model.initial_state(1, small[row]))
        assert torch.equal(alone[0], logits[row])
        assert torch.equal(model.step(tokens[row : row + 1, :1], own)[0][0], selected[i])


def test_the_small_picture_shows_no_pixel_to_those_before_it(model):
    field = model.receptive_field(3, 4)
    assert np.array_equal(field, model.prior.receptive_field(3, 4))
    assert np.array_equal(influence(model, 3, 4).any(-1), field)
    assert not (field & ~pixels_before(model, 3, 4)).any()


def test_the_training_losses_are_those_of_the_sum_and_of_the_conditioner(model):
    tokens = random_tokens(2, SIZE, vocab_size=BOS)
    small, is_told = small_picture(model, 2), torch.tensor([True, False])
    total, alone = model.losses(tokens, small, is_told)
    told = model.nats(tokens[:1], small[:1]).mean()
    untold = model.nats(tokens[1:]).mean()
    torch.testing.assert_close(total, (told + untold) / 2)
    said = model.conditioner(small).view(2, SIZE, BOS)
    torch.testing.assert_close(alone, F.cross_entropy(said.transpose(1, 2), tokens))


def test_the_second_loss_teaches_the_conditioner_what_the_sum_alone_need_not():
    torch.manual_seed(0)  # of the weights
    config = SuperResolutionConfig(
        8, 8, levels=2, channels=8, n_layer=2, first_kernel_size=3, factor=4, n_block=1,
        conditioner_channels=8,
    )  # fmt: skip
    model = SuperResolution(config)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):  # four squares of one colour each: the small picture tells all
        squares = torch.randint(2, (16, 2, 2, 1), generator=generator)
        large = squares.repeat_interleave(4, 1).repeat_interleave(4, 2).view(16, -1)
        total, alone = model.losses(large, squares * 255, torch.ones(16, dtype=torch.bool))
        optimizer.zero_grad()
        (total + alone).backward()
        optimizer.step()
    assert alone.item() < 0.05  # of log 2 = 0.69
    assert total.item() < 0.05
    model.eval().requires_grad_(False)
    asked = torch.tensor([[0, 255], [255, 0]])[..., None]
    run = Run(as_drawn(model, 2, asked), [2], [Lane(seed=1)], max_new_tokens=64)
    for _ in run:
        pass
    picture = torch.tensor(run.trace(0, "m").tokens[-64:]).view(8, 8)
    wanted = (asked[..., 0] // 255).repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert (picture != wanted).sum() <= 2


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (3, r"got an array \(\)"),
        (torch.zeros(6, 8, 1, dtype=torch.int64), r"got an array \(6, 8, 1\). Average the picture"),
        (torch.zeros(2, 3, 4, 1, dtype=torch.int64), r"each of 3 rows; got an array \(2, 3, 4, 1"),
        (torch.zeros(3, 4, dtype=torch.uint8), r"an array \(3, 4, 1\)"),
        (torch.full((3, 4, 1), 256), "got 256 to 256"),
        (torch.full((3, 4, 1), -1), "from 0 to 255 .* got -1 to -1"),
        (torch.zeros(3, 4, 1), "got torch.float32"),
        (torch.zeros(3, 4, 1, dtype=torch.bool), "got torch.bool"),
        ("a boot", "got str"),
    ],
)
def test_a_condition_that_is_no_small_picture_is_explained(model, condition, says):
    for use in (lambda: model.initial_state(3, condition), lambda: model.forward(
        prefix(3, 4), condition
    )):  # fmt: skip
        with pytest.raises(ConfigError, match=says):
            use()


def test_bytes_of_numpy_are_a_small_picture_too(model):
    pixels = small_picture(model).to(torch.uint8)
    tokens = prefix(1, 4)
    assert torch.equal(model.forward(tokens, pixels.numpy()), model.forward(tokens, pixels.long()))
    assert small_pictures(pixels.numpy(), 1, model.config, "cpu").shape == (1, 3, 4, 1)
    for kind in (np.uint16, np.uint64):
        wider = pixels.numpy().astype(kind)
        assert torch.equal(model.forward(tokens, wider), model.forward(tokens, pixels))
        with pytest.raises(ConfigError, match="from 0 to 255"):
            model.forward(tokens, wider + np.iinfo(kind).max // 2)


def test_a_small_picture_is_the_mean_of_squares():
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    small = area_average(pixels, 4)
    assert small.dtype == np.uint8
    exact = [[pixels[0, y : y + 4, x : x + 4].mean() for x in (0, 4)] for y in (0, 4)]
    assert small[0, :, :, 0].tolist() == (np.array(exact) + 0.5).astype(int).tolist()
    assert np.array_equal(area_average(pixels[0], 4), small[0])
    white = np.full((4, 4, 3), 255, np.uint8)
    assert area_average(white, 2).tolist() == np.full((2, 2, 3), 255).tolist()
    with pytest.raises(ConfigError, match="8x8 pixels cannot be 3 times smaller"):
        area_average(pixels, 3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"factor": 3}, "factor must be one of"),
        ({"factor": 4}, "factor must divide both sides"),
        ({"n_class": 2}, "n_class must be 0"),
        ({"conditioner_channels": 0}, "conditioner_channels must be a whole number"),
        ({"n_block": -1}, "n_block must be a whole number"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"channels": 0}, "channels must be a whole number"),
        ({"dropout": 2.0}, "dropout must be in"),
    ],
)
def test_a_config_that_cannot_be_is_explained(wrong, says):
    with pytest.raises(ConfigError, match=says):
        SuperResolutionConfig(**{"height": 6, "width": 8, "factor": 2} | wrong)


def test_a_checkpoint_gives_the_same_model_back(model, tmp_path):
    checkpoints.save(tmp_path, model, ImageTokenizer(6, 8, 1, 5))
    loaded, _ = checkpoints.load(tmp_path)
    tokens, small = prefix(2, SIZE), small_picture(model, 2)
    assert torch.equal(loaded.forward(tokens, small), model.forward(tokens, small))
    checkpoints.save(tmp_path, model, ImageTokenizer(8, 6, 1, 5))
    with pytest.raises(CheckpointError, match="the model draws"):
        checkpoints.load(tmp_path)
