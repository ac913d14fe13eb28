"""Stepper: forward and back, another token, branches, and a full context."""

import pytest
import torch

from playground.decoding.generate import generate_trace
from playground.decoding.kept_states import KEPT_STATES
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.stepper import MAX_BRANCHES, Stepper
from playground.decoding.strategies import Greedy, Sample
from playground.errors import ConfigError, ContextFullError, PromptError
from playground.models.conditioned import Conditioned
from tests.helpers import CONTEXT_LENGTH, MODELS, VOCAB_SIZE, ngram, picture_model, transformer

PROMPT = (VOCAB_SIZE - 1, 1, 2, 3)
LANE = Lane(Sample(), (Processor("temperature", 0.9),), seed=5)


def stepped(model, count: int, lane: Lane = LANE, **options) -> Stepper:
    stepper = Stepper(model, "test", PROMPT, seed=lane.seed, **options)
    for _ in range(count):
        assert stepper.step(lane)
    return stepper


@pytest.mark.parametrize("name", MODELS)
def test_stepping_gives_the_trace_that_generate_gives(name):
    model = MODELS[name]()
    stepper = stepped(model, 20)
    assert stepper.branch.trace == generate_trace(model, "test", PROMPT, LANE, max_new_tokens=20)


def test_what_is_announced_is_what_is_taken():
    stepper = stepped(transformer(), 3)
    announced = stepper.peek(LANE)
    stepper.step(LANE)
    assert stepper.branch.trace.steps[-1] == announced


def test_back_and_on_again_walks_the_same_branch():
    stepper = stepped(transformer(), 10)
    tokens = stepper.tokens
    for _ in range(6):
        stepper.back()
    for _ in range(6):
        stepper.step(LANE)
    assert stepper.tokens == tokens
    assert stepper.at_end
    assert list(stepper.branches) == ["branch 1"]


def test_back_stops_before_the_first_token():
    stepper = stepped(ngram(), 1)
    while stepper.back():
        pass
    assert stepper.cursor == 1
    assert stepper.prefix == PROMPT[:1]


def test_taking_another_token_makes_a_branch_and_keeps_the_old_one():
    stepper = stepped(transformer(), 8)
    before = stepper.branch.trace
    stepper.go_to(7)
    other = (stepper.tokens[7] + 1) % VOCAB_SIZE
    stepper.take(other, LANE)
    assert stepper.current == "branch 2"
    assert stepper.branches["branch 1"].trace == before
    assert stepper.tokens == (*before.tokens[:7], other)
    assert stepper.branch.origin == "branch 1"
    assert stepper.branch.forked_at == 7
    assert stepper.branch.trace.steps[-1].chosen_by == "user"
    stepper.switch("branch 1")
    assert stepper.tokens == before.tokens
    assert stepper.at_end


def test_taking_the_token_that_is_there_only_moves_the_cursor():
    stepper = stepped(transformer(), 4)
    stepper.go_to(5)
    stepper.take(stepper.tokens[5], LANE)
    assert stepper.cursor == 6
    assert len(stepper.branches) == 1


def test_a_branch_inside_the_prompt_has_a_shorter_prompt():
    stepper = stepped(transformer(), 4)
    stepper.go_to(2)
    stepper.take(9, LANE)
    assert stepper.branch.trace.prompt == PROMPT[:2]
    assert stepper.tokens == (*PROMPT[:2], 9)
    assert [s.chosen_by for s in stepper.steps_by_position()] == ["prompt", "user"]


def test_a_branch_goes_on_as_if_its_prefix_had_been_the_prompt():
    stepper = stepped(transformer(), 8)
    stepper.go_to(7)
    stepper.take((stepper.tokens[7] + 1) % VOCAB_SIZE, LANE)
    prefix = stepper.tokens
    for _ in range(10):
        stepper.step(LANE)
    fresh = generate_trace(stepper.model, "test", prefix, LANE, max_new_tokens=10)
    assert stepper.tokens == fresh.tokens


def test_changed_settings_branch_off_where_they_change_the_choice():
    stepper = stepped(transformer(), 6)
    greedy = Lane(Greedy())
    stepper.go_to(len(PROMPT))
    for _ in range(6):
        stepper.step(greedy)
    expected = generate_trace(stepper.model, "test", PROMPT, greedy, max_new_tokens=6)
    assert stepper.tokens == expected.tokens


def test_looking_back_shows_the_decision_as_it_was_made():
    stepper = stepped(transformer(), 6)
    made = stepper.branch.trace.steps[2]
    stepper.go_to(made.position)
    assert stepper.look(LANE) == made
    anew = stepper.look(Lane(Sample(), (Processor("top_k", 3),), seed=5))
    assert anew.token == made.token
    assert anew.stages == ("model", "top_k=3")


def test_prompt_tokens_are_scored_like_a_forward_pass():
    model = transformer()
    stepper = Stepper(model, "test", PROMPT)
    logprobs = model(torch.tensor([PROMPT]))[0].log_softmax(-1)
    for i, step in enumerate(stepper.steps_by_position()):
        assert step.logprob == pytest.approx(logprobs[i, PROMPT[i + 1]].item(), abs=1e-4)


def test_memory_stays_bounded_and_old_places_can_be_visited():
    stepper = stepped(ngram(), 3 * KEPT_STATES)
    assert len(stepper._kept) <= KEPT_STATES
    stepper.go_to(5)
    assert stepper.look(LANE).position == 5


def test_a_full_context_says_so_and_slides_when_asked():
    stepper = stepped(transformer(), CONTEXT_LENGTH - len(PROMPT) + 1)
    with pytest.raises(ContextFullError, match="Slide the window"):
        stepper.peek(LANE)
    stepper.slide = True
    for _ in range(CONTEXT_LENGTH):
        assert stepper.step(LANE)
    steps = stepper.branch.trace.steps
    assert [s.slid for s in steps if s.slid]
    assert stepper.branch.trace == generate_trace(
        stepper.model, "test", PROMPT, LANE, max_new_tokens=len(steps), slide=True
    )


@pytest.mark.parametrize("length", [CONTEXT_LENGTH + 1, 3 * CONTEXT_LENGTH])
def test_a_prompt_beyond_the_context_is_scored_in_windows(length):
    prompt = (VOCAB_SIZE - 1, *(i % 7 for i in range(length)))
    with pytest.raises(ContextFullError):
        Stepper(transformer(), "test", prompt)
    stepper = Stepper(transformer(), "test", prompt, slide=True)
    assert [s.position for s in stepper.steps_by_position()] == list(range(1, length + 1))


@pytest.mark.parametrize("name", MODELS)
def test_a_jump_back_is_read_from_the_state_before_it(name):
    stepper = stepped(MODELS[name](), 90, slide=True)
    read = []
    inner = stepper.model.step

    def counting(tokens, state):
        read.append(tokens.shape[1])
        return inner(tokens, state)

    stepper.model.step = counting
    wanted = stepper.steps_by_position()[68]  # the token at position 69
    stepper.go_to(69)
    stepper.take((wanted.token + 1) % VOCAB_SIZE, LANE)
    assert len(read) == 1
    assert read[0] < 32
    assert stepper.branch.trace.steps[-1].entropy_bits == pytest.approx(wanted.entropy_bits)


def test_what_has_an_end_of_its_own_is_complete_there():
    model = picture_model("gated-pixelcnn")
    size = model.context_length
    stepper = Stepper(model, "test", (5,), longest=size + 1)
    steps = 0
    while stepper.step(LANE):
        steps += 1
    assert steps == size
    assert stepper.has_ended
    whole = Stepper(model, "test", stepper.tokens, longest=size + 1)
    assert whole.has_ended
    assert [s.token for s in whole.prompt_steps] == list(stepper.tokens[1:])
    bits = [s.logprob for s in stepper.branch.trace.steps]
    assert [s.logprob for s in whole.prompt_steps] == pytest.approx(bits, abs=1e-4)
    with pytest.raises(PromptError, match=f"At most {size} tokens"):
        Stepper(model, "test", (*stepper.tokens, 1), longest=size + 1)


def test_the_distribution_is_that_of_every_stage():
    stepper = stepped(transformer(), 3)
    found = stepper.distribution(LANE)
    assert found.shape == (2, VOCAB_SIZE)
    assert found.exp().sum(-1).tolist() == pytest.approx([1, 1])
    for candidate in stepper.look(LANE).candidates:
        told = found[:, candidate.token].tolist()
        assert told == pytest.approx(list(candidate.logprobs), abs=1e-5)


def test_the_end_token_ends_a_branch():
    model = ngram()
    eos = generate_trace(model, "test", PROMPT, LANE, max_new_tokens=3).tokens[-1]
    stepper = Stepper(model, "test", PROMPT, seed=5, eos_token=eos)
    while stepper.step(LANE):
        pass
    assert stepper.has_ended
    assert stepper.tokens[-1] == eos


def test_names_are_kept_apart():
    stepper = stepped(ngram(), 4)
    stepper.rename("mine")
    stepper.go_to(5)
    stepper.take((stepper.tokens[5] + 1) % VOCAB_SIZE, LANE)
    assert stepper.branch.origin == "mine"
    with pytest.raises(ConfigError, match="name"):
        stepper.rename("mine")
    with pytest.raises(ConfigError):
        stepper.rename("   ")
    with pytest.raises(ConfigError):
        stepper.rename("x" * 61)


def branch_off(stepper: Stepper) -> None:
    stepper.switch("branch 1")
    stepper.go_to(len(PROMPT))
    stepper.take((stepper.tokens[len(PROMPT)] + 1) % VOCAB_SIZE, LANE)


def test_branches_are_bounded():
    stepper = stepped(ngram(), 1)
    for _ in range(MAX_BRANCHES - 1):
        branch_off(stepper)
    with pytest.raises(ConfigError, match="Reset"):
        branch_off(stepper)
    assert len(stepper.branches) == MAX_BRANCHES


def test_unknown_tokens_are_refused():
    stepper = stepped(ngram(), 1)
    with pytest.raises(ConfigError, match="no token"):
        stepper.take(VOCAB_SIZE, LANE)
    with pytest.raises(PromptError):
        Stepper(ngram(), "test", (VOCAB_SIZE,))


def test_a_token_that_never_follows_is_not_taken():
    model = Conditioned(transformer(), excluded=(7,))
    stepper = Stepper(model, "m", [7])
    with pytest.raises(ConfigError, match="never follows"):
        stepper.take(7, Lane())
    assert stepper.tokens == (7,)
    stepper.take(6, Lane())
    assert stepper.tokens == (7, 6)
