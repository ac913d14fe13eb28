"""WaveNet: what it sees, its queues, what it is told, and the three ways to the same logits."""

import copy

import pytest
import torch

from playground.checkpoints import load
from playground.data.sounds import read_examples
from playground.errors import ConfigError
from playground.models import WaveNet, WaveNetConfig
from playground.models.spoken import END, MAX_FRAMES, MAX_LETTERS, Spoken, fit_letter_frames
from playground.models.wavenet import FRESH
from tests.helpers import random_tokens, shipped_folders, with_weights

SMALL = {"levels": 22, "channels": 12, "skip_channels": 9, "n_layer": 5, "dilation_cycle": 3}


def wavenet(**sizes) -> WaveNet:
    return with_weights(WaveNet(WaveNetConfig(**SMALL | sizes)))


def speaker() -> WaveNet:
    model = wavenet(alphabet="abc ", hop=4, n_letter_embd=5, n_text_hidden=7)
    model.spoken.letter_frames = torch.tensor([2.0, 3.0, 4.0, 1.0])
    return model


def tokens_for(model, *shape, seed=0):
    return random_tokens(*shape, seed=seed, vocab_size=model.vocab_size)


def by_torch(model: WaveNet) -> WaveNet:
    """Return the same model where the kernel does not serve it."""
    return copy.deepcopy(model).requires_grad_(True)


@pytest.mark.parametrize(("kernel_size", "n_layer", "cycle"), [(2, 5, 3), (3, 4, 4), (4, 2, 1)])
def test_it_sees_as_far_as_its_dilations_say(kernel_size, n_layer, cycle):
    model = wavenet(kernel_size=kernel_size, n_layer=n_layer, dilation_cycle=cycle)
    dilations = [2 ** (i % cycle) for i in range(n_layer)]
    assert list(model.dilations) == dilations
    assert model.receptive_field == 1 + (kernel_size - 1) * sum(dilations)
    T = model.receptive_field + 5
    embedded = model.embed(tokens_for(model, 1, T)).detach().requires_grad_(True)
    row = model.forward_embedded(embedded)[0, -1]
    (gradient,) = torch.autograd.grad((row * torch.randn(row.shape)).sum(), embedded)
    seen = (gradient[0] != 0).any(-1)
    assert seen.tolist() == [False] * 5 + [True] * model.receptive_field


@pytest.mark.parametrize("sizes", [{}, {"kernel_size": 3}, {"n_class": 3}, {"levels": 256}])
def test_kernel_queues_and_forward_agree(sizes):
    model = wavenet(**sizes)
    condition = 1 if "n_class" in sizes else None
    tokens = tokens_for(model, 2, 3 * model.receptive_field)
    rows = model.forward(tokens, condition)
    for one in (model, by_torch(model)):
        state, found = one.initial_state(2, condition), []
        for chunk in tokens.split((1, 4, 1, tokens.shape[1] - 6), dim=1):
            logits, state = one.step_every(chunk, state)
            found.append(logits)
        torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("folder", shipped_folders("audio"), ids=lambda folder: folder.name)
def test_kernel_torch_and_forward_agree_on_shipped_weights_and_real_sound(folder):
    model, tokenizer = load(folder)
    sound = read_examples(folder, tokenizer)[0][:1500]
    tokens = torch.tensor([[tokenizer.bos_token, *tokenizer.encode(sound)]])
    rows = model.forward(tokens)
    for one in (model, by_torch(model)):
        logits, _ = one.step_every(tokens, one.initial_state(1))
        torch.testing.assert_close(logits, rows, rtol=1e-4, atol=1e-4)


def test_queues_are_moved_without_a_trace_when_their_room_is_used_up():
    model = wavenet()
    tokens = tokens_for(model, 1, FRESH + 40)
    rows, state = model.forward(tokens), model.initial_state(1)
    buffers = set()
    for at, token in enumerate(tokens.split(1, dim=1)):
        logits, state = model.step(token, state)
        buffers.add(id(state.buffer))
        if at > FRESH - 3:
            torch.testing.assert_close(logits, rows[:, at], rtol=1e-4, atol=1e-4)
    assert len(buffers) == 2


def test_a_long_prefix_leaves_no_more_memory_behind_than_a_short_one():
    model = wavenet()
    tokens = tokens_for(model, 1, 3 * FRESH + 40)
    for one in (model, by_torch(model)):
        logits, state = one.step(tokens, one.initial_state(1))
        every, _ = one.step_every(tokens, one.initial_state(1))
        torch.testing.assert_close(logits, every[:, -1], rtol=1e-4, atol=1e-4)
        assert one is not model or torch.equal(logits, every[:, -1])  # the kernel's have one order
        assert state.length == tokens.shape[1]
        assert state.buffer.capacity == one.initial_state(1).buffer.capacity


def test_a_straight_line_shares_its_queues_and_a_branch_does_not():
    model = wavenet()
    _, state = model.step(tokens_for(model, 1, 3), model.initial_state(1))
    _, first = model.step(tokens_for(model, 1, 1), state)
    _, second = model.step(tokens_for(model, 1, 1, seed=1), state)
    assert first.buffer is state.buffer
    assert second.buffer is not state.buffer


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samples_ahead_are_those_of_single_steps(temperature):
    model = wavenet()
    _, state = model.step(tokens_for(model, 1, 30), model.initial_state(1))
    uniforms = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    token = torch.tensor([[3]])
    tokens, logits, after = model.sample_ahead(token, state, uniforms, temperature)
    assert after.length == state.length + 200
    for i in range(200):
        row, state = model.step(token, state)
        assert torch.equal(row[0], logits[i])
        weights = (row[0, :-1] / temperature).softmax(-1).double().cumsum(-1)
        wanted = torch.searchsorted(weights, uniforms[i] * weights[-1], right=True)
        assert tokens[i] == wanted
        token = tokens[i].view(1, 1)
    assert torch.equal(model.step(token, state)[0], model.step(token, after)[0])


def test_the_ends_of_the_uniform_numbers_give_levels_and_never_the_start():
    model = wavenet()
    uniforms = torch.tensor([0.0, 1 - 2.0**-53] * 20, dtype=torch.float64)
    tokens, _, _ = model.sample_ahead(torch.tensor([[22]]), model.initial_state(1), uniforms, 5.0)
    assert tokens.min() == 0
    assert tokens.max() == 21


def test_without_a_kernel_nothing_is_sampled_ahead():
    model = by_torch(wavenet())
    uniforms = torch.zeros(3, dtype=torch.float64)
    assert model.sample_ahead(torch.tensor([[0]]), model.initial_state(1), uniforms, 1.0) is None


@pytest.mark.parametrize("token", [-1, 23])
def test_an_unknown_token_is_refused(token):
    model, uniforms = wavenet(), torch.zeros(3, dtype=torch.float64)
    with pytest.raises(IndexError, match="0 to 22"):
        model.step(torch.tensor([[token]]), model.initial_state(1))
    with pytest.raises(IndexError, match="0 to 22"):
        model.sample_ahead(torch.tensor([[token]]), model.initial_state(1), uniforms, 1.0)


def test_rows_are_told_different_classes():
    model = wavenet(n_class=3)
    tokens = tokens_for(model, 3, 9)
    together = model.forward(tokens, torch.tensor([0, 2, 3]))
    for row, label in enumerate((0, 2, None)):
        alone = model.forward(tokens[row : row + 1], label)[0]
        torch.testing.assert_close(alone, together[row])
    assert not torch.equal(model.forward(tokens, 0), model.forward(tokens, 1))


@pytest.mark.parametrize("condition", [4, -1, "ab", 2**70, torch.tensor([0, 1])])
def test_a_class_that_is_none_is_refused(condition):
    with pytest.raises(ConfigError):
        wavenet(n_class=3).initial_state(1, condition)


class TestText:
    """Letters laid out over time."""

    def test_each_letter_lasts_its_frames_and_then_comes_the_end(self):
        symbols, over = speaker().spoken.layout("cab")  # 4 + 2 + 3 frames
        assert (symbols[:, 2] - 2).tolist() == [2] * 4 + [0] * 2 + [1] * 3 + [END - 2]
        assert over[:4].tolist() == [0.125, 0.375, 0.625, 0.875]
        assert symbols[4].tolist() == [END, 4, 2, 3, END]  # its neighbours, two to each side

    def test_a_known_duration_stretches_them(self):
        symbols, _ = speaker().spoken.layout("cab", 18)
        assert (symbols[:, 2] - 2).tolist() == [2] * 8 + [0] * 4 + [1] * 6 + [END - 2]

    def test_steps_follow_the_frames(self):
        model = speaker()
        tokens = tokens_for(model, 2, 60)
        rows = model.forward(tokens, ["cab", "a"])
        for one in (model, by_torch(model)):
            state, found = one.initial_state(2, ["cab", "a"]), []
            for chunk in tokens.split((1, 2, 30, 27), dim=1):
                logits, state = one.step_every(chunk, state)
                found.append(logits)
            torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=1e-4, atol=1e-4)
        alone = model.forward(tokens[1:], "a")
        torch.testing.assert_close(alone, rows[1:])
        chosen = model.initial_state(2, ["cab", "a"]).select(torch.tensor([1, 1, 0]))
        first = model.step(tokens[:1, :1].expand(3, 1), chosen)[0]
        torch.testing.assert_close(first[2], rows[0, 0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(first[0], first[1])

    def test_the_text_matters_and_none_is_a_text_of_its_own(self):
        model = speaker()
        tokens = tokens_for(model, 1, 20)
        rows = [model.forward(tokens, text) for text in ("cab", "abc", None)]
        assert not torch.equal(rows[0], rows[1])
        assert not torch.equal(rows[0], rows[2])

    @pytest.mark.parametrize("text", ["", "  ", "abd", "a" * (MAX_LETTERS + 1), 7, ["a", "b", "c"]])
    def test_what_cannot_be_spoken_is_refused(self, text):
        with pytest.raises(ConfigError):
            speaker().initial_state(2, text)

    def test_durations_are_learned_from_utterances(self):
        texts = ["ab", "ba", "aab", "abb", "b", "a", "aaa", "bbb"] * 40
        frames = [3 * text.count("a") + 8 * text.count("b") for text in texts]
        found = fit_letter_frames(texts, frames, "abz")
        torch.testing.assert_close(found[:2], torch.tensor([3.0, 8.0]), rtol=0.02, atol=0.1)
        assert 5 < found[2] < 6  # never heard: the mean

    def test_a_spoken_text_lasts_as_predicted(self):
        spoken = Spoken("ab", 4, 4, {})
        spoken.letter_frames.copy_(torch.tensor([3.0, 8.0]))
        assert spoken.duration("aab") == 14

    def test_words_that_were_heard_last_as_long_as_they_did(self):
        spoken = Spoken("ab ", 4, 4, {"ab": 22, "a a": 40})
        spoken.letter_frames.copy_(torch.tensor([3.0, 8.0, 1.0]))
        assert [spoken.duration(text) for text in ("ab", "a a", "b ab", "a b")] == [22, 40, 31, 12]
        symbols, _ = spoken.layout("b ab")
        found = (symbols[:-1, 2] - 2).tolist()
        assert found == [1] * 8 + [2] + [0] * 6 + [1] * 16

    @pytest.mark.parametrize("frames", [3e38, -3e38])
    def test_durations_of_any_checkpoint_are_bounded(self, frames):
        model = speaker()
        model.spoken.letter_frames.fill_(frames)
        assert model.spoken.duration("cab") == (MAX_FRAMES if frames > 0 else 3)
        assert model.biases("cab", 1).isfinite().all()


@pytest.mark.parametrize(
    "sizes", [{"levels": 1}, {"kernel_size": 1}, {"dilation_cycle": 20}, {"n_layer": 0},
              {"alphabet": "aa"}, {"alphabet": "ab", "n_class": 2}, {"hop": 0},
              {"n_layer": 128, "dilation_cycle": 14, "kernel_size": 8}]
)  # fmt: skip
def test_a_size_out_of_range_is_refused(sizes):
    with pytest.raises(ConfigError):
        WaveNetConfig(**SMALL | sizes)
