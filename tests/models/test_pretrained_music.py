import numpy as np
import pytest
import torch

from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.errors import CheckpointError, ConfigError, ContextFullError, PromptError
from playground.hub.load import load
from playground.models.base import HasStepEvery, State
from playground.models.conditioned import Conditioned, as_drawn
from playground.models.guided import Guided
from playground.models.pretrained_music import PretrainedMusic
from playground.tokenizers.codebooks import CodecTokenizer, DelayPattern
from tests.tiny_models import VOCAB_SIZE
from tests.tiny_musicgen import N_CODEBOOKS, N_CODES, TEXT, musicgen_folder, tiny_musicgen

PATTERN = DelayPattern(N_CODEBOOKS, 9)


def music() -> PretrainedMusic:
    return PretrainedMusic(tiny_musicgen(), PATTERN)


def codes(seed: int = 0, n_rows: int = 1) -> np.ndarray:
    """Return random codes (N, K, T)."""
    shape = (n_rows, N_CODEBOOKS, PATTERN.n_frames)
    return np.random.default_rng(seed).integers(0, N_CODES, shape)


def prefixes(rows: np.ndarray) -> torch.Tensor:
    """Return tokens (N, K T): BOS, then all codes but the last."""
    flat = np.stack([PATTERN.flatten(row)[:-1] for row in rows])
    return torch.from_numpy(np.pad(flat, ((0, 0), (1, 0)), constant_values=N_CODES))


def test_logits_are_those_of_the_decoder_under_its_delay_pattern():
    model, rows = music(), codes(n_rows=2)
    inner = model.inner
    logits = model.forward(prefixes(rows), TEXT)
    assert logits.shape == (2, PATTERN.size, model.vocab_size)
    assert (logits[..., model.bos_token] == -torch.inf).all()
    hidden = inner.text_encoder(input_ids=torch.tensor([TEXT])).last_hidden_state
    hidden = inner.enc_to_dec_proj(hidden)
    for row, found in zip(rows, logits, strict=True):
        steps = torch.from_numpy(PATTERN.to_steps(row, N_CODES))
        told = inner.decoder(
            input_ids=steps, encoder_hidden_states=hidden, output_attentions=True
        )  # logits (K, T + K, V - 1)
        wanted = told.logits[PATTERN.books.tolist(), (PATTERN.steps - 1).tolist()]
        torch.testing.assert_close(found[:, :-1], wanted, rtol=1e-4, atol=1e-4)
    looked = model.cross_attention_rows(prefixes(rows), TEXT, 5)
    wanted = torch.stack(told.cross_attentions)[:, :, :, (PATTERN.steps[5:] - 1).tolist()]
    torch.testing.assert_close(looked[:, 1:], wanted)
    assert looked.shape == (2, 2, 4, PATTERN.size - 5, len(TEXT))


@pytest.mark.parametrize(("text", "scale"), [(TEXT, 1.0), (TEXT, 3.0), (None, 1.0)])
def test_greedy_sound_is_that_of_generate(text, scale):
    model = music()
    asked = {} if scale == 1.0 else {"guidance_scale": scale}
    if text is None:
        free = model.inner.get_unconditional_inputs(1)
        asked |= {"encoder_outputs": free.encoder_outputs, "attention_mask": free.attention_mask}
    else:
        ids = torch.tensor([text])
        asked |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    told = model.inner.generate(**asked, do_sample=False, max_length=PATTERN.n_steps)
    stepper = Stepper(
        as_drawn(model, model.bos_token, text, scale), "tiny", [model.bos_token],
        longest=PATTERN.size + 1,
    )  # fmt: skip
    while stepper.step(Lane(Greedy())):
        pass
    tokens = stepper.tokens[1:]
    assert len(tokens) == PATTERN.size
    assert len(set(tokens)) > 5
    samples = CodecTokenizer(model.inner.audio_encoder, PATTERN).decode(tokens)
    assert np.array_equal(samples, told[0, 0].clamp(-1, 1).numpy())


def test_any_chunking_and_any_branching_give_the_same_logits():
    model, tokens = music(), prefixes(codes())
    assert isinstance(model, HasStepEvery)
    wanted = model.forward(tokens, TEXT)
    for size in (1, 2, 3, 5):
        state, found = model.initial_state(1, TEXT), []
        assert isinstance(state, State)
        for part in tokens.split(size, dim=1):
            before = state
            logits, state = model.step_every(part, before)
            model.step((part + 1) % N_CODES, before)  # another branch, which changes nothing
            found.append(logits)
        torch.testing.assert_close(torch.cat(found, 1), wanted, rtol=1e-4, atol=1e-4)
        assert state.length == PATTERN.size
    with pytest.raises(ContextFullError):
        model.step(tokens[:, :1], state)


def test_the_codes_of_one_step_are_independent_and_later_ones_are_not():
    model, tokens = music(), prefixes(codes())
    logits = model.forward(tokens, TEXT)
    at = 7  # the second code of the fourth step; the step's first is token 7 with BOS counted
    assert PATTERN.steps[at - 1] == PATTERN.steps[at] == PATTERN.steps[at + 1] == 4
    other = tokens.clone()
    other[0, at] = (other[0, at] + 1) % N_CODES
    changed = (model.forward(other, TEXT) != logits).any(-1)[0]
    assert not changed[: at + 2].any()  # the third code of the step too
    assert changed[at + 2]


def test_one_pass_of_the_decoder_serves_all_codes_of_a_step():
    model, passes = music(), []
    hook = model.inner.decoder.register_forward_hook(lambda *_: passes.append(1))
    try:
        state = model.initial_state(1, TEXT)
        passes.clear()
        for token in prefixes(codes())[0].tolist():
            _, state = model.step(torch.tensor([[token]]), state)
    finally:
        hook.remove()
    # The last code is not read, so its step is not complete.
    assert len(passes) == PATTERN.n_steps - 1


def test_a_row_is_the_same_alone_and_beside_others_and_equal_rows_are_read_once():
    model, tokens = music(), prefixes(codes(n_rows=2))[:, :10]
    both, state = model.step_every(tokens, model.initial_state(2, TEXT))
    for i in range(2):
        alone, _ = model.step_every(tokens[i : i + 1], model.initial_state(1, TEXT))
        assert torch.equal(both[i : i + 1], alone)
    turned = state.select(torch.tensor([1, 0, 1]))
    found, after = model.step(torch.tensor([[3], [4], [3]]), turned)
    apart, _ = model.step(torch.tensor([[4], [3]]), state)
    assert torch.equal(found[:2], apart.flip(0))
    assert after.rows[0] is after.rows[2]
    assert after.num_bytes > state.rows[0].source.num_bytes > 0


def test_a_text_makes_a_difference_and_guidance_stresses_it():
    model, tokens = music(), prefixes(codes())
    told, free = model.forward(tokens, TEXT), model.forward(tokens)
    assert not torch.allclose(told[..., :-1], free[..., :-1])
    guided = Conditioned(Guided(model, 2.0), model.encode(TEXT), (model.bos_token,))
    found = guided.forward(tokens)[..., :-1].log_softmax(-1)
    told, free = (x[..., :-1].log_softmax(-1) for x in (told, free))
    torch.testing.assert_close(found, (2 * told - free).log_softmax(-1), rtol=1e-3, atol=1e-3)


def test_what_cannot_be_read_is_said():
    model = music()
    with pytest.raises(PromptError, match="has 600 tokens"):
        model.initial_state(1, [1] * 600)
    with pytest.raises(PromptError, match="does not know"):
        model.initial_state(1, [VOCAB_SIZE])
    with pytest.raises(ConfigError, match="by its token ids, got str"):
        model.initial_state(1, "drums")
    with pytest.raises(
        CheckpointError, match="3 codebooks of 32 entries, and what it is to be heard with 4"
    ):
        PretrainedMusic(tiny_musicgen(), DelayPattern(4, 9))
    stereo = tiny_musicgen()
    stereo.decoder.config.audio_channels = 2
    try:
        with pytest.raises(CheckpointError, match="stereo"):
            PretrainedMusic(stereo, PATTERN)
    finally:
        stereo.decoder.config.audio_channels = 1


def test_a_folder_is_loaded_with_its_codec_and_the_tokenizer_of_its_texts(tmp_path):
    model, tokenizer = load(musicgen_folder(tmp_path))
    assert tokenizer.pattern.n_codebooks == N_CODEBOOKS
    assert tokenizer.bos_token == model.bos_token
    assert tokenizer.text.encode_source("drums")[-1] == 1
    tokens = prefixes(codes())[:, :4]
    told = music().forward(tokens, TEXT)
    torch.testing.assert_close(model.forward(tokens, TEXT), told, rtol=1e-4, atol=1e-4)
