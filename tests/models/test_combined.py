"""Models made of models: they are models like any other, and do what their papers say."""

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch

from playground.decoding.beam import BeamSearch
from playground.decoding.lane import Lane
from playground.decoding.run import Run
from playground.decoding.speculative import SpeculativeDecoding
from playground.decoding.strategies import Greedy, Sample
from playground.errors import ConfigError, ContextFullError
from playground.models.base import ARModel, HasLayers, HasStepEvery, device_of
from playground.models.combined import COMBINATIONS, ContrastiveDecoding, Ensemble
from playground.models.dola import DoLa
from playground.models.guided import Guided, by_row
from tests.helpers import VOCAB_SIZE, lstm, ngram, random_tokens, transformer
from tests.models import test_contract as contract
from tests.models.test_contract import read

BOS = VOCAB_SIZE - 1


def deep():
    return transformer(n_layer=6)


BUILD: dict[str, Callable[[], torch.nn.Module]] = {
    "guided-prompt": lambda: Guided(transformer(), 1.7, 5),
    "guided-negative-prompt": lambda: Guided(transformer("learned"), 2.5, 9, (1, 2, 3)),
    "guided-longer-negative-prompt": lambda: Guided(transformer(), 1.5, 2, (4, 5, 6)),
    "guided-lstm": lambda: Guided(lstm(), 3.0, 4, (7,)),
    "guided-ngram": lambda: Guided(ngram(), 0.5, 2),
    "contrastive": lambda: ContrastiveDecoding(transformer(), lstm()),
    "contrastive-ngram": lambda: ContrastiveDecoding(lstm(), ngram(2), 0.3, 1.0),
    "dola-high": lambda: DoLa(deep(), "high"),
    "dola-some": lambda: DoLa(deep(), (1, 2, 4), 0.01),
    "dola-lstm": lambda: DoLa(lstm(), "low", 0.5),
    "mixture": lambda: Ensemble((transformer(), lstm(), ngram()), (1, 2, 3)),
    "product": lambda: Ensemble((transformer(), ngram()), (1, 2), "product"),
    "guided-mixture": lambda: Guided(Ensemble((transformer(), lstm())), 2.0, 3),
    "mixture-of-contrasts": lambda: Ensemble(
        (ContrastiveDecoding(transformer(), lstm()), ngram(3)), how="product"
    ),
}


@cache
def built(name: str) -> torch.nn.Module:
    return BUILD[name]()


@pytest.fixture(params=BUILD)
def model(request):
    return built(request.param)


# what every family promises, with the models above
test_a_draft_is_rolled_back_to_any_of_its_tokens = (
    contract.test_a_draft_is_rolled_back_to_any_of_its_tokens
)
test_a_model_computes_where_it_was_moved = contract.test_a_model_computes_where_it_was_moved
test_a_row_of_a_decode_step_has_the_same_bits_alone_and_beside_others = (
    contract.test_a_row_of_a_decode_step_has_the_same_bits_alone_and_beside_others
)
test_a_state_outlives_a_chunk_appended_by_its_child = (
    contract.test_a_state_outlives_a_chunk_appended_by_its_child
)
test_a_state_used_twice_gives_the_same_answer_twice = (
    contract.test_a_state_used_twice_gives_the_same_answer_twice
)
test_changing_a_token_changes_no_row_before_it = (
    contract.test_changing_a_token_changes_no_row_before_it
)
test_computing_leaves_the_weights_and_the_global_generator_alone = (
    contract.test_computing_leaves_the_weights_and_the_global_generator_alone
)
test_every_row_of_a_chunk_is_that_of_forward = contract.test_every_row_of_a_chunk_is_that_of_forward
test_it_is_an_autoregressive_model = contract.test_it_is_an_autoregressive_model
test_select_repeats_and_leaves_out_rows = contract.test_select_repeats_and_leaves_out_rows
test_step_in_random_chunks_gives_the_rows_of_forward = (
    contract.test_step_in_random_chunks_gives_the_rows_of_forward
)


def log_p(logits):
    return logits.double().log_softmax(-1)


def test_logits_make_a_distribution_and_exclude_only_what_the_method_says(model):
    rows = model.forward(random_tokens(2, 20))
    assert rows.shape == (2, 20, VOCAB_SIZE)
    assert rows.dtype == torch.float32
    assert not rows.isnan().any()
    assert not (rows == torch.inf).any()
    torch.testing.assert_close(rows.double().softmax(-1).sum(-1), torch.ones(2, 20).double())
    excludes = isinstance(model, ContrastiveDecoding | DoLa)
    assert rows.isfinite().all() != excludes
    assert rows.isfinite().any(-1).all()


def test_it_shares_the_weights_of_its_parts():
    part, other = transformer(), lstm()
    for whole in (Guided(part, 2.0), DoLa(part), Ensemble((part, other))):
        assert isinstance(whole, ARModel)
        assert isinstance(whole, HasStepEvery)
        assert not isinstance(whole, HasLayers)  # whose head would lead past the combination
        assert device_of(whole) == device_of(part)
        pointers = {tensor.data_ptr() for tensor in whole.state_dict().values()}
        assert part.embedding.weight.data_ptr() in pointers


def test_the_shortest_context_counts():
    models = (transformer(context_length=30), lstm(), transformer(context_length=12))
    whole = Ensemble(models)
    assert whole.context_length == 12
    assert Ensemble((lstm(), ngram())).context_length is None
    assert Ensemble(models, (1, 1, 0)).context_length == 30
    _, state = read(whole, random_tokens(1, 12))
    for call in (whole.step, whole.step_every):
        with pytest.raises(ContextFullError, match="at most 12 tokens"):
            call(random_tokens(1, 1), state)


class TestRows:
    def test_each_row_is_computed_alone(self):
        x = torch.randn(5, 37, generator=torch.Generator().manual_seed(0))
        whole = by_row(lambda a, b: (a + b).exp(), x, x)
        for i in range(5):
            assert torch.equal(whole[i : i + 1], (x[i : i + 1] + x[i : i + 1]).exp())


STRATEGIES = {
    "sample": Sample(),
    "greedy": Greedy(),
    "beam_search": BeamSearch(3),
    "speculative_decoding": SpeculativeDecoding(num_assistant_tokens=4, draft=ngram(2)),
}


def run(model, lanes, count=12, prompt=(BOS, 3, 4, 5)):
    going = Run(model, prompt, lanes, max_new_tokens=count)
    for _ in going:
        pass
    return [going.trace(i, "m") for i in range(len(lanes))]


@pytest.mark.parametrize("name", BUILD)
def test_every_strategy_decodes_it_alone_and_beside_others(name):
    model = built(name)
    lanes = [Lane(strategy, seed=i) for i, strategy in enumerate(STRATEGIES.values())]
    together = run(model, lanes)
    for lane, trace in zip(lanes, together, strict=True):
        assert len(trace.steps) == 12
        assert run(model, [lane])[0] == trace
        rows = log_p(model.forward(torch.tensor([trace.tokens[:-1]])))[0]
        for step in trace.steps:
            found = rows[step.position - 1, step.token].item()
            assert step.logprob == pytest.approx(found, abs=1e-3)


def test_greedy_speculation_gives_the_text_of_greedy_decoding(model):
    drafted = SpeculativeDecoding(do_sample=False, draft=ngram(2))
    one, other = run(model, [Lane(Greedy()), Lane(drafted)], 20)
    assert one.tokens == other.tokens


class TestContrastive:
    def test_two_tokens_worked_by_hand(self):
        whole = ContrastiveDecoding(transformer(), lstm(), alpha=0.25, beta=1.0)
        p, q = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.7, 0.1, 0.1, 0.1])
        found = whole.combine(p.log() + 3, q.log() - 2)  # logits are known up to a constant
        assert found[3] == -torch.inf  # 0.05 < 0.25 * 0.5
        scores = torch.tensor([0.5**2 / 0.7, 0.3**2 / 0.1, 0.15**2 / 0.1])
        torch.testing.assert_close(found[:3].softmax(-1), scores / scores.sum())

    def test_without_contrast_it_is_the_expert(self):
        expert, tokens = transformer(), random_tokens(2, 15)
        whole = ContrastiveDecoding(expert, lstm(), 0.0, 0.0)
        assert torch.equal(whole.forward(tokens), expert.forward(tokens))

    def test_alpha_of_one_leaves_the_experts_favourite(self):
        expert, tokens = transformer(), random_tokens(2, 15)
        rows = ContrastiveDecoding(expert, lstm(), 1.0, 2.0).forward(tokens)
        assert torch.equal(rows.argmax(-1), expert.forward(tokens).argmax(-1))
        assert (rows.isfinite().sum(-1) == 1).all()

    def test_an_amateur_that_is_the_expert_changes_only_what_is_plausible(self):
        expert, tokens = transformer(), random_tokens(2, 15)
        rows = ContrastiveDecoding(expert, expert, 0.1, 0.7).forward(tokens)
        raw = log_p(expert.forward(tokens))
        kept = raw >= raw.amax(-1, keepdim=True) + math.log(0.1)
        wanted = raw.masked_fill(~kept, -torch.inf).log_softmax(-1)
        torch.testing.assert_close(log_p(rows), wanted, rtol=1e-4, atol=1e-4)

    def test_models_with_other_tokens_are_refused(self):
        with pytest.raises(ConfigError, match=r"these have 23 and 31\. Choose models that share"):
            ContrastiveDecoding(transformer(), transformer(vocab_size=31))
        with pytest.raises(ConfigError, match="alpha must be"):
            ContrastiveDecoding(transformer(), lstm(), 1.1)
        with pytest.raises(ConfigError, match="beta must be"):
            ContrastiveDecoding(transformer(), lstm(), beta=-0.1)


class TestEnsemble:
    def test_two_models_worked_by_hand(self):
        p, q = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.2, 0.6, 0.2])
        models = (transformer(), lstm())
        mixture = Ensemble(models, (3, 1)).combine(p.log() + 1, q.log() - 1)
        torch.testing.assert_close(mixture.exp(), torch.tensor([0.65, 0.225, 0.125]))
        product = Ensemble(models, (1, 1), "product").combine(p.log() + 1, q.log() - 1)
        wanted = torch.tensor([0.16, 0.06, 0.02]).sqrt()
        torch.testing.assert_close(product.exp(), wanted / wanted.sum())

    @pytest.mark.parametrize("how", ["mixture", "product"])
    def test_all_the_weight_on_one_is_that_one(self, how):
        first, tokens = transformer(), random_tokens(2, 15)
        whole = Ensemble((first, lstm()), (1, 0), how)
        assert torch.equal(whole.forward(tokens), first.forward(tokens))
        assert torch.equal(read(whole, tokens)[0], read(first, tokens)[0])

    @pytest.mark.parametrize("how", ["mixture", "product"])
    def test_a_model_with_itself_is_itself(self, how):
        model, tokens = lstm(), random_tokens(2, 15)
        rows = Ensemble((model, model), (0.2, 0.9), how).forward(tokens)
        torch.testing.assert_close(log_p(rows), log_p(model.forward(tokens)), rtol=1e-5, atol=1e-5)

    def test_what_one_model_excludes_a_mixture_keeps_and_a_product_does_not(self):
        p, q = torch.tensor([0.0, -torch.inf]), torch.tensor([-torch.inf, 0.0])
        models = (transformer(), lstm())
        torch.testing.assert_close(Ensemble(models).combine(p, q).exp(), torch.tensor([0.5, 0.5]))
        half = torch.tensor([0.0, 0.0])
        found = Ensemble(models, how="product").combine(p, half).exp()
        torch.testing.assert_close(found, torch.tensor([1.0, 0.0]))
        assert not Ensemble(models, how="product").combine(p, q).isnan().any()

    def test_what_cannot_be_is_refused(self):
        models = (transformer(), lstm())
        for wrong in ((1,), (1, 2, 3)):
            with pytest.raises(ConfigError, match="a weight for each"):
                Ensemble(models, wrong)
        with pytest.raises(ConfigError, match="a weight for each"):
            Ensemble((), ())
        with pytest.raises(ConfigError, match="a weight must be"):
            Ensemble(models, (1, -1))
        with pytest.raises(ConfigError, match="All weights"):
            Ensemble(models, (0, 0))
        with pytest.raises(ConfigError, match="mixture or product"):
            Ensemble(models, how="sum")
        with pytest.raises(ConfigError, match="these have 23 and 31"):
            Ensemble((transformer(), transformer(vocab_size=31)), (1, 0))


def test_the_table_lists_every_combination():
    assert set(COMBINATIONS.values()) == {Guided, ContrastiveDecoding, DoLa, Ensemble}
