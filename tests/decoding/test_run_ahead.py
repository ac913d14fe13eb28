"""Running ahead decides what single steps decide, whoever proposes the tokens."""

import pytest
import torch

from playground.decoding.ahead import BURST
from playground.decoding.beam import BeamSearch
from playground.decoding.contrastive import ContrastiveSearch
from playground.decoding.decide import SCORED_ROWS, apply_processors, tell
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.speculative import PromptLookup
from playground.decoding.stepper import LONGEST, Stepper
from playground.decoding.strategies import Greedy
from playground.errors import ConfigError, ContextFullError
from playground.models import FAMILIES
from playground.models.base import HasSampleAhead
from playground.models.conditioned import Conditioned, as_drawn
from playground.models.guided import Guided
from tests.helpers import (
    CONTEXT_LENGTH,
    VOCAB_SIZE,
    Chain,
    lstm,
    ngram,
    picture_model,
    random_tokens,
    transformer,
    with_weights,
)

BOS = VOCAB_SIZE - 1
PROMPT = (BOS, 1, 2, 3)
P = Processor
LANES = {
    "sample": Lane(seed=3),
    "warm": Lane(processors=(P("temperature", 1.3),), seed=4),
    "greedy": Lane(Greedy()),
    "cool and greedy": Lane(Greedy(), (P("temperature", 0.5),)),
    "top-k": Lane(processors=(P("temperature", 0.8), P("top_k", 4)), seed=5),
    "two temperatures": Lane(processors=(P("temperature", 0.8), P("dynatemp", 0.4)), seed=5),
    "penalties": Lane(
        processors=(P("repetition_penalty", 1.3), P("frequency_penalty", 0.4), P("dry", 0.8)),
        seed=6,
    ),
    "random cut": Lane(processors=(P("xtc", 0.6), P("min_new_tokens", 20)), seed=7),
    "mirostat": Lane(processors=(P("mirostat", 2.0),), seed=8, sample=2),
}


class DrawsAhead(torch.nn.Module):
    """A model that draws ahead by its own steps, and wrongly where a test wants it to."""

    def __init__(self, model, errs=lambda position: False):
        super().__init__()
        self.model, self.errs, self.asked = model, errs, []
        self.vocab_size, self.context_length = model.vocab_size, model.context_length

    def forward(self, tokens, condition=None):
        return self.model.forward(tokens, condition)

    def initial_state(self, batch_size, condition=None):
        return self.model.initial_state(batch_size, condition)

    def step(self, tokens, state):
        return self.model.step(tokens, state)

    def sample_ahead(self, token, state, uniforms, temperature):
        self.asked.append(len(uniforms))
        rows, tokens = [], []
        for uniform in uniforms:
            logits, state = self.step(token, state)
            cumulated = (logits.double() / temperature).softmax(-1).cumsum(-1)
            token = torch.searchsorted(cumulated, uniform.view(1, 1), right=True)
            token = token.clamp(max=self.vocab_size - 1)
            if self.errs(state.length):
                token = (token + 1) % self.vocab_size
            rows.append(logits)
            tokens.append(token[0])
        return torch.cat(tokens), torch.cat(rows), state


def chain() -> Chain:
    generator = torch.Generator().manual_seed(3)
    return Chain((torch.rand(VOCAB_SIZE, VOCAB_SIZE, generator=generator) ** 4).tolist())


def sound(family: str, **sizes) -> Conditioned:
    config_class, model_class = FAMILIES[family]
    model = with_weights(model_class(config_class(levels=BOS, **sizes)))
    return as_drawn(model, BOS)


MODELS = {
    "ngram": ngram,
    "lstm": lstm,
    "transformer": transformer,
    "always right": lambda: DrawsAhead(chain()),
    "often wrong": lambda: DrawsAhead(chain(), lambda position: position % 7 == 3),
    "always wrong": lambda: DrawsAhead(lstm(), lambda position: True),
    "told": lambda: as_drawn(DrawsAhead(transformer(), lambda position: position == 30), BOS),
    "guided": lambda: as_drawn(Guided(lstm(), 2.0), BOS),
    "wavenet": lambda: sound("wavenet", channels=16, skip_channels=16, n_layer=4),
    "samplernn": lambda: sound("samplernn", frame_size=4, n_embd=8, n_hidden=16, n_mlp=16),
}


def start(model, prompt=PROMPT, **options) -> Stepper:
    return Stepper(model, "test", prompt, **options)


def one_by_one(stepper: Stepper, lane: Lane, count: int) -> int:
    return sum(stepper.step(lane) for _ in range(count))


def assert_same(found: Stepper, wanted: Stepper) -> None:
    assert found.tokens == wanted.tokens
    assert found.branches == wanted.branches
    assert (found.current, found.cursor) == (wanted.current, wanted.cursor)


@pytest.mark.parametrize("lane", LANES.values(), ids=LANES)
@pytest.mark.parametrize("name", MODELS)
def test_it_decides_what_single_steps_decide(name, lane):
    model = MODELS[name]()
    found, wanted = start(model, slide=True), start(model, slide=True)
    for count in (1, 2, 40, 17):
        assert found.run_ahead(lane, count) == count
        assert one_by_one(wanted, lane, count) == count
        assert_same(found, wanted)
    assert torch.equal(found.distribution(lane), wanted.distribution(lane))


@pytest.mark.parametrize("strategy", [ContrastiveSearch(top_k=3), PromptLookup()])
def test_strategies_that_do_not_decide_token_by_token_are_stepped(strategy):
    lane, found, wanted = Lane(strategy, seed=9), start(transformer()), start(transformer())
    assert found.run_ahead(lane, 12) == one_by_one(wanted, lane, 12) == 12
    assert_same(found, wanted)


def test_a_search_has_no_next_token_here_either():
    stepper = start(ngram())
    with pytest.raises(ConfigError, match="no single next token"):
        stepper.run_ahead(Lane(BeamSearch(2)), 5)


def test_a_model_draws_nearly_all_of_a_burst():
    model = DrawsAhead(chain())
    stepper = start(model)
    assert stepper.run_ahead(LANES["warm"], 600) == 600
    assert isinstance(model, HasSampleAhead)
    assert sum(model.asked) > 590
    assert len(model.asked) <= 600 // BURST + 2


def test_what_a_model_cannot_draw_is_stepped():
    model = as_drawn(chain(), BOS)  # binds a model that draws nothing ahead
    assert model.sample_ahead(None, None, None, 1.0) is None
    found, wanted = start(model), start(model)
    assert found.run_ahead(LANES["warm"], 30) == one_by_one(wanted, LANES["warm"], 30) == 30
    assert_same(found, wanted)


@pytest.mark.parametrize("excluded", [(BOS,), (0, 1, BOS)])
def test_what_is_excluded_is_drawn_again(excluded):
    inner = DrawsAhead(chain())
    model = Conditioned(inner, None, excluded)
    found, wanted = start(model), start(model)
    found.run_ahead(LANES["warm"], 300)
    one_by_one(wanted, LANES["warm"], 300)
    assert_same(found, wanted)
    assert not set(excluded) & set(found.tokens[len(PROMPT) :])
    assert len(inner.asked) > 3  # cut where it proposed what is excluded


@pytest.mark.parametrize("make", [ngram, lambda: DrawsAhead(chain())], ids=["steps", "draws"])
@pytest.mark.parametrize("position", [1, 2, 30])
def test_the_end_token_ends_a_burst(make, position):
    model, lane = make(), Lane(seed=11)
    plain = start(model, (BOS,))
    plain.run_ahead(lane, 40)
    end = plain.tokens[position]
    expected = plain.tokens.index(end)
    found, wanted = (start(model, (BOS,), eos_token=end) for _ in range(2))
    assert found.run_ahead(lane, 40) == one_by_one(wanted, lane, 40) == expected
    assert found.has_ended
    assert_same(found, wanted)
    assert found.run_ahead(lane, 5) == 0


def test_what_has_an_end_of_its_own_ends_there():
    model = as_drawn(picture_model("gated-pixelcnn"), 5)
    size = model.context_length
    found, wanted = (start(model, (5,), longest=size + 1) for _ in range(2))
    assert found.run_ahead(LANES["warm"], 1000) == size
    assert one_by_one(wanted, LANES["warm"], 1000) == size
    assert_same(found, wanted)
    assert found.has_ended


@pytest.mark.parametrize("make", [transformer, lambda: DrawsAhead(transformer())])
def test_a_full_context_says_so_where_single_steps_do_and_slides_when_asked(make):
    lane, found, wanted = LANES["warm"], start(make()), start(make())
    for run in (found.run_ahead, lambda *told: one_by_one(wanted, *told)):
        with pytest.raises(ContextFullError, match="Slide the window"):
            run(lane, 100)
    assert_same(found, wanted)
    assert len(found.tokens) == CONTEXT_LENGTH + 1
    found.slide = wanted.slide = True
    found.run_ahead(lane, 2 * CONTEXT_LENGTH)
    one_by_one(wanted, lane, 2 * CONTEXT_LENGTH)
    assert_same(found, wanted)
    assert sum(step.slid > 0 for step in found.branch.trace.steps) > 2


@pytest.mark.parametrize("make", [lstm, lambda: DrawsAhead(lstm())], ids=["steps", "draws"])
def test_back_and_on_again_walks_the_same_branch_and_beyond(make):
    lane, found, wanted = LANES["warm"], start(make()), start(make())
    for stepper in (found, wanted):
        one_by_one(stepper, lane, 90)
        stepper.go_to(60)
    assert found.run_ahead(lane, 70) == one_by_one(wanted, lane, 70) == 70
    assert_same(found, wanted)
    assert list(found.branches) == ["branch 1"]


@pytest.mark.parametrize("make", [transformer, lambda: DrawsAhead(chain())], ids=["steps", "draws"])
def test_branches_grow_side_by_side(make):
    lane, found, wanted = LANES["sample"], start(make()), start(make())
    for stepper, run in ((found, Stepper.run_ahead), (wanted, one_by_one)):
        run(stepper, lane, 20)
        stepper.go_to(12)
        stepper.take((stepper.tokens[12] + 1) % VOCAB_SIZE, lane)
        run(stepper, lane, 12)
        stepper.rename("mine")
        stepper.switch("branch 1")
        run(stepper, lane, 9)
        stepper.go_to(20)
        run(stepper, LANES["warm"], 9)  # other settings branch off where they change a choice
    assert_same(found, wanted)
    assert len(found.branches) == 3
    for name in found.branches:
        for stepper in (found, wanted):
            stepper.switch(name)
            stepper.go_to(stepper.cursor - 3)
        assert torch.equal(found.distribution(lane), wanted.distribution(lane))


@pytest.mark.parametrize("make", [lstm, lambda: DrawsAhead(lstm())], ids=["steps", "draws"])
def test_a_jump_back_is_read_from_the_state_before_it(make):
    stepper = start(make())
    stepper.run_ahead(LANES["sample"], 3 * BURST)
    read, inner = [], stepper.model.step
    stepper.model.step = lambda tokens, state: read.append(tokens.shape[1]) or inner(tokens, state)
    stepper.go_to(2 * BURST + 100)
    stepper.distribution(LANES["sample"])
    assert len(read) == 1
    assert read[0] <= 100


def test_a_step_keeps_as_many_candidates_as_asked():
    found, wanted = (start(chain(), n_candidates=3) for _ in range(2))
    found.run_ahead(LANES["top-k"], 10)
    one_by_one(wanted, LANES["top-k"], 10)
    assert_same(found, wanted)
    assert all(3 <= len(s.candidates) <= 7 for s in found.branch.trace.steps)
    found.go_to(7)
    assert len(found.look(Lane(seed=5)).candidates) <= 4


def test_thousands_of_tokens_are_kept():
    stepper = start(DrawsAhead(chain()), longest=LONGEST, n_candidates=1)
    assert stepper.run_ahead(LANES["sample"], 5000) == 5000
    assert len(stepper.steps_by_position()) == 5003
    assert stepper.branch.trace.tokens == stepper.tokens
    with pytest.raises(ConfigError, match="longest"):
        start(chain(), longest=LONGEST + 1)


@pytest.mark.parametrize("vocab_size", [23, 256, 257, 1000])
def test_a_row_is_told_the_same_beside_others(vocab_size):
    generator = torch.Generator().manual_seed(vocab_size)
    logits = 3 * torch.randn(70, vocab_size, generator=generator)
    logits[torch.rand(70, vocab_size, generator=generator) < 0.1] = -torch.inf
    uniforms = torch.rand(70, 1, dtype=torch.float64, generator=generator)
    lane = LANES["warm"]
    stages = apply_processors(logits, lane, None)
    tokens = lane.strategy.choose(stages[-1], uniforms)
    told = tell(stages, tokens, [lane] * 70, range(9, 79))
    for row in range(70):
        alone = apply_processors(logits[row : row + 1], lane, None)
        token = lane.strategy.choose(alone[-1], uniforms[row : row + 1])
        assert [told[row]] == tell(alone, token, [lane], 9 + row)


def test_a_long_beginning_is_scored_like_a_short_one():
    tokens = [BOS, *random_tokens(SCORED_ROWS + 500, seed=4).tolist()]
    stepper = start(chain(), tokens, longest=LONGEST)
    logprobs = chain().logits[torch.tensor(tokens[:-1])].log_softmax(-1)
    wanted = logprobs.gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]
    assert [s.position for s in stepper.prompt_steps] == list(range(1, len(tokens)))
    assert [s.token for s in stepper.prompt_steps] == tokens[1:]
    assert [s.logprob for s in stepper.prompt_steps] == pytest.approx(wanted.tolist(), abs=1e-5)
