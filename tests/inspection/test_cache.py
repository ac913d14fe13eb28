"""What a State weighs: as it says itself, and as it grows."""

import pytest

from playground.inspection.cache import held
from playground.models.guided import Guided
from playground.models.pretrained import PretrainedLM
from tests.helpers import MODELS, PICTURE_MODELS, SOUND_MODELS, TOLD_MODELS, random_tokens
from tests.tiny_models import TINY

OURS = ("ngram-4", "lstm-2", "transformer-rotary", "causal-conv", "recurrent-gru-residual",
        "samplernn", "wavenet", "pixelcnn", "super-resolution-told")  # fmt: skip
ALL = MODELS | PICTURE_MODELS | TOLD_MODELS | SOUND_MODELS
BUILD = {name: ALL[name] for name in OURS}
BUILD |= {n: lambda n=n: PretrainedLM(TINY[n]()) for n in ("llama", "mamba", "falcon_h1")}


def after(model, n):
    tokens = random_tokens(2, n, vocab_size=min(16, model.vocab_size))
    return model.step(tokens, model.initial_state(2))[1]


@pytest.mark.parametrize("name", BUILD)
def test_it_grows_as_it_says(name):
    model = BUILD[name]()
    rows = {"pixelcnn": 7, "super-resolution-told": 8}.get(name, 10)  # whole rows of a picture
    early, late = held(after(model, 1 + rows)), held(after(model, 1 + 2 * rows))
    assert early.used > 0
    assert early.at(late.length) == late.used
    assert early.used <= early.reserved
    if name in ("transformer-rotary", "llama"):
        assert early.per_token == early.used // 11 > 0
    if name.startswith(("lstm", "ngram", "recurrent", "wavenet", "samplernn", "mamba")):
        assert early.per_token == 0


def test_keys_and_values_are_told_by_their_shape():
    state = after(MODELS["transformer-rotary"](), 12)
    (part,) = held(state).parts
    assert (part.name, part.layers, part.dtype) == ("keys and values", 2, "float32")
    assert part.shape == (2, 2, 3, 12, 8)  # keys and values, rows, heads, tokens, size of a head
    assert part.used == state.num_bytes == 2 * 2 * 2 * 3 * 12 * 8 * 4
    assert part.reserved == part.used // 12 * 64


def test_memory_that_another_state_reads_is_shared():
    model = MODELS["transformer-rotary"]()
    state = after(model, 12)
    assert not held(state).is_shared
    _, longer = model.step(random_tokens(2, 1), state)
    assert held(state).is_shared
    assert held(longer).is_shared
    del longer
    assert not held(state).is_shared


def test_both_branches_of_guidance_are_counted():
    model = MODELS["transformer-rotary"]()
    state = after(Guided(model, 1.5), 12)
    names = [part.name for part in held(state).parts]
    assert names == ["conditional: keys and values", "unconditional: keys and values", "bos"]
    assert held(state).used == 2 * held(after(model, 12)).used + 2 * 8
