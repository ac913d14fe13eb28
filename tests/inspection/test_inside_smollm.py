"""What is known of real language models is seen inside one: SmolLM2-135M."""

import pytest

from playground.inspection.ablation import ablate, all_heads
from playground.inspection.in_context import answers, curve, prompts
from playground.inspection.induction import copying_heads, induction
from playground.inspection.logit_lens import logit_lens
from playground.inspection.tasks import TASKS
from playground.tokenizers.pretrained import PretrainedTokenizer
from tests.smollm import smollm, smollm_folder


@pytest.fixture(scope="module")
def model():
    return smollm()


@pytest.fixture(scope="module")
def tokenizer(model):
    return PretrainedTokenizer.from_folder(smollm_folder(), model.vocab_size)


def test_it_has_induction_heads_that_noise_read_twice_relies_on(model, tokenizer):
    found = induction(model, tokenizer, length=24, sequences=2)
    heads = copying_heads(found, 0.5)
    assert 3 <= len(heads) <= 20  # of 270
    assert found.induction.max() > 20 * found.chance
    assert found.previous.max() > 0.8
    assert found.second_bits < found.first_bits / 2
    # what follows the first token of a repetition is known, and not so without those heads
    prefix, follows = found.sequences[0, :-5].tolist(), int(found.sequences[0, -5])
    others = [head for head in all_heads(model) if head[0] == heads[0][0] and head not in heads]
    whole = ablate(model, prefix, heads, follows)
    assert whole.change < ablate(model, prefix, others[: len(heads)], follows).change < 1
    assert whole.change < -2  # bits


def test_it_learns_from_examples_in_the_prompt(model, tokenizer):
    asked = prompts(TASKS["copying"], counts=(0, 4), trials=3)
    told = curve(list(answers(model, tokenizer, asked)))
    assert told.prob[0] < 0.01
    assert told.low[1] > 0.3


def test_it_knows_the_capital_of_france_in_its_last_layers(model, tokenizer):
    paris, *_ = tokenizer.encode(" Paris")
    prefix = [tokenizer.bos_token, *tokenizer.encode("The capital of France is")]
    lens = logit_lens(model, prefix, paris)
    assert lens.top[-1, -1] == paris
    assert 20 < lens.decided[-1] <= 30
    assert lens.rank[0, -1] > 100 > lens.rank[-1, -1] == 1
