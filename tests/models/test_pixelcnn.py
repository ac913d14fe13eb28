"""What a pixel may see, shown by gradients; exact frequencies of a toy; classes; odd values."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from playground.errors import ConfigError, ContextFullError
from playground.models import pixelcnn_kernel, pixelcnn_stepping
from playground.models.raster import value_features
from tests.helpers import PICTURE_MODELS, influence, picture_model, pixels_before, random_tokens

CNNS = ("pixelcnn", "gated-pixelcnn")


@cache
def deep(family: str, **sizes) -> torch.nn.Module:
    sizes = {"height": 9, "width": 9, "n_layer": 3, "channels": 12, "first_kernel_size": 3} | sizes
    return picture_model(family, seed=4, scale=0.4, **sizes)


@pytest.mark.parametrize(
    "sizes", [{}, {"kernel_size": 5}, {"first_kernel_size": 5}, {"n_layer": 1}]
)
@pytest.mark.parametrize("family", CNNS)
def test_the_receptive_field_is_exactly_as_drawn(family, sizes):
    model = deep(family, **sizes)
    for place in ((0, 0), (4, 4), (8, 8), (5, 0), (5, 8)):
        seen = influence(model, *place)[:, :, 0]
        assert np.array_equal(seen, model.receptive_field(*place)), place
        assert not (seen & ~pixels_before(model, *place)).any()


def test_a_plain_pixelcnn_is_blind_at_the_upper_right_and_a_gated_one_is_not():
    plain, gated = deep("pixelcnn", n_layer=6), deep("gated-pixelcnn", n_layer=7)
    earlier = pixels_before(plain, 6, 4)
    blind = earlier & ~plain.receptive_field(6, 4)
    assert blind[5, 6:].all()  # one row up, from two to the right on
    assert blind[:, :5].sum() == 0
    assert np.array_equal(influence(plain, 6, 4)[:, :, 0], earlier & ~blind)
    assert np.array_equal(gated.receptive_field(6, 4), earlier)
    assert np.array_equal(influence(gated, 6, 4)[:, :, 0], earlier)


def test_dilated_layers_see_further_and_as_drawn():
    near, far = (deep("gated-pixelcnn", n_layer=4, dilation_cycle=n) for n in (1, 2))
    assert far.receptive_field(8, 4).sum() > near.receptive_field(8, 4).sum()
    assert np.array_equal(influence(far, 8, 4)[:, :, 0], far.receptive_field(8, 4))


def test_the_faulty_mask_hides_the_left_neighbours_of_the_first_layer():
    faulty, right = (deep("pixelcnn", n_layer=1, faulty_mask=f) for f in (True, False))
    seen = influence(faulty, 4, 4)[:, :, 0]
    assert not seen[4].any()  # still causal, yet blind to its own row
    assert seen[3].any()
    assert np.array_equal(seen, faulty.receptive_field(4, 4))
    assert right.receptive_field(4, 4)[4, 2:4].all()


@pytest.mark.parametrize("family", CNNS)
def test_no_colour_sees_itself_or_a_later_one(family):
    model = deep(family, colors=3, height=5, width=5, n_layer=2)
    for color in range(3):
        own = influence(model, 2, 2, color)[2, 2]
        assert own.tolist() == [c < color for c in range(3)]
        assert influence(model, 2, 2, color)[2, 1].all()  # all colours of the pixel before


@pytest.fixture(params=["kernel", "torch"])
def way(request, monkeypatch):
    """Step with the kernel where there is one, or with torch."""
    if request.param == "torch":
        monkeypatch.setattr(pixelcnn_stepping, "plan_for", lambda model: None)
    return request.param


@pytest.mark.parametrize("family", CNNS)
@pytest.mark.parametrize("colors", [1, 3])
def test_cached_steps_draw_what_forward_scores(family, colors, way):
    model = picture_model(family, colors=colors, height=8, width=5, channels=24)
    tokens = random_tokens(2, model.context_length, vocab_size=5)
    rows, state = model.forward(tokens), model.initial_state(2)
    for i in range(tokens.shape[1]):
        logits, state = model.step(tokens[:, i : i + 1], state)
        torch.testing.assert_close(logits, rows[:, i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", CNNS)
@pytest.mark.parametrize("colors", [1, 3])
def test_rows_at_once_are_pixels_one_by_one(family, colors, monkeypatch):
    monkeypatch.setattr(pixelcnn_stepping, "plan_for", lambda model: None)
    model = picture_model(family, colors=colors, height=5, width=5, channels=24)
    tokens = random_tokens(2, model.context_length, vocab_size=5)
    rows, state, found = model.forward(tokens), model.initial_state(2), []
    monkeypatch.setattr(model, "_pixels_at_once", lambda device_type: 5)
    for chunk in tokens.split((1, 7, 10, model.context_length - 18), dim=1):
        logits, state = model.step_every(chunk, state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "sizes",
    [{"n_class": 3}, {"kernel_size": 5, "dilation_cycle": 3, "n_layer": 4}, {"n_layer": 1},
     {"colors": 3, "channels": 24, "n_class": 2}, {"levels": 256, "channels": 40}],
)  # fmt: skip
@pytest.mark.parametrize("is_half", [False, True])
def test_a_state_of_the_kernel_is_one_of_torch(sizes, is_half, monkeypatch):
    model = picture_model("gated-pixelcnn", **sizes)
    if is_half:
        model.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    plan = pixelcnn_stepping.plan_for(model.eval())
    assert plan is not None
    assert plan.plan[pixelcnn_kernel.IS_HALF] == is_half
    tokens, levels = random_tokens(2, 42, vocab_size=5), model.config.levels
    tokens[:, 0] = levels
    labels = [1, 0] if model.config.n_class else None
    rows = model.forward(tokens, None if labels is None else torch.tensor(labels))
    state, found = model.initial_state(2, labels), []
    for i, chunk in enumerate(tokens.split((3, 1, 12, 1, 25), dim=1)):
        if i % 2:
            monkeypatch.undo()
        else:
            monkeypatch.setattr(pixelcnn_stepping, "plan_for", lambda model: None)
        logits, state = model.step_every(chunk, state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=1e-5, atol=2e-5)


def test_a_token_outside_the_vocabulary_is_refused_by_the_kernel():
    model = picture_model("gated-pixelcnn")
    state = model.initial_state(1)
    for token in (-1, 6):
        with pytest.raises(IndexError, match="from 0 to 5"):
            model.step(torch.tensor([[token]]), state)


def test_weights_that_change_are_packed_again():
    model, tokens = picture_model("gated-pixelcnn"), random_tokens(1, 3, vocab_size=5)
    before, _ = model.step(tokens, model.initial_state(1))
    model.load_state_dict(picture_model("gated-pixelcnn", seed=9).state_dict())
    after, _ = model.step(tokens, model.initial_state(1))
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, model.forward(tokens)[:, -1], rtol=1e-4, atol=1e-4)


def test_a_whole_picture_is_the_end():
    model = picture_model("gated-pixelcnn")
    with pytest.raises(ContextFullError, match="42 values, and row 43"):
        model.forward(random_tokens(1, 43, vocab_size=5))


def test_the_start_token_is_finite_and_never_likely():
    logits = picture_model("pixelcnn").forward(random_tokens(1, 9, vocab_size=5))
    assert logits.isfinite().all()
    assert logits.softmax(-1)[..., -1].max() < 1e-8


def test_a_class_changes_what_is_drawn_and_lives_in_the_state():
    model = picture_model("gated-pixelcnn", n_class=4)
    tokens = random_tokens(3, 20, vocab_size=5)
    rows = model.forward(tokens, torch.tensor([0, 3, 4]))
    torch.testing.assert_close(rows[2:], model.forward(tokens[2:]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rows[1:2], model.forward(tokens[1:2], 3), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model.forward(tokens[:1], 0), model.forward(tokens[:1], 1))
    state = model.initial_state(3, [0, 3, 4])
    _, state = model.step(tokens[:, :9], state)
    order = torch.tensor([2, 0])
    logits, _ = model.step(tokens[order, 9:20], state.select(order))
    torch.testing.assert_close(logits, rows[order, -1], rtol=1e-4, atol=1e-4)


def test_a_class_that_is_not_there_is_refused():
    model = picture_model("gated-pixelcnn", n_class=4)
    with pytest.raises(ConfigError, match=r"from 0 to 3 \(4 for none\), got \[5\]"):
        model.initial_state(1, 5)
    with pytest.raises(ConfigError, match="one for each of 2 rows"):
        model.initial_state(2, [1, 2, 3])
    with pytest.raises(ConfigError, match="knows no classes"):
        picture_model("pixelcnn").initial_state(1, 0)


def exact_probabilities(model) -> dict[tuple[int, ...], float]:
    """Return p of every picture of a toy model."""
    c = model.config
    pictures = torch.tensor(list(itertools.product(range(c.levels), repeat=c.height * c.width)))
    inputs = F.pad(pictures[:, :-1], (1, 0), value=c.levels)
    logprobs = model.forward(inputs).double().log_softmax(-1)
    logprobs = logprobs.gather(2, pictures[:, :, None]).sum((1, 2))
    return {tuple(p): math.exp(v) for p, v in zip(pictures.tolist(), logprobs, strict=True)}


@pytest.mark.parametrize("family", CNNS)
def test_sampled_pictures_are_as_frequent_as_their_probability(family):
    sizes = {"height": 2, "width": 2, "levels": 2, "channels": 4, "n_layer": 2}
    model = picture_model(family, scale=0.5, **sizes)
    exact = exact_probabilities(model)
    assert sum(exact.values()) == pytest.approx(1, abs=1e-7)
    n, generator = 4000, torch.Generator().manual_seed(0)
    state, tokens = model.initial_state(n), torch.full((n, 1), 2)
    drawn = []
    for _ in range(4):
        logits, state = model.step(tokens, state)
        tokens = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        drawn.append(tokens)
    found = torch.cat(drawn, dim=1)
    counts = {picture: 0 for picture in exact}
    for picture in found.tolist():
        counts[tuple(picture)] += 1
    assert sum(counts.values()) == n
    squares = sum((counts[p] - n * exact[p]) ** 2 / (n * exact[p]) for p in exact)
    assert squares < 37.7  # chi-square, 15 degrees of freedom: one run in a thousand is above


def test_gradients_in_bfloat16_are_those_of_float32_up_to_rounding():
    model = picture_model(
        "gated-pixelcnn", height=32, width=32, channels=36, dilation_cycle=3, scale=0.1
    ).requires_grad_()
    tokens, found = random_tokens(2, 1024, vocab_size=5), []
    for is_half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            loss = model.nats(tokens).mean()
        loss.backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, exact in found[0].items():
        assert (found[1][name] - exact).norm() < 0.2 * exact.norm(), name


@pytest.mark.parametrize("name", PICTURE_MODELS)
def test_the_nats_of_training_are_those_of_forward(name):
    model = PICTURE_MODELS[name]()
    levels, labels = model.config.levels, torch.tensor([1, 0]) if model.config.n_class else None
    tokens = random_tokens(2, model.context_length, vocab_size=levels)
    logits = model.forward(F.pad(tokens[:, :-1], (1, 0), value=levels), labels)
    expected = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    torch.testing.assert_close(model.nats(tokens, labels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [2, 4, 256])
def test_a_model_that_knows_nothing_pays_log2_of_the_levels(levels):
    model = picture_model("gated-pixelcnn", levels=levels)
    for parameter in model.parameters():
        parameter.data.zero_()
    tokens = random_tokens(2, 42, vocab_size=levels)
    inputs = F.pad(tokens[:, :-1], (1, 0), value=levels)
    nats = F.cross_entropy(model.forward(inputs).transpose(1, 2), tokens)
    assert nats.item() / math.log(2) == pytest.approx(math.log2(levels), abs=1e-5)


def test_features_tell_levels_apart_and_a_pixel_from_none():
    for levels in (2, 4, 8):
        table = value_features(levels)
        assert torch.linalg.matrix_rank(table[:-1]) == levels
    table = value_features(256)
    assert table.shape == (257, 8)
    assert torch.equal(table[-1], torch.zeros(8))
    assert torch.pdist(table).min() > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colors": 2}, r"colors must be 1 \(grey\) or 3 \(RGB\), got 2"),
        ({"levels": 1}, "levels must be a whole number in"),
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ({"height": 512, "width": 512}, "at most 65536 tokens long"),
        ({"channels": 31, "colors": 3}, "channels must be a multiple of"),
        ({"n_layer": 65}, "n_layer must be a whole number"),
    ],
)
@pytest.mark.parametrize("family", CNNS)
def test_a_config_out_of_range_is_refused(family, change, says):
    with pytest.raises(ConfigError, match=says):
        picture_model(family, **change)
