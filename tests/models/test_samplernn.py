"""The two tiers of a SampleRNN: what each hears and when, and sampling ahead."""

import copy

import pytest
import torch

from playground.decoding.strategies import draw
from playground.errors import ConfigError
from playground.models import SampleRNN, SampleRNNConfig, packing, samplernn, samplernn_kernel
from playground.models.base import HasEmbedding, count_parameters
from tests.helpers import SOUND, random_tokens, sound_model

LEVELS, S = SOUND["samplernn"]["levels"], SOUND["samplernn"]["frame_size"]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SHAPES = {
    "plain": {},
    "two layers": {"n_layer": 2, "n_hidden": 20},
    "frames of one": {"frame_size": 1},
    "full panels": {"levels": 64, "n_embd": 8, "n_hidden": 32, "n_condition": 32, "n_mlp": 64},
}


def rounded(model: torch.nn.Module) -> torch.nn.Module:
    """Round the weights to what float16 holds, as checkpoints are stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return model


def by_torch(model: SampleRNN) -> SampleRNN:
    """Return the same model where its kernel does not serve it."""
    return copy.deepcopy(model).requires_grad_(True)


@pytest.fixture(params=SHAPES)
def model(request):
    return sound_model("samplernn", **SHAPES[request.param])


def tokens_for(model, *shape, seed=0):
    return random_tokens(*shape, seed=seed, vocab_size=model.vocab_size)


def tokens_that_matter(model: SampleRNN, row: int, length: int = 24) -> list[int]:
    """Return which tokens of a sequence have a gradient on one row of the logits."""
    embedded = by_torch(model).embed(tokens_for(model, 1, length)).detach().requires_grad_()
    logits = model.forward_embedded(embedded)[0, row, :LEVELS]
    weights = torch.randn(LEVELS, generator=torch.Generator().manual_seed(row))
    (gradient,) = torch.autograd.grad((logits * weights).sum(), embedded)
    return gradient[0].abs().sum(-1).nonzero()[:, 0].tolist()


class TestTiers:
    @pytest.mark.parametrize("row", range(12, 12 + S))
    def test_a_row_hears_the_last_tokens_and_all_finished_frames(self, row):
        assert tokens_that_matter(sound_model("samplernn"), row) == list(range(row + 1))

    @pytest.mark.parametrize("row", range(12, 12 + S))
    def test_without_the_frame_tier_only_the_last_tokens_are_left(self, row):
        model = sound_model("samplernn")
        model.upsample.weight.data.zero_()
        assert tokens_that_matter(model, row) == list(range(row + 1 - S, row + 1))

    @pytest.mark.parametrize("row", range(12, 12 + S))
    def test_without_the_last_tokens_only_finished_frames_are_left(self, row):
        model = sound_model("samplernn")
        model.read.weight.data[:, : S * model.config.n_embd].zero_()
        assert tokens_that_matter(model, row) == list(range((row + 1) // S * S))

    def test_a_place_of_a_frame_is_told_something_of_its_own(self):
        model = sound_model("samplernn")
        tokens = tokens_for(model, 1, 21)
        rows = model.forward(tokens)
        part = slice(2 * model.config.n_condition, 3 * model.config.n_condition)
        model.upsample.bias.data[part] += 1.0
        is_changed = (model.forward(tokens) != rows).any(-1)[0]
        assert is_changed.nonzero()[:, 0].tolist() == [1, 5, 9, 13, 17]  # row i scores token i + 1

    def test_what_is_before_the_sequence_is_bos_and_no_frame(self):
        model = sound_model("samplernn")
        window = torch.tensor([[LEVELS, LEVELS, LEVELS, 3]])
        told = model.upsample.bias.unflatten(0, (S, -1))[1:2]  # of zeros, at the second place
        x = model.read(torch.cat((model.embed(window).flatten(1), told), dim=-1)).relu()
        wanted = model.head.outer(model.head.inner(x).relu())
        torch.testing.assert_close(model.forward(window[:, -1:])[:, 0, :LEVELS], wanted, **CLOSE)

    def test_it_can_be_told_embeddings(self, model):
        assert isinstance(model, HasEmbedding)
        tokens = tokens_for(model, 2, 11)
        embedded = model.embed(tokens)
        assert embedded.shape == (2, 11, model.config.n_embd)
        assert torch.equal(model.forward_embedded(embedded), model.forward(tokens))

    def test_bos_is_20_nats_below_the_least_likely_level(self, model):
        rows = model.forward(tokens_for(model, 1, 9))
        torch.testing.assert_close(rows[..., -1], rows[..., :-1].amin(-1) - 20)


class TestSteps:
    @pytest.mark.parametrize("by", ["kernel", "torch"])
    @pytest.mark.parametrize("phase", range(9))
    def test_chunks_that_begin_at_any_phase_give_the_rows_of_forward(self, model, phase, by):
        tokens = tokens_for(model, 2, 31)
        rows = model.forward(tokens)
        stepped = model if by == "kernel" else by_torch(model)
        state, found = stepped.initial_state(2), []
        for chunk in tokens.split((phase, 1, 2, 7, 1, 20 - phase), dim=1):
            if chunk.shape[1]:
                logits, state = stepped.step_every(chunk, state)
                found.append(logits)
        torch.testing.assert_close(torch.cat(found, dim=1), rows, **CLOSE)

    @pytest.mark.parametrize("is_half", [True, False])
    def test_a_state_of_the_kernel_is_one_of_torch(self, model, is_half):
        model = rounded(model) if is_half else model
        peer, tokens = by_torch(model), tokens_for(model, 3, 30)
        plan = packing.packed(model, samplernn.lay_out).plan
        assert plan[samplernn_kernel.IS_HALF] == is_half
        state, other = model.initial_state(3), peer.initial_state(3)
        for chunk in tokens.split((1, 7, 1, 21), dim=1):
            logits, state = model.step_every(chunk, state)
            wanted, other = peer.step_every(chunk, other)
            torch.testing.assert_close(logits, wanted, **CLOSE)
            torch.testing.assert_close(state.h, other.h, **CLOSE)
            assert torch.equal(state.tokens, other.tokens)

    def test_the_bits_of_a_row_depend_neither_on_chunks_nor_on_rows_beside_it(self, model):
        tokens = tokens_for(model, 5, 70)
        together, last = model.step_every(tokens, model.initial_state(5))
        for row in (0, 4):
            for sizes in ([1] * 70, [70], [3, 64, 3]):
                state, found = model.initial_state(1), []
                for chunk in tokens[row : row + 1].split(sizes, dim=1):
                    logits, state = model.step_every(chunk, state)
                    found.append(logits)
                assert torch.equal(torch.cat(found, dim=1)[0], together[row])
                assert torch.equal(state.h[:, 0], last.h[:, row])

    def test_the_frame_tier_moves_at_the_end_of_a_frame_alone(self):
        model = sound_model("samplernn")
        state, moved = model.initial_state(1), []
        for n in range(1, 13):
            _, after = model.step(torch.tensor([[n % LEVELS]]), state)
            if not torch.equal(after.h, state.h):
                moved.append(n)
            state = after
        assert moved == [4, 8, 12]

    def test_a_token_outside_the_vocabulary_is_refused_and_harms_nothing(self, model):
        _, state = model.step(tokens_for(model, 1, 7), model.initial_state(1))
        wanted, _ = model.step(torch.tensor([[1]]), state)
        for token in (-1, model.vocab_size):
            with pytest.raises(IndexError, match=f"from 0 to {model.config.levels}"):
                model.step(torch.tensor([[1, token]]), state)
            with pytest.raises(IndexError, match=f"from 0 to {model.config.levels}"):
                model.sample_ahead(torch.tensor([[token]]), state, torch.zeros(2).double(), 1.0)
        assert torch.equal(model.step(torch.tensor([[1]]), state)[0], wanted)


class TestSamplingAhead:
    @pytest.mark.parametrize("temperature", [1.0, 0.3])
    @pytest.mark.parametrize("phase", range(1, 6))
    def test_it_is_stepping(self, model, phase, temperature):
        prefix = tokens_for(model, 1, phase)
        _, state = model.step(prefix, model.initial_state(1))
        before, token = copy.deepcopy(state), torch.tensor([[1]])
        generator = torch.Generator().manual_seed(phase)
        uniforms = torch.rand(19, generator=generator, dtype=torch.float64)
        tokens, logits, last = model.sample_ahead(token, state, uniforms, temperature)
        assert tokens.shape == (19,)
        assert logits.shape == (19, model.vocab_size)
        assert torch.equal(state.h, before.h)
        assert torch.equal(state.tokens, before.tokens)
        for i, uniform in enumerate(uniforms):
            row, state = model.step(token, state)
            assert torch.equal(row[0], logits[i])
            probs = (row[:, :-1] / temperature).double().softmax(-1)
            token = draw(probs, uniform.view(1, 1))[:, None]
            assert token.item() == tokens[i]
        assert last.length == state.length == phase + 19
        assert torch.equal(last.h, state.h)
        assert torch.equal(last.tokens, state.tokens)

    def test_the_ends_of_the_uniform_numbers_pick_levels(self, model):
        ends = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
        for uniforms in (ends, ends.flip(0)):
            tokens, _, _ = model.sample_ahead(
                torch.tensor([[model.config.levels]]), model.initial_state(1), uniforms, 5.0
            )
            wanted = [0 if u == 0 else model.config.levels - 1 for u in uniforms]
            assert tokens.tolist() == wanted

    def test_it_says_when_no_kernel_can_do_it(self, model):
        uniforms = torch.zeros(2, dtype=torch.float64)
        peer = by_torch(model)
        assert peer.sample_ahead(torch.tensor([[0]]), peer.initial_state(1), uniforms, 1.0) is None

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
    def test_a_temperature_that_is_none_is_refused(self, model, temperature):
        with pytest.raises(ConfigError, match="temperature must be in"):
            model.sample_ahead(
                torch.tensor([[0]]), model.initial_state(1), torch.zeros(1).double(), temperature
            )


class TestConfig:
    def test_the_default_has_as_many_parameters_as_it_says(self):
        model = SampleRNN(SampleRNNConfig())
        gru = 576 * 256 + 576 * 192 + 2 * 576
        upsample, read = 16 * 64 * 193, 256 * (256 + 64 + 1)
        assert count_parameters(model) == 257 * 16 + gru + upsample + read + 2 * 256 * 257
        assert count_parameters(model) == 674_704

    def test_neighbouring_levels_start_alike_and_bos_like_none(self):
        weight = SampleRNN(SampleRNNConfig()).embedding.weight.detach()
        near, far = (weight[1:256] - weight[:255]).norm(dim=-1), (weight[0] - weight[255]).norm()
        assert near.max() < far / 3
        assert not weight[256].any()

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"levels": 1}, r"levels must be a whole number in \[2, 4096\], got 1"),
            ({"frame_size": 0}, r"frame_size must be a whole number in \[1, 1024\], got 0"),
            ({"n_embd": "8"}, "n_embd must be a whole number"),
            ({"n_hidden": True}, "n_hidden must be a whole number"),
            ({"n_layer": 33}, "n_layer must be a whole number"),
            ({"n_condition": 0}, "n_condition must be a whole number"),
            ({"n_mlp": 2.5}, "n_mlp must be a whole number"),
            ({"frame_size": 1024, "n_embd": 17}, r"at most 16,384, got 1024 x 17"),
        ],
    )
    def test_a_size_out_of_range_is_refused(self, sizes, message):
        with pytest.raises(ConfigError, match=message):
            SampleRNNConfig(**sizes)
