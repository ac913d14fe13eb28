import pytest
import torch

from playground.comparison import Comparison
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.errors import CheckpointError, ConfigError, ContextFullError, PromptError
from playground.hub.load import load
from playground.inspection.attention import attention
from playground.inspection.rollout import rollout
from playground.inspection.saliency import saliency
from playground.models.base import HasEmbedding, HasStepEvery, State
from playground.models.conditioned import Conditioned
from playground.models.guided import Guided
from playground.models.pretrained_seq2seq import FAMILIES, PretrainedSeq2Seq
from tests.tiny_models import VOCAB_SIZE
from tests.tiny_seq2seq import (
    CONFIGS,
    LENGTH,
    START,
    random_sources,
    tiny_seq2seq,
    turning_round,
    turning_round_folder,
)

WORDS = [5, 9, 11, 20, 7]


def wrapped(name="t5") -> tuple[PretrainedSeq2Seq, torch.Tensor]:
    """Return a tiny model, and a source for it."""
    model = PretrainedSeq2Seq(tiny_seq2seq(name))
    return model, torch.tensor([*WORDS, model.source_end])


def greedy(model, source, number: int) -> list[int]:
    """Return the likeliest tokens that have not been yet: random models repeat themselves."""
    state, out = model.initial_state(1, source), [model.bos_token]
    for _ in range(number):
        logits, state = model.step(torch.tensor([out[-1:]]), state)
        out.append(int(logits[0].index_fill(0, torch.tensor(out), -torch.inf).argmax()))
    return out


def test_every_family_that_is_read_is_tried_here():
    assert set(FAMILIES) == {tiny_seq2seq(name).config.model_type for name in CONFIGS}


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_steps_are_those_of_generate_and_logits_those_of_transformers(name):
    model, source = wrapped(name)
    wanted = model.inner.generate(
        source[None], attention_mask=torch.ones_like(source)[None], max_new_tokens=24,
        do_sample=False, num_beams=1, no_repeat_ngram_size=1,
    )[0].tolist()  # fmt: skip
    tokens = greedy(model, source, 24)
    assert tokens == wanted

    told = model.inner(
        input_ids=source[None], decoder_input_ids=torch.tensor([tokens]), output_attentions=True
    )
    logits = model.forward(torch.tensor([tokens]), source)
    torch.testing.assert_close(logits, told.logits, rtol=1e-4, atol=1e-4)
    stepped, _ = model.step_every(torch.tensor([tokens]), model.initial_state(1, source))
    torch.testing.assert_close(stepped, logits, rtol=1e-4, atol=1e-4)

    looked = model.cross_attention_rows(torch.tensor([tokens]), source, 20)
    assert looked.shape == (model.n_layer, 1, model.n_head, len(tokens) - 20, len(source))
    torch.testing.assert_close(looked, torch.stack(told.cross_attentions)[:, :, :, 20:])
    own = model.attention_rows(torch.tensor([tokens]), 20, condition=source)
    torch.testing.assert_close(own, torch.stack(told.decoder_attentions)[:, :, :, 20:])


def test_any_chunking_and_any_branching_give_the_same_logits():
    model, source = wrapped("marian")
    assert isinstance(model, HasStepEvery)
    assert isinstance(model, HasEmbedding)
    tokens = torch.tensor([[model.bos_token, 7, 30, 4, 9, 12]])
    wanted = model.forward(tokens, source)
    state = model.initial_state(1, source)
    assert isinstance(state, State)
    for start, end in ((0, 2), (2, 3), (3, 6)):
        before = state
        logits, state = model.step_every(tokens[:, start:end], before)
        torch.testing.assert_close(logits, wanted[:, start:end], rtol=1e-4, atol=1e-5)
        # Another branch from the same State changes nothing for the first.
        model.step(torch.full((1, 3), 17), before)
    assert state.length == 6
    short = state.cut(4)
    again, _ = model.step(tokens[:, 4:5], short)
    torch.testing.assert_close(again, wanted[:, 4], rtol=1e-4, atol=1e-5)


def test_a_row_is_the_same_alone_and_beside_others():
    model, source = wrapped("bart")
    sources = torch.tensor([[*WORDS, 1], [6, 8, 1, 2, 2, 2]])  # the second is padded
    tokens = torch.tensor([[1, 30, 31], [1, 40, 41]])
    both, state = model.step_every(tokens, model.initial_state(2, sources))
    first, _ = model.step_every(tokens[:1], model.initial_state(1, source))
    second, _ = model.step_every(tokens[1:], model.initial_state(1, torch.tensor([6, 8, 1])))
    assert torch.equal(both, torch.cat((first, second)))
    turned = state.select(torch.tensor([1, 0, 1]))
    logits, _ = model.step(torch.tensor([[50], [50], [51]]), state=turned)
    apart, _ = model.step(torch.tensor([[50], [50]]), state)
    assert torch.equal(logits[:2], apart.flip(0))
    assert not torch.equal(logits[2], logits[0])
    looked = model.cross_attention_rows(tokens, sources, 1)
    assert looked.shape == (3, 2, 4, 2, 6)
    assert looked[:, 1, :, :, 3:].sum() == 0  # the padding is not there


def test_the_encoder_runs_once_for_a_source_and_its_work_can_be_kept():
    model, source = wrapped()
    runs = []
    hook = model.inner.get_encoder().register_forward_hook(lambda *_: runs.append(1))
    try:
        kept = model.encode(source)
        wanted = greedy(model, source, 5)
        assert runs == [1, 1]
        assert greedy(model, kept, 5) == wanted
        model.initial_state(3, torch.stack([source] * 3))
        assert runs == [1, 1, 1]
    finally:
        hook.remove()
    keys_and_values = 2 * model.n_layer * model.n_head * len(source) * 8
    assert kept.num_bytes == 4 * (len(source) * 32 + keys_and_values)


def test_no_source_is_one_that_is_empty_but_for_its_end():
    model, source = wrapped()
    tokens = torch.tensor([[0, 5, 6]])
    nothing = model.forward(tokens, torch.tensor([model.source_end]))
    assert torch.equal(model.forward(tokens), nothing)
    assert not torch.equal(model.forward(tokens, source), nothing)
    guided = Guided(model, 3.0)
    logits = guided.forward(tokens, source)
    mixed = nothing.log_softmax(-1) + 3 * (
        model.forward(tokens, source).log_softmax(-1) - nothing.log_softmax(-1)
    )
    torch.testing.assert_close(logits.log_softmax(-1), mixed.log_softmax(-1), rtol=1e-3, atol=1e-3)


def test_the_stepper_steps_it_and_its_input_can_be_differentiated():
    model, source = wrapped("marian")
    bound = Conditioned(model, model.encode(source), (model.bos_token,))
    stepper = Stepper(bound, "tiny", [model.bos_token], eos_token=model.source_end)
    lane = Lane(Greedy(), (Processor("no_repeat_ngram_size", 1),))
    for _ in range(6):
        stepper.step(lane)
    assert list(stepper.tokens) == greedy(model, source, 6)
    with pytest.raises(ConfigError, match="never follows"):
        stepper.take(model.bos_token, lane)
    looked = attention(bound, stepper.tokens[:4]).row
    own = model.attention_rows(torch.tensor([stepper.tokens[:4]]), 3, condition=source)
    torch.testing.assert_close(torch.from_numpy(looked), own[:, 0, :, 0])
    assert rollout(bound, stepper.tokens[:4]).over(4).sum() == pytest.approx(1)
    weights = saliency(bound, stepper.tokens[:4], stepper.tokens[4])
    assert len(weights) == 4
    assert (weights > 0).all()


def test_what_has_learned_to_turn_words_round_looks_at_the_letter_it_writes():
    model = PretrainedSeq2Seq(turning_round())
    sources, targets = random_sources(20, torch.Generator().manual_seed(1))
    tokens = torch.cat((torch.full((20, 1), START), targets[:, :-1]), 1)
    logits = model.forward(tokens, sources)
    assert (logits.argmax(-1) == targets).float().mean() > 0.98
    looked = model.cross_attention_rows(tokens, sources, 0)[0, :, 0]  # (20, LENGTH + 1, S)
    backwards = torch.arange(LENGTH - 1, -1, -1)
    assert (looked[:, :LENGTH].argmax(-1) == backwards).float().mean() > 0.95


def test_what_cannot_be_read_is_said():
    model, source = wrapped("marian")
    with pytest.raises(PromptError, match="has 41 tokens; this model reads 1 to 40"):
        model.encode([5] * 41)
    with pytest.raises(PromptError, match="token that this model does not know"):
        model.encode([VOCAB_SIZE])
    with pytest.raises(PromptError, match="has 0 tokens"):
        model.encode([])
    with pytest.raises(ConfigError, match="3 sources for 2 rows"):
        model.initial_state(2, torch.stack([source] * 3))
    with pytest.raises(ConfigError, match="must be token ids"):
        model.initial_state(1, "a text")
    with pytest.raises(ContextFullError):
        model.step(torch.zeros(1, 41, dtype=torch.int64), model.initial_state(1, source))


def test_a_model_that_is_no_encoder_decoder_of_a_known_kind_is_refused():
    from transformers import LEDConfig, LEDForConditionalGeneration

    with pytest.raises(CheckpointError, match="kind 'led' are not read"):
        PretrainedSeq2Seq(
            LEDForConditionalGeneration(
                LEDConfig(
                    vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1,
                    encoder_attention_heads=1, decoder_attention_heads=1, encoder_ffn_dim=8,
                    decoder_ffn_dim=8,
                )
            )
        )  # fmt: skip


def test_a_folder_is_loaded_with_its_tokenizer(tmp_path):
    model, tokenizer = load(turning_round_folder(tmp_path))
    source = torch.tensor(tokenizer.encode_source("pageboil"))
    state, written = model.initial_state(1, source), [tokenizer.bos_token]
    while written[-1] != tokenizer.eos_token and len(written) < 12:
        logits, state = model.step(torch.tensor([written[-1:]]), state)
        written.append(int(logits.argmax()))
    assert tokenizer.decode(written) == "liobegap"


def test_lanes_are_compared_on_a_source_that_is_the_prompt(tmp_path):
    class Loaded:
        model, tokenizer = load(turning_round_folder(tmp_path))
        info = {}  # noqa: RUF012

    specs = [
        LaneSpec("greedy", "greedy"),
        LaneSpec("two beams", "beam_search", {"num_beams": 2}),
        LaneSpec("another source", "greedy", condition="abcdefgh"),
        LaneSpec("guided", "greedy", combination="guided"),
    ]
    running = Comparison(
        specs, "pageboil", model="turner", load=lambda name: Loaded, max_new_tokens=12
    )
    while running.advance():
        pass
    written = [Loaded.tokenizer.decode(result.traces[0].tokens) for result in running.results()]
    assert written == ["liobegap", "liobegap", "hgfedcba", "liobegap"]
