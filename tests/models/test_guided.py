"""Guidance is what transformers computes, on the same weights."""

import pytest
import torch

from playground.decoding.lane import Lane
from playground.decoding.run import Run
from playground.errors import ConfigError
from playground.models.guided import Guided
from tests.helpers import VOCAB_SIZE, random_tokens, transformer
from tests.models.test_contract import read

BOS = VOCAB_SIZE - 1


def log_p(logits):
    return logits.double().log_softmax(-1)


def test_a_guided_lane_goes_on_behind_a_full_context():
    model = Guided(transformer(context_length=16), 1.5, 4)
    going = Run(model, (BOS, 1, 2, 3), [Lane()], max_new_tokens=40, slide=True)
    for _ in going:
        pass
    assert len(going.trace(0, "m").steps) == 40


class TestGuided:
    @pytest.mark.parametrize("negative", [(), (4,), (7, 8, 9, 10, 11)])
    @pytest.mark.parametrize("scale", [0.0, 0.5, 1.5, 3.0])
    def test_it_is_what_transformers_computes(self, scale, negative):
        from transformers import UnbatchedClassifierFreeGuidanceLogitsProcessor

        model = transformer()

        class Output(dict):
            logits = None

        def as_theirs(input_ids, **_):
            output = Output()
            output.logits = model.forward(input_ids)
            return output

        processor = UnbatchedClassifierFreeGuidanceLogitsProcessor(
            scale, as_theirs, torch.tensor([[BOS, *negative]]), use_cache=False
        )
        tokens = torch.cat((torch.tensor([[BOS]]), random_tokens(1, 20)), dim=1)
        guided = Guided(model, scale, 5, negative)
        rows = guided.forward(tokens)
        logits, state = read(guided, tokens[:, :5])
        for length in range(5, 21):
            wanted = processor(tokens[:, :length], model.forward(tokens[:, :length])[:, -1])
            close = {"rtol": 1e-4, "atol": 1e-4}
            torch.testing.assert_close(rows[:, length - 1], wanted, **close)
            torch.testing.assert_close(logits, wanted, **close)
            logits, state = guided.step(tokens[:, length : length + 1], state)

    def test_a_scale_of_one_is_the_model(self):
        model, tokens = transformer(), random_tokens(2, 20)
        guided = Guided(model, 1.0, 5, (1, 2))
        assert torch.equal(guided.forward(tokens), model.forward(tokens))
        assert torch.equal(read(guided, tokens)[0], read(model, tokens)[0])

    def test_a_scale_of_zero_is_the_model_without_the_prompt(self):
        model = transformer()
        tokens = torch.tensor([[BOS, 1, 2, 3, 4, 5, 6]])
        rows = Guided(model, 0.0, 4).forward(tokens)
        alone = model.forward(torch.tensor([[BOS, 4, 5, 6]]))
        torch.testing.assert_close(log_p(rows[:, 3:]), log_p(alone), rtol=1e-5, atol=1e-5)
        assert torch.equal(rows[:, :3], model.forward(tokens)[:, :3])  # the prompt itself

    def test_a_prompt_of_bos_alone_guides_nowhere(self):
        model, tokens = transformer(), random_tokens(2, 9)
        rows = Guided(model, 4.0).forward(tokens)
        torch.testing.assert_close(log_p(rows), log_p(model.forward(tokens)), rtol=1e-4, atol=1e-4)

    def test_a_negative_prompt_that_is_the_prompt_guides_nowhere(self):
        model = transformer()
        tokens = torch.tensor([[BOS, 1, 2, 3, 4, 5]])
        rows = Guided(model, 4.0, 3, (1, 2)).forward(tokens)
        torch.testing.assert_close(log_p(rows), log_p(model.forward(tokens)), rtol=1e-4, atol=1e-4)

    def test_a_condition_is_known_to_one_branch_only(self):
        guided = Guided(Classes(), 2.0)
        wanted = torch.tensor([0.0, 4.0, 0.0]) - torch.tensor([2.0, 0.0, 0.0])  # 2 p - u
        for condition in (1, None):
            rows = guided.forward(torch.tensor([[2, 0]]), condition)
            logits, _ = guided.step(torch.tensor([[2]]), guided.initial_state(1, condition))
            target = wanted if condition else torch.tensor([2.0, 0.0, 0.0])
            torch.testing.assert_close(log_p(rows[0, 1]), log_p(target))
            torch.testing.assert_close(log_p(logits[0]), log_p(target))

    def test_a_token_that_the_prompt_excludes_stays_excluded(self):
        guide = Guided(transformer(), 3.0)._guide
        p, u = torch.tensor([[0.0, -torch.inf, 0.0]]), torch.tensor([[0.0, 0.0, -torch.inf]])
        found = guide(p, u)
        assert found[0, 1] == -torch.inf
        assert found[0, 2] > found[0, 0]
        assert not found.isnan().any()

    def test_what_cannot_be_is_refused(self):
        with pytest.raises(ConfigError, match="guidance_scale must be in"):
            Guided(transformer(), -1.0)
        with pytest.raises(ConfigError, match="prompt_length must be"):
            Guided(transformer(), 2.0, 0)
        with pytest.raises(ConfigError, match="negative_prompt must be"):
            Guided(transformer(), 2.0, 1, (VOCAB_SIZE,))
        with pytest.raises(ConfigError, match="leaves no room"):
            Guided(transformer(context_length=8), 2.0, 2, range(8))
        assert Guided(transformer(), 2.0, 2, (1, 2, 3)).context_length == 38
        assert Guided(transformer(), 2.0, 4, (1, 2, 3)).context_length == 40


class Classes(torch.nn.Module):
    """Expects token 1 of class 1, token 0 without a class."""

    vocab_size, context_length = 3, None

    def __init__(self):
        super().__init__()
        self.register_buffer("logits", 2 * torch.eye(3)[:2])

    def forward(self, tokens, condition=None):
        return self.logits[condition or 0].expand(*tokens.shape, 3)

    def initial_state(self, batch_size, condition=None):
        return condition

    def step(self, tokens, state):
        return self.logits[state or 0].expand(len(tokens), 3), state
