"""A model on a server: against a real llama.cpp process, and small ones of other shapes."""

import math
import threading

import pytest
import torch

from playground.command_line import main
from playground.compression.codec import compress
from playground.decoding import prompt_scores
from playground.decoding.beam import BeamSearch
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.run import Run
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy, Sample
from playground.errors import (
    CompressionError,
    ConfigError,
    ContextFullError,
    PromptError,
    RemoteError,
)
from playground.models.remote import MOST_POSITIONS, RemoteModel
from playground.models.remote_client import BrokenError, RemoteSettings
from playground.tokenizers.remote import REST, RemoteTokenizer
from playground.traces.trace import Trace
from tests import remote_server
from tests.remote_server import CONTEXT, LONGEST, Llama, close, expected, free_port, shaped_server

PROMPT = "The capital of France is"
GREEDY = Lane(Greedy())
HOT = Lane(Sample(), (Processor("temperature", 1.5),), seed=3)


@pytest.fixture(scope="module")
def llama():
    server = Llama(free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def remote(llama):
    return RemoteModel.connect(RemoteSettings(llama.url, top=20))


def stepper(model: RemoteModel, prompt: str = PROMPT, **more) -> Stepper:
    return remote_server.stepper(model, prompt, **more)


def requests_of(model: RemoteModel, monkeypatch) -> list:
    """Return a list that grows by the body of every request."""
    asked, post = [], model.engine.client.post_each

    def counted(path, bodies):
        asked.extend(bodies)
        return post(path, bodies)

    monkeypatch.setattr(model.engine.client, "post_each", counted)
    return asked


# -- llama.cpp -------------------------------------------------------------------------------------


def test_greedy_steps_are_what_the_server_itself_generates(remote):
    own = stepper(remote)
    prompt = list(own.tokens)
    assert own.run_ahead(GREEDY, 20) == 20
    asked = {"prompt": prompt, "n_predict": 20, "temperature": 0, "return_tokens": True}
    answer = remote.engine.client.post("/completion", asked)
    assert answer["tokens"] == list(own.tokens[len(prompt) :])
    assert own.tokenizer.decode(own.tokens[len(prompt) :]) == answer["content"]


def test_probabilities_are_the_server_s_own_and_the_rest_is_one_token(remote):
    own = stepper(remote)
    step = own.peek(GREEDY)
    asked = {"prompt": list(own.tokens), "n_predict": 1, "n_probs": 20, "temperature": 0}
    answer = remote.engine.client.post("/completion", asked)
    listed = answer["completion_probabilities"][0]["top_logprobs"]
    told = {c.token: c.logprobs for c in step.candidates}
    rest = told.pop(remote.rest_token)
    assert {e["id"] for e in listed} >= set(told)
    for entry in listed:
        if entry["id"] in told:
            assert told[entry["id"]][0] == pytest.approx(entry["logprob"], abs=1e-5)
            assert own.tokenizer.token_bytes(entry["id"]) == bytes(entry["bytes"])
    missing = 1 - math.fsum(math.exp(e["logprob"]) for e in listed)
    assert math.exp(rest[0]) == pytest.approx(missing, abs=1e-5)
    assert rest[1] == -math.inf
    assert step.stages == ("model", "listed")
    assert step.kept == 20
    assert own.tokenizer.label(remote.rest_token) == REST


def test_all_tokens_can_be_listed_and_then_nothing_is_left(llama, remote):
    whole = RemoteModel.connect(RemoteSettings(llama.url, top=300_000))
    assert whole.rest_token is None
    assert whole.vocab_size == remote.vocab_size - 1
    tokens = torch.tensor([stepper(remote).tokens])
    (all_of_it,), _ = whole.step(tokens, whole.initial_state(1))
    (part,), _ = remote.step(tokens, remote.initial_state(1))
    assert all_of_it.exp().sum().item() == pytest.approx(1, abs=1e-3)
    is_listed = part[:-1] > -torch.inf
    torch.testing.assert_close(all_of_it[is_listed], part[:-1][is_listed], atol=1e-4, rtol=0)
    others = all_of_it[~is_listed].exp().sum().item()
    assert part[-1].exp().item() == pytest.approx(others, abs=1e-3)


def test_forcing_branching_and_going_back_cost_no_second_request(remote, monkeypatch):
    own = stepper(remote)
    asked = requests_of(remote, monkeypatch)
    own.run_ahead(GREEDY, 3)
    first = own.tokens
    n = len(asked)
    own.go_to(len(first) - 2)
    seen = own.look(GREEDY)
    other = next(c.token for c in seen.candidates if c.token not in (seen.token, remote.rest_token))
    own.take(other, GREEDY)  # a branch
    own.switch("branch 1")
    assert own.tokens == first
    own.back()
    own.step(GREEDY)
    own.look(GREEDY)
    assert len(asked) <= n + 1  # of the last token alone nobody had asked
    own.switch("branch 2")
    assert own.run_ahead(GREEDY, 2) == 2
    assert own.steps_by_position()[-3].chosen_by == "user"
    assert Trace.from_json(own.branch.trace.to_json(own.tokenizer.label)) == own.branch.trace


def test_what_is_not_listed_is_never_chosen(remote):
    narrow = RemoteModel.connect(RemoteSettings(remote.engine.client.settings.url, top=2))
    own = stepper(narrow, "Once upon")
    with pytest.raises(ConfigError, match="never follows"):
        own.take(narrow.rest_token, GREEDY)
    lanes = [HOT, Lane(Sample(), seed=1), GREEDY, Lane(BeamSearch(num_beams=3))]
    run = Run(narrow, own.tokens, lanes, max_new_tokens=5)
    for _ in run:
        pass
    traces = [run.trace(lane, "remote") for lane in range(len(lanes))]
    for trace in traces:
        assert narrow.rest_token not in trace.tokens
        assert all(step.rank <= 2 for step in trace.steps)
        assert trace.settings["processors"][0] == ["listed", {}]
    steps = [step for trace in traces for step in trace.steps]
    assert max(math.exp(c.logprobs[0]) for s in steps for c in s.candidates
               if c.token == narrow.rest_token) > 0.5  # or this says little  # fmt: skip
    with pytest.raises(PromptError, match="stands for all"):
        narrow.step(torch.tensor([[1, narrow.rest_token]]), narrow.initial_state(1))


def test_lanes_beside_others_decide_as_alone(remote):
    alone = stepper(remote, seed=3)
    alone.run_ahead(HOT, 6)
    lanes = [GREEDY, HOT, Lane(Sample(), seed=9)]
    run = Run(remote, alone.tokens[: len(alone.tokens) - 6], lanes, max_new_tokens=6)
    for _ in run:
        pass
    assert run.trace(1, "remote").steps == alone.branch.trace.steps


def test_a_prompt_is_scored_as_far_as_the_server_tells(remote, monkeypatch):
    own = stepper(remote)
    assert [s.token for s in own.prompt_steps] == list(own.tokens[1:])
    logits = remote.forward(torch.tensor([own.tokens[:-1]]))[0].log_softmax(-1)
    for step, row in zip(own.prompt_steps, logits, strict=True):
        known = row[step.token] if row[step.token] > -torch.inf else row[remote.rest_token]
        assert step.logprob == pytest.approx(known.item(), abs=1e-5)
    unlisted = [s for s in own.prompt_steps if logits[s.position - 1, s.token] == -torch.inf]
    assert [s.rank for s in unlisted] == [21] * len(unlisted)
    assert unlisted  # the first word is no likely one
    assert own.go_to(1)
    look = own.look(GREEDY)
    assert look.logprob == pytest.approx(own.prompt_steps[0].logprob, abs=1e-5)
    monkeypatch.setattr(prompt_scores, "SCORED_APART", 4)
    long = stepper(remote, "one two three four five six seven")
    assert [s.position for s in long.prompt_steps] == list(range(1, 8))
    assert [s.rank > 0 for s in long.prompt_steps] == [False] * 3 + [True] * 4
    with pytest.raises(ConfigError, match="one position a request"):
        remote.forward(torch.full((1, MOST_POSITIONS + 1), 30))


def test_text_goes_there_and_back_and_smuggles_no_special_token(remote):
    tokenizer = RemoteTokenizer(remote.engine)
    for text in ("", "In the beginning é😀\n\t x", "<|im_end|> hello"):
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens) == text
        assert not any(map(tokenizer.is_special, tokens))
    assert tokenizer.label(tokenizer.encode("😀")[1]).startswith("⟨")
    assert tokenizer.label(49_000) == "⟨token 49000⟩"
    with pytest.raises(PromptError, match="surrogate"):
        tokenizer.encode("\ud800")


def test_what_needs_the_same_numbers_to_the_last_bit_is_refused(remote):
    with pytest.raises(CompressionError, match="on a server"):
        compress(remote, RemoteTokenizer(remote.engine), b"Once upon a time")


def test_a_full_context_is_told_before_the_server_is_asked(remote):
    tokens = torch.full((1, CONTEXT), 30)
    with pytest.raises(ContextFullError, match="full"):
        remote.step(tokens, remote.initial_state(1))


def test_the_command_line_decodes_on_the_server(llama, monkeypatch, capsys):
    monkeypatch.setenv("PLAYGROUND_REMOTE_URL", llama.url)
    asked = ["decode", "--model", "remote", "--prompt", PROMPT, "--strategy", "greedy"]
    assert main([*asked, "--max-new-tokens", "3"]) == 0
    assert capsys.readouterr().out.startswith(f"{PROMPT} Paris.")
    monkeypatch.setenv("PLAYGROUND_REMOTE_URL", f"http://127.0.0.1:{free_port()}")
    assert main(asked) == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_a_server_that_dies_is_told_and_one_that_comes_back_is_used(llama, remote):
    own = stepper(remote)
    own.run_ahead(GREEDY, 2)
    before, tokens = own.peek(GREEDY), own.tokens
    llama.kill()
    own.step(GREEDY)  # decided already
    with pytest.raises(BrokenError, match="model server"):
        own.step(GREEDY)
    assert own.tokens == (*tokens, before.token)  # what there is stays
    with pytest.raises(BrokenError, match="cannot be reached"):
        own.step(GREEDY)
    llama.start()
    assert own.step(GREEDY)
    fresh = stepper(remote)
    fresh.run_ahead(GREEDY, 4)
    assert fresh.tokens == own.tokens


def test_a_server_that_dies_in_the_middle_of_an_answer_is_told(llama, remote):
    own = stepper(remote)
    killer = threading.Timer(0.05, llama.process.kill)
    asked = {"prompt": list(own.tokens), "n_predict": 400, "temperature": 0, "ignore_eos": True}
    killer.start()
    with pytest.raises(BrokenError, match=r"broke off|cannot be reached"):
        remote.engine.client.post("/completion", asked)
    killer.join()
    llama.kill()
    llama.start()
    assert own.step(GREEDY)


# -- other shapes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["vllm", "openai", "chat"])
def test_every_shape_is_understood(shape):
    with shaped_server(shape) as server:
        model = RemoteModel.connect(RemoteSettings(server.url + "/v1", key="secret"))
        listed = {"vllm": 5, "openai": 5, "chat": 5}[shape]  # 20 is refused, 8 would do
        assert model.engine.n_listed == listed
        assert model.context_length == LONGEST - 1
        assert model.engine.has_ids == (shape == "vllm")
        own = stepper(model, " w3 w5")
        tokenizer = own.tokenizer
        assert tokenizer.decode(own.tokens) == " w3 w5"
        step = own.peek(GREEDY)
        truth = expected([3, 5])
        told = {tokenizer.decode([c.token]): c.logprobs[0] for c in step.candidates}
        del told[""]  # the rest
        assert len(told) == listed
        for text, logprob in told.items():
            assert logprob == pytest.approx(truth[int(text[2:])], abs=1e-5)
        own.run_ahead(GREEDY, 6)
        tokens = [3, 5]
        for _ in range(6):
            tokens.append(max(range(12), key=lambda t: expected(tokens)[t]))
        assert tokenizer.decode(own.tokens) == "".join(f" w{t}" for t in tokens)
        again = stepper(RemoteModel.connect(RemoteSettings(server.url)), " w3 w5")
        again.run_ahead(GREEDY, 6)
        assert again.tokens == own.tokens  # numbers do not depend on what was met before


def test_an_echo_scores_a_whole_text_in_one_request():
    with shaped_server("vllm") as server:
        model = RemoteModel.connect(RemoteSettings(server.url))
        assert model.most_positions is None
        text = [0, *(i % 11 for i in range(1, 60))]
        n = server.count()
        logits = model.forward(torch.tensor([text]))[0]
        assert server.count() == n + 1
        for i, token in enumerate(text[1:]):  # also where it is not among the likeliest
            assert logits[i, token].item() == pytest.approx(
                expected(text[: i + 1])[token], abs=1e-4
            )
            assert logits[i].exp().sum().item() == pytest.approx(1, abs=1e-4)
        (last,), _ = model.step(torch.tensor([text]), model.initial_state(1))
        torch.testing.assert_close(logits[-1], last)


def test_a_server_of_texts_cannot_begin_from_nothing():
    with shaped_server("openai") as server:
        model = RemoteModel.connect(RemoteSettings(server.url))
        assert model.excluded == (model.vocab_size - 1, model.vocab_size - 2)
        with pytest.raises(PromptError, match="no start token"):
            stepper(model, "")


def test_another_model_behind_the_same_address_is_not_taken_for_the_first():
    with shaped_server("openai") as server:
        model = RemoteModel.connect(RemoteSettings(server.url))
        own = stepper(model, " w1")
        server.model = "another"
        server.next += [close, close]  # the first might have been an idle connection's end
        with pytest.raises(BrokenError):
            own.step(GREEDY) and own.step(GREEDY)
        with pytest.raises(RemoteError, match="another model"):
            own.step(GREEDY) and own.step(GREEDY)
        assert model.engine.is_replaced
