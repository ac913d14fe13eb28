"""Lanes in lockstep: what a lane does depends on its own settings alone."""

from itertools import islice

import pytest
import torch

from playground.decoding.decide import score
from playground.decoding.generate import generate, generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.strategies import Greedy, Sample
from playground.decoding.window import dropped_tokens, slid_before, visible_window
from playground.errors import ConfigError, ContextFullError, PromptError
from tests.helpers import MODELS, VOCAB_SIZE, ngram, transformer

PROMPT = (0, 5, 3)
LANES = [
    Lane(Greedy()),
    Lane(seed=1),
    Lane(seed=1, sample=1),
    Lane(seed=7, processors=(Processor("temperature", 1.5), Processor("top_p", 0.8))),
    Lane(seed=7, processors=(Processor("repetition_penalty", 1.3), Processor("top_k", 5))),
    Lane(Greedy(), processors=(Processor("repetition_penalty", 2.0),)),
]


def steps_of(model, lanes, prompt=PROMPT, **options):
    """Return the steps of each lane."""
    columns = zip(*generate(model, prompt, lanes, **options), strict=True)
    return [tuple(step for step in column if step is not None) for column in columns]


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_greedy_takes_the_argmax_of_forward(model):
    tokens = torch.tensor([PROMPT])
    for _ in range(20):
        best = model.forward(tokens)[:, -1:].argmax(-1)
        tokens = torch.cat((tokens, best), dim=1)
    trace = generate_trace(model, "m", PROMPT, Lane(Greedy()), max_new_tokens=20)
    assert trace.tokens == tuple(tokens[0].tolist())
    assert all(step.rank == 1 for step in trace.steps)


def test_a_lane_gives_the_same_steps_alone_and_beside_others(model):
    together = steps_of(model, LANES, max_new_tokens=25)
    for lane, steps in zip(LANES, together, strict=True):
        assert len(steps) == 25
        assert steps_of(model, [lane], max_new_tokens=25) == [steps]
    backwards = steps_of(model, LANES[::-1], max_new_tokens=25)
    assert backwards[::-1] == together


def test_a_seed_gives_the_same_steps_again_and_another_seed_gives_others(model):
    first, again, other = (
        steps_of(model, [Lane(seed=seed)], max_new_tokens=30) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other
    assert steps_of(model, [Lane(seed=3, sample=1)], max_new_tokens=30) != first


@pytest.mark.parametrize(
    "processor", [Processor("top_k", 1), Processor("temperature", 0.05), Processor("top_p", 0.01)]
)
def test_a_distribution_of_one_token_is_greedy(model, processor):
    greedy, sampled = (
        [step.token for step in steps]
        for steps in steps_of(
            model, [Lane(Greedy()), Lane(processors=(processor,), seed=5)], max_new_tokens=20
        )
    )
    if processor.name != "temperature":
        assert sampled == greedy
    else:  # at 1/20 of the temperature a token half as likely comes once in a million
        (steps,) = steps_of(model, [Lane(processors=(processor,), seed=5)], max_new_tokens=20)
        assert all(step.candidates[0].logprobs[0] - step.logprob < 0.7 for step in steps)


def test_the_steps_of_a_text_tell_what_forward_thinks_of_it(model):
    trace = generate_trace(model, "m", PROMPT, Lane(seed=2), max_new_tokens=15)
    logprobs = model.forward(torch.tensor([trace.tokens]))[0].double().log_softmax(-1)
    for step in trace.steps:
        row = logprobs[step.position - 1]
        assert step.logprob == pytest.approx(row[step.token].item(), abs=1e-4)
        assert step.entropy == pytest.approx(-(row.exp() * row).sum().item(), abs=1e-4)
        assert step.kept == VOCAB_SIZE
        assert [c.logprobs[0] for c in step.candidates] == sorted(
            (c.logprobs[0] for c in step.candidates), reverse=True
        )
        assert step.token in {c.token for c in step.candidates}


def test_a_step_tells_which_processor_removed_what():
    lane = Lane(processors=(Processor("temperature", 0.8), Processor("top_k", 3)))
    (step,) = generate_trace(transformer(), "m", PROMPT, lane, max_new_tokens=1).steps
    assert step.stages == ("model", "temperature=0.8", "top_k=3")
    assert step.kept == 3
    kept = [c for c in step.candidates if c.removed_by is None]
    assert len(kept) == 3
    assert all(c.removed_by == 2 for c in step.candidates if c not in kept)
    assert sum(2.718281828459045 ** c.logprobs[-1] for c in kept) == pytest.approx(1)


def test_processors_that_are_off_are_no_stage():
    lane = Lane(processors=(Processor("temperature", 1.0), Processor("top_k", 0)))
    (step,) = generate_trace(transformer(), "m", PROMPT, lane, max_new_tokens=1).steps
    assert step.stages == ("model",)
    assert lane.settings()["processors"] == []


def test_sampling_follows_the_distribution():
    model, draws = ngram(3), 10_000
    probs = model.forward(torch.tensor([PROMPT]))[0, -1].double().softmax(-1)
    counts = torch.zeros(VOCAB_SIZE, dtype=torch.float64)
    logits = probs.log()[None].expand(1, -1)
    for sample in range(draws):
        uniform = torch.tensor([[Lane(seed=9, sample=sample).uniform(3)]])
        token = Sample().choose(logits, uniform)
        counts[token] += 1
    expected = probs * draws
    assert expected.min() > 5  # or chi-square does not hold
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < 48.3  # 22 degrees of freedom: exceeded once in a thousand


def test_a_removed_token_is_never_drawn():
    logits = torch.full((1, 9), -torch.inf)
    logits[0, [2, 5]] = torch.tensor([0.0, -8.0])
    uniforms = [torch.tensor([[Lane(sample=s).uniform(0)]]) for s in range(2000)]
    drawn = {int(Sample().choose(logits, uniform)) for uniform in uniforms}
    assert drawn <= {2, 5}


def test_an_end_token_ends_its_lane_and_the_others_go_on():
    model = ngram(2)
    lanes = [Lane(seed=seed) for seed in range(6)]
    rows = list(generate(model, PROMPT, lanes, max_new_tokens=60, eos_token=1))
    ended = [[row[lane] is None for row in rows] for lane in range(6)]
    lengths = [flags.index(True) if True in flags else len(rows) for flags in ended]
    assert len(set(lengths)) > 2
    for lane, length in enumerate(lengths):
        steps = [row[lane] for row in rows[:length]]
        assert steps[-1].token == 1 or length == 60
        assert all(step.token != 1 for step in steps[:-1])
        assert all(ended[lane][length:])
        alone = steps_of(model, [lanes[lane]], max_new_tokens=60, eos_token=1)[0]
        assert alone == tuple(steps)


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal"])
def test_lanes_that_slide_give_the_same_steps_alone_and_beside_others(positions):
    model = transformer(positions, context_length=16)
    together = steps_of(model, LANES, max_new_tokens=40, slide=True)
    for lane, steps in zip(LANES, together, strict=True):
        assert len(steps) == 40
        assert steps_of(model, [lane], max_new_tokens=40, slide=True) == [steps]
        slid = {step.position: step.slid for step in steps if step.slid}
        assert slid == {17: 9, 26: 9, 35: 9}


def test_a_slid_step_is_what_the_model_says_of_bos_and_the_newest_half():
    model = transformer(context_length=16)
    trace = generate_trace(model, "m", PROMPT, Lane(seed=2), max_new_tokens=40, slide=True)
    for step in trace.steps:
        window = visible_window(trace.tokens[: step.position], 16)
        assert window[0] == PROMPT[0]
        assert len(window) <= 16
        row = model.forward(torch.tensor([window]))[0, -1].double().log_softmax(-1)
        assert step.logprob == pytest.approx(row[step.token].item(), abs=1e-4)


@pytest.mark.parametrize("context_length", [1, 2, 3, 7, 16])
def test_a_window_never_outgrows_the_context_and_slides_by_the_sum_of_its_slides(context_length):
    dropped = 0
    for length in range(1, 60):
        dropped += slid_before(length, context_length)
        assert dropped == dropped_tokens(length, context_length)
        window = visible_window(tuple(range(length)), context_length)
        assert len(window) == length - dropped <= max(context_length, 1)
        assert window[0] == 0
        assert window[1:] == tuple(range(dropped + 1, length))


def test_a_prompt_longer_than_the_context_slides_or_is_refused():
    model, prompt = transformer(context_length=16), tuple(i % 20 for i in range(50))
    with pytest.raises(ContextFullError, match="Slide the window"):
        list(generate(model, prompt, [Lane()]))
    (steps,) = steps_of(model, [Lane()], prompt, max_new_tokens=5, slide=True)
    assert [step.position for step in steps] == [50, 51, 52, 53, 54]


def test_a_full_context_is_told_after_the_last_step_that_fits():
    stream = generate(transformer(context_length=16), PROMPT, [Lane()], max_new_tokens=100)
    seen = [next(stream)[0].position for _ in range(14)]
    assert seen == list(range(3, 17))
    with pytest.raises(ContextFullError, match="at most 16 tokens"):
        next(stream)


def test_stopping_is_ceasing_to_iterate_and_nothing_is_computed_ahead():
    model, calls = ngram(2), []
    step, model.step = model.step, lambda *args: (calls.append(1), step(*args))[1]
    run = generate(model, PROMPT, [Lane()], max_new_tokens=50)
    assert len(list(islice(run, 4))) == 4
    run.close()
    assert len(calls) == 4  # the prompt, and one for each token but the last


def test_the_global_generator_and_inference_mode_of_the_caller_are_left_alone():
    model = transformer()
    before = torch.get_rng_state()
    drawn = []
    for row in generate(model, PROMPT, LANES, max_new_tokens=3):
        assert not torch.is_inference_mode_enabled()
        assert torch.equal(torch.get_rng_state(), before)
        drawn.append(row)
    for first, row in zip(drawn, generate(model, PROMPT, LANES, max_new_tokens=3), strict=True):
        assert row == first
        torch.rand(1)  # a caller may draw; the lanes do not hear of it


def test_no_new_tokens_give_no_steps():
    assert list(generate(ngram(2), PROMPT, [Lane()], max_new_tokens=0)) == []


@pytest.mark.parametrize("prompt", [(), (VOCAB_SIZE,), (-1,), (0, 10**9)])
def test_a_prompt_of_other_tokens_is_refused(prompt):
    with pytest.raises(PromptError, match=rf"tokens from 0 to {VOCAB_SIZE - 1}"):
        next(generate(ngram(2), prompt, [Lane()]))


@pytest.mark.parametrize(
    ("lanes", "options", "message"),
    [
        ([], {}, "the number of lanes must be"),
        ([Lane()] * 65, {}, "the number of lanes must be"),
        ([Lane()], {"max_new_tokens": -1}, "max_new_tokens must be"),
        ([Lane()], {"max_new_tokens": 10**9}, "max_new_tokens must be"),
    ],
)
def test_absurd_requests_are_refused(lanes, options, message):
    with pytest.raises(ConfigError, match=message):
        next(generate(ngram(2), PROMPT, lanes, **options))


@pytest.mark.parametrize("seed", [-1, 2**60, 1.5, True, None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        Lane(seed=seed)


def test_given_tokens_are_scored_like_generated_ones():
    model = transformer()
    trace = generate_trace(model, "m", PROMPT, Lane(seed=2), max_new_tokens=10)
    logits = model.forward(torch.tensor([trace.tokens[:-1]]))[0]
    steps = score(logits, trace.tokens[1:])
    assert [s.position for s in steps] == list(range(1, len(trace.tokens)))
    for given, made in zip(steps[2:], trace.steps, strict=True):
        assert (given.token, given.rank, given.kept) == (made.token, made.rank, made.kept)
        assert given.logprob == pytest.approx(made.logprob, abs=1e-4)
        assert given.entropy == pytest.approx(made.entropy, abs=1e-4)
    assert score(logits[:0], ()) == ()
