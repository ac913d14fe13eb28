"""A prompt is scored as `forward` scores it, in as many parts as its logits need."""

import pytest
import torch

from playground.decoding import prompt_scores
from playground.decoding.prompt_scores import score_prompt
from tests.helpers import MODELS, VOCAB_SIZE, random_tokens


@pytest.mark.parametrize("name", ["transformer-rotary", "lstm-2", "ngram-4"])
@pytest.mark.parametrize("length", [30, 70])  # within the context of the transformer, and beyond
def test_parts_are_scored_as_the_whole(name, length, monkeypatch):
    model, prompt = MODELS[name](), random_tokens(length).tolist()
    whole = score_prompt(model, prompt)
    monkeypatch.setattr(prompt_scores, "MOST_LOGITS", 7 * VOCAB_SIZE)
    parts = score_prompt(model, prompt)
    assert [s.position for s in parts] == list(range(1, length))
    assert [s.token for s in parts] == prompt[1:]
    assert [s.rank for s in parts] == [s.rank for s in whole]
    torch.testing.assert_close(
        torch.tensor([s.logprob for s in parts]), torch.tensor([s.logprob for s in whole])
    )
    if model.context_length is None or length <= model.context_length:
        logprobs = model.forward(torch.tensor([prompt[:-1]]))[0].double().log_softmax(-1)
        expected = logprobs[torch.arange(length - 1), torch.tensor(prompt[1:])]
        torch.testing.assert_close(
            torch.tensor([s.logprob for s in parts], dtype=torch.float64), expected,
            atol=1e-5, rtol=1e-5,
        )  # fmt: skip
