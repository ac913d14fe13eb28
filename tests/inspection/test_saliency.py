"""The gradient of a decision by its prefix: against differences, masks, and the classes told."""

import copy

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.inspection.saliency import can_be_differentiated, saliency
from playground.models.base import HasEmbedding
from playground.models.causal_conv import CausalConv, CausalConvConfig
from playground.models.conditioned import as_drawn
from playground.models.neural_ngram import NeuralNGram, NeuralNGramConfig
from tests.helpers import (
    CONTEXT_LENGTH,
    PICTURE_MODELS,
    VOCAB_SIZE,
    lstm,
    ngram,
    picture_model,
    random_tokens,
    transformer,
    with_weights,
)
from tests.sound_checkpoints import sound_model


def causal_conv():
    config = CausalConvConfig(VOCAB_SIZE, 8, 3, 3, 3)  # it sees 15 tokens
    return with_weights(CausalConv(config))


def neural_ngram():
    return with_weights(NeuralNGram(NeuralNGramConfig(VOCAB_SIZE, 4, 6, 10)))


TEXT_MODELS = {
    "lstm": lstm,
    "causal-conv": causal_conv,
    "neural-ngram": neural_ngram,
    **{p: lambda p=p: transformer(p) for p in ("rotary", "learned", "sinusoidal")},
}


def prefix_of(model, length, seed=0):
    bos = model.vocab_size - 1
    return (bos, *random_tokens(length - 1, seed=seed, vocab_size=bos).tolist())


@pytest.mark.parametrize("name", [*TEXT_MODELS, *PICTURE_MODELS])
def test_a_model_told_embeddings_is_the_model_told_tokens(name):
    model = (TEXT_MODELS | PICTURE_MODELS)[name]()
    if not isinstance(model, HasEmbedding):
        pytest.fail(f"{name} cannot be differentiated")
    tokens = torch.tensor([prefix_of(model, 15)])
    told = model.forward_embedded(model.embed(tokens))
    torch.testing.assert_close(told, model.forward(tokens), rtol=0, atol=0)


@pytest.mark.parametrize("name", [*TEXT_MODELS, "gated-pixelcnn", "row-lstm", "pixelcnn-colour"])
def test_it_is_the_length_of_the_gradient(name):
    model = (TEXT_MODELS | PICTURE_MODELS)[name]().double()
    prefix, token, step = prefix_of(model, 9), 1, 1e-5
    found = saliency(model, prefix, token)
    embedded = model.embed(torch.tensor([prefix])).detach()
    for place in range(len(prefix)):
        slopes = []
        for unit in range(embedded.shape[-1]):
            sides = []
            for sign in (1, -1):
                moved = embedded.clone()
                moved[0, place, unit] += sign * step
                sides.append(model.forward_embedded(moved)[0, -1].log_softmax(-1)[token].item())
            slopes.append((sides[0] - sides[1]) / (2 * step))
        assert found[place] == pytest.approx(np.linalg.norm(slopes), rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["pixelcnn", "gated-pixelcnn", "gated-pixelcnn-dilated"])
def test_pixels_outside_the_receptive_field_do_not_matter(name):
    model = PICTURE_MODELS[name]()
    row, column, width = 4, 3, model.config.width
    place = row * width + column
    found = saliency(model, prefix_of(model, place + 1), 2)[1:]  # of the pixels before
    field = model.receptive_field(row, column).ravel()[:place]
    assert (found[~field] == 0).all()
    assert (found[field] > 0).mean() > 0.9


def test_it_is_told_the_class_that_the_model_is_told():
    model = picture_model("gated-pixelcnn", n_class=3)
    prefix = prefix_of(model, 10)
    by_class = [saliency(as_drawn(model, 5, c, 2.0), prefix, 0) for c in (None, 0, 1)]
    np.testing.assert_array_equal(by_class[0], saliency(model, prefix, 0))
    assert not np.array_equal(by_class[1], by_class[2])


def test_what_the_window_dropped_does_not_matter():
    prefix = (VOCAB_SIZE - 1, *(i % 9 for i in range(CONTEXT_LENGTH + 10)))
    found = saliency(transformer(), prefix, 3)
    assert found.shape == (len(prefix),)
    assert found[0] > 0
    assert (found[1:5] == 0).all()
    assert (found[-5:] > 0).all()


def test_counts_have_no_gradient():
    assert not can_be_differentiated(ngram())
    assert can_be_differentiated(as_drawn(picture_model("pixelcnn"), 5))
    with pytest.raises(ConfigError, match="has no gradient"):
        saliency(ngram(), (VOCAB_SIZE - 1, 1, 2), 0)


def test_it_can_be_asked_for_in_inference_mode():
    model = picture_model("gated-pixelcnn")
    with torch.inference_mode():
        assert saliency(model, prefix_of(model, 6), 0).max() > 0


@pytest.mark.parametrize("told", [{"n_class": 2}, {"alphabet": "ab "}])
def test_the_newest_tokens_tell_all_that_a_receptive_field_holds(told):
    model = sound_model(**told, n_layer=4, dilation_cycle=4, hop=5)  # it sees 16 samples
    condition = "ab ab" if "alphabet" in told else 1
    told_model = as_drawn(model, 256, condition)
    prefix = prefix_of(model, 700)
    whole, newest = (saliency(told_model, prefix, 130, n) for n in (None, 40))
    assert (whole[-model.receptive_field :] > 0).any()
    np.testing.assert_allclose(newest, whole, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("length", [1, 2, 40, 900])
@pytest.mark.parametrize("name", ["causal-conv", "neural-ngram"])
def test_tokens_outside_the_receptive_field_of_a_text_do_not_matter(name, length):
    model = TEXT_MODELS[name]()
    prefix = prefix_of(model, length)
    found = saliency(model, prefix, 3, newest=512)
    assert (found[: -model.receptive_field] == 0).all()
    assert (found[-model.receptive_field :] > 0).all()
    np.testing.assert_allclose(found, saliency(model, prefix, 3), rtol=1e-4, atol=1e-7)


def test_an_older_beginning_is_told_as_nothing():
    model = lstm()
    prefix = prefix_of(model, 900)
    found = saliency(model, prefix, 3, 100)
    assert found.shape == (900,)
    assert not found[1:641].any()


def test_times_the_input_it_is_a_directional_derivative():
    """Its sum is the derivative by the length of all embeddings, so it has a sign."""
    model = transformer()
    prefix = prefix_of(model, 12)
    found = saliency(model, prefix, 3, times_input=True)
    embedded = model.embed(torch.tensor([prefix])).double()
    double = copy.deepcopy(model).double()

    def logprob(scale):
        return float(double.forward_embedded(scale * embedded)[0, -1].log_softmax(-1)[3])

    slope = (logprob(1 + 1e-6) - logprob(1 - 1e-6)) / 2e-6
    assert found.sum() == pytest.approx(slope, rel=1e-3)
    assert found.min() < 0 < found.max()
