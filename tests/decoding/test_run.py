"""Every strategy on every model: alone and beside others, whole or stopped, told and checked."""

from dataclasses import dataclass

import pytest

from playground.decoding.beam import BeamSearch
from playground.decoding.contrastive import ContrastiveSearch
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.rows import MAX_ROWS
from playground.decoding.run import Run
from playground.decoding.samples import BestOfN
from playground.decoding.strategies import Greedy, Sample
from playground.decoding.strategy_catalogue import STRATEGIES, make_strategy
from playground.errors import ConfigError
from playground.traces.trace import Trace
from tests.helpers import MODELS, SHIPPED, VOCAB_SIZE, ngram, shipped_folders, transformer

PROMPT, EOS, WORDS = (0, 5, 3), 3, ((1, 2), (2, 4))
SEARCHES = {
    "beam_search", "beam_sample", "diverse_beam_search", "constrained_beam_search",
    "stochastic_beam_search", "best_of_n", "minimum_bayes_risk", "contrastive_search",
}  # fmt: skip
PROCESSORS = [
    (),
    (Processor("temperature", 0.8), Processor("top_k", 9)),
    (Processor("repetition_penalty", 1.3),),
    (Processor("xtc", 0.5, xtc_threshold=0.05),),
    (Processor("mirostat", 3.0),),
]


def strategy_of(name: str, **settings):
    return make_strategy(name, draft=ngram(2), draft_name="ngram", words=WORDS, **settings)


def lane_of(name: str) -> Lane:
    """Return a lane of that strategy; each has its own processors, seed and sample."""
    at = list(STRATEGIES).index(name)
    return Lane(strategy_of(name), PROCESSORS[at % len(PROCESSORS)], seed=at, sample=at % 3)


def traces_of(model, lanes, *, prompt=PROMPT, new=10, stop=None, **options) -> list[Trace]:
    run = Run(model, prompt, lanes, max_new_tokens=new, **options)
    for position, _ in enumerate(run, start=1):
        if position == stop:
            break
    return [run.trace(i, "m") for i in range(len(lanes))]


def check_tree(trace: Trace, name: str) -> None:
    """See that the weighed hypotheses are a tree whose leaves are the results."""
    n_live, paths = 1, {0: ((), 0.0)}
    leaves: dict[tuple[int, ...], float] = {}
    for row in trace.search:
        grown, parents = {}, set()
        for h in row:
            assert 0 <= h.parent < n_live
            tokens, logprob = paths[h.parent]
            assert h.logprob <= logprob + 1e-9
            parents.add(h.parent)
            if h.fate == "live":
                grown[len(grown)] = ((*tokens, h.token), h.logprob)
            elif h.fate == "finished":
                leaves[(*tokens, h.token)] = h.logprob
        for i, (tokens, logprob) in paths.items():  # complete for a constraint, or given up
            if i not in parents and tokens:
                leaves[tokens] = logprob
        paths, n_live = grown, len(grown)
    leaves |= {tokens: logprob for tokens, logprob in paths.values() if tokens}
    for other in trace.alternatives:
        assert leaves[other.tokens] == pytest.approx(other.logprob, abs=1e-9)
    if name in ("best_of_n", "minimum_bayes_risk", "contrastive_search"):
        assert {other.tokens for other in trace.alternatives} == set(leaves)


def check_trace(trace: Trace, name: str, new: int, *, whole: bool = True) -> None:
    assert Trace.from_json(trace.to_json()) == trace
    assert [s.position for s in trace.steps] == list(
        range(len(trace.prompt), len(trace.prompt) + len(trace.steps))
    )
    assert len(trace.steps) <= new
    assert trace.settings["strategy"] == name
    for step in trace.steps:
        assert step.stages == trace.steps[0].stages
        chosen = [c for c in step.candidates if c.token == step.token]
        assert [c.logprobs[0] for c in chosen] == [step.logprob]
        assert [c.logprobs[-1] for c in chosen] == [step.logprob_processed]
        assert step.logprob_processed > -1e9
    assert bool(trace.search) is (name in SEARCHES and bool(trace.steps))
    assert bool(trace.alternatives) is bool(trace.search)
    scores = [other.score for other in trace.alternatives]
    assert scores == sorted(scores, reverse=True)
    if trace.alternatives:
        texts = [other.tokens for other in trace.alternatives]
        own = trace.tokens[len(trace.prompt) :]
        assert own == texts[0] if whole else own in texts
        check_tree(trace, name)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_every_strategy_tells_a_whole_trace(model):
    for name in STRATEGIES:
        (trace,) = traces_of(model, [lane_of(name)], eos_token=EOS)
        check_trace(trace, name, 10)
        assert trace.steps[-1].token == EOS or len(trace.steps) == 10
        assert EOS not in [step.token for step in trace.steps[:-1]]


def test_a_lane_gives_the_same_trace_alone_and_beside_all_others(model):
    lanes = [lane_of(name) for name in STRATEGIES]
    together = traces_of(model, lanes, eos_token=EOS)
    assert traces_of(model, lanes[::-1], eos_token=EOS)[::-1] == together
    for lane, trace in zip(lanes, together, strict=True):
        assert traces_of(model, [lane], eos_token=EOS) == [trace], lane


@pytest.mark.parametrize("build", [transformer, MODELS["lstm-2"]])
def test_lanes_of_one_strategy_leave_each_other_alone(build):
    model = build()
    for name in STRATEGIES:
        lanes = [Lane(strategy_of(name), PROCESSORS[i], seed=i) for i in range(4)]
        together = traces_of(model, lanes, new=6)
        for lane, trace in zip(lanes, together, strict=True):
            assert traces_of(model, [lane], new=6) == [trace], lane


@pytest.mark.parametrize("name", STRATEGIES)
def test_stopping_in_the_middle_leaves_a_whole_trace(name):
    model = transformer()
    for stop in (1, 2, 5):
        (trace,) = traces_of(model, [lane_of(name)], stop=stop, eos_token=EOS)
        check_trace(trace, name, 10, whole=False)
        assert len(trace.steps) >= stop - (name == "contrastive_search")


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("new", [0, 1, 2])
def test_few_tokens_or_none_can_be_asked_for(name, new):
    if name == "constrained_beam_search":
        if not new:
            return  # no word fits: refused, see test_constrained_beam
        strategy = make_strategy(name, words=((2,),))
    else:
        strategy = strategy_of(name)
    for model in (ngram(3), transformer()):
        run = Run(model, PROMPT, [Lane(strategy)], max_new_tokens=new)
        rows = list(run)
        trace = run.trace(0, "m")
        check_trace(trace, name, new)
        assert len(trace.steps) == new
        assert run.is_done
        assert len([row for row in rows if row[0] is not None]) == new


@pytest.mark.parametrize("name", STRATEGIES)
def test_past_the_context_every_strategy_slides(name):
    """Prompts on both sides of the context's length, and texts far beyond it."""
    model = transformer(context_length=12)
    for length in (3, 11, 12, 13, 30):
        prompt = tuple(i * i % VOCAB_SIZE for i in range(length))
        lanes = [lane_of(name), Lane(seed=3)]
        together = traces_of(model, lanes, prompt=prompt, new=16, slide=True)
        assert traces_of(model, lanes[:1], prompt=prompt, new=16, slide=True) == together[:1]
        check_trace(together[0], name, 16)
        assert len(together[0].steps) == 16
        slid = [(step.position, step.slid) for step in together[1].steps if step.slid]
        assert [(s.position, s.slid) for s in together[0].steps if s.slid] == slid


@dataclass(frozen=True)
class Until:
    """Stands for a constraint: a text is complete once it says `token`."""

    token: int
    is_off = False

    def __call__(self, logits, context):
        return logits

    def is_over(self, context):
        return [self.token in row for row in context.made.tolist()]

    def to_json(self):
        return ["until", {"token": self.token}]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_text_that_is_complete_is_not_gone_on_with(name):
    for seed in range(4):
        model, lane = ngram(3, seed), Lane(strategy_of(name), (Until(3),), seed=seed)
        (trace,) = traces_of(model, [lane], new=14)
        check_trace(trace, name, 14)
        results = [o.tokens for o in trace.alternatives] or [trace.tokens[len(PROMPT) :]]
        for tokens in results:
            assert 3 not in tokens[:-1]
            assert tokens[-1] == 3 or len(tokens) == 14
        if name == "constrained_beam_search":
            assert all(str((1, 2))[1:-1] in str(tokens) for tokens in results)
    (trace,) = traces_of(ngram(), [Lane(strategy_of(name), (Until(5),))], prompt=(0, 5), new=14)
    check_trace(trace, name, 14)


@dataclass(frozen=True)
class Complete(Until):
    """A constraint that is complete before anything is said."""

    def is_over(self, context):
        return [True] * len(context.tokens)


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_said_where_all_is_said(name):
    run = Run(ngram(), PROMPT, [Lane(strategy_of(name), (Complete(0),))], max_new_tokens=9)
    assert all(row == (None,) for row in run)
    assert run.is_done
    assert run.trace(0, "m").steps == ()


@pytest.fixture(scope="module")
def reader():
    from playground.checkpoints import load

    folder = next(f for f in shipped_folders() if f.name == "kjv-char-ngram")
    model, tokenizer, *_ = load(folder)
    return model, tokenizer


def said(reader, strategy, processor, prompt="And God ", new=30, **lane) -> list[str]:
    model, tokenizer = reader
    tokens = [tokenizer.bos_token, *tokenizer.encode(prompt)]
    run = Run(
        model, tokens, [Lane(strategy, (processor,), **lane)], max_new_tokens=new,
        tokenizer=tokenizer,
    )  # fmt: skip
    for _ in run:
        pass
    trace = run.trace(0, "m")
    results = [o.tokens for o in trace.alternatives] or [trace.tokens[len(tokens) :]]
    return [tokenizer.decode(list(result)) for result in results]


def test_beams_find_the_most_probable_choice(reader):
    model, tokenizer = reader
    choices = ["said", "saw it", "created the heaven", "was wroth", "zzz"]
    scores = {}
    for text in choices:
        alone = Run(
            model, [tokenizer.bos_token, *tokenizer.encode("And God ")],
            [Lane(Greedy(), (Processor("choice", text),))], max_new_tokens=30, tokenizer=tokenizer,
        )  # fmt: skip
        for _ in alone:
            pass
        scores[text] = sum(step.logprob for step in alone.trace(0, "m").steps)
    found = said(reader, BeamSearch(8, length_penalty=0.0), Processor("choice", "\n".join(choices)))
    assert found == sorted(scores, key=scores.get, reverse=True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_pattern_holds_for_every_result_of_every_strategy(reader, name):
    model, tokenizer = reader
    words = (tuple(tokenizer.encode("ab")),)
    strategy = make_strategy(name, draft=model, draft_name="itself", words=words)
    results = said(reader, strategy, Processor("regex", "[abc]{6}x"), seed=4)
    for text in results:
        assert len(text) == 7
        assert set(text[:6]) <= set("abc")
        assert text[6] == "x"
    if name == "constrained_beam_search":
        assert all("ab" in text for text in results)


def test_lanes_hold_no_more_rows_than_the_bound():
    lanes = (
        [Lane(BeamSearch(32))] * 7 + [Lane(BestOfN(64))] * 4 + [Lane(ContrastiveSearch(0.5, 32))]
    )
    assert sum(lane.strategy.max_rows for lane in lanes) == MAX_ROWS
    Run(ngram(2), PROMPT, lanes)
    with pytest.raises(ConfigError, match="at most 512 texts at once, got 513"):
        Run(ngram(2), PROMPT, [*lanes, Lane()])


def test_calls_of_the_model_are_counted():
    model = transformer()
    lanes = [Lane(Greedy()), Lane(BeamSearch(3)), Lane(ContrastiveSearch()), Lane(BestOfN(2))]
    run = Run(model, PROMPT, lanes, max_new_tokens=7)
    for _ in run:
        pass
    assert [run.calls(i) for i in range(4)] == [6, 6, 7, 6]


def test_samples_of_a_lane_are_its_own_with_shared_noise():
    """Best of 3 draws what samples 0, 1 and 2 draw, coins of processors included."""
    coin = (Processor("xtc", 0.5, xtc_threshold=0.05),)
    many, *ones = traces_of(
        ngram(), [Lane(BestOfN(3), coin, 9), *(Lane(Sample(), coin, 9, i) for i in range(3))]
    )
    texts = {one.tokens[len(PROMPT) :] for one in ones}
    assert {other.tokens for other in many.alternatives} == texts


def test_shipped_models_run_every_strategy_side_by_side():
    model = SHIPPED["kjv-char-transformer"]()
    draft = SHIPPED["kjv-char-ngram"]()
    lanes = [
        Lane(make_strategy(name, draft=draft, draft_name="n", words=((20, 21),)), seed=2)
        for name in STRATEGIES
    ]
    prompt = (model.vocab_size - 1, 10, 20, 30)
    together = traces_of(model, lanes, prompt=prompt, new=12)
    for lane, trace in zip(lanes, together, strict=True):
        assert traces_of(model, [lane], prompt=prompt, new=12) == [trace]
