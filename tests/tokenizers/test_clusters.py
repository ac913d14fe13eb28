import json
import math

import numpy as np
import pytest
from PIL import Image

from playground.errors import CheckpointError, PromptError
from playground.tokenizers.clusters import ClusterTokenizer, read_clusters
from tests.tiny_imagegpt import N_CLUSTERS, SIDE, clusters

TOKENIZER = ClusterTokenizer(clusters(), SIDE, SIDE)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_a_pixel_becomes_the_nearest_colour_as_in_transformers():
    from transformers.models.imagegpt.image_processing_pil_imagegpt import (
        ImageGPTImageProcessorPil,
    )

    pixels = noise(SIDE, SIDE, 3)
    theirs = ImageGPTImageProcessorPil(
        clusters=clusters(), size={"height": SIDE, "width": SIDE}, do_resize=False
    )(Image.fromarray(pixels), return_tensors="np")["input_ids"]
    tokens = TOKENIZER.encode(pixels)
    assert tokens == np.asarray(theirs).ravel().tolist()
    assert len(set(tokens)) > 5
    distances = np.square(pixels.reshape(-1, 1, 3) / 127.5 - 1 - np.array(clusters())).sum(-1)
    assert tokens == distances.argmin(1).tolist()


def test_tokens_become_a_picture_and_its_tokens_again():
    tokens = [*range(N_CLUSTERS), *range(SIDE**2 - N_CLUSTERS)]
    picture = TOKENIZER.decode([TOKENIZER.bos_token, *tokens])
    assert picture.shape == TOKENIZER.shape == (SIDE, SIDE, 3)
    assert TOKENIZER.encode(picture) == tokens
    assert TOKENIZER.encode(TOKENIZER.to_image(tokens)) == tokens
    wanted = [round(127.5 * (value + 1)) for value in clusters()[7]]
    assert picture[1, 1].tolist() == wanted
    assert TOKENIZER.position(7) == (1, 1, 0)
    assert TOKENIZER.label(7) == "#{:02x}{:02x}{:02x}".format(*wanted)
    assert TOKENIZER.label(TOKENIZER.bos_token) == "⟨start⟩"
    assert TOKENIZER.vocab_size == N_CLUSTERS + 1
    part = TOKENIZER.decode(tokens[:7], unknown=90)
    assert (part.reshape(-1, 3)[7:] == 90).all()
    assert (part.reshape(-1, 3)[:7] == picture.reshape(-1, 3)[:7]).all()


def test_many_pixels_are_compared_in_parts():
    pixels = noise(100, 90, 3)
    found = TOKENIZER.quantise(pixels)
    assert found.shape == (100, 90)
    assert (found[:SIDE, :SIDE].ravel() == TOKENIZER.encode(pixels[:SIDE, :SIDE])).all()
    assert TOKENIZER.quantise(pixels[:0]).shape == (0, 90)


def test_an_upload_becomes_a_picture_of_the_model():
    import io

    out = io.BytesIO()
    Image.fromarray(noise(40, 60, 3)).save(out, "PNG")
    prepared = TOKENIZER.prepare(out.getvalue())
    assert prepared.pixels.shape == (SIDE, SIDE, 3)
    assert len(TOKENIZER.encode(prepared.pixels)) == TOKENIZER.size
    with pytest.raises(PromptError, match="6x6 pixels of 3 channel"):
        TOKENIZER.encode(noise(SIDE, SIDE))


def test_what_tokens_stand_for_is_told_from_other_colours():
    told = TOKENIZER.to_json()
    other = ClusterTokenizer([[-x for x in row] for row in clusters()], SIDE, SIDE)
    assert told != other.to_json()
    assert told == ClusterTokenizer(clusters(), SIDE, SIDE).to_json()
    json.dumps(told)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ([], "no dictionary"),
        ({"size": SIDE}, "a list of 2 to 4096, got NoneType"),
        ({"size": SIDE, "clusters": [[0, 0, 0]]}, "got 1"),
        ({"size": SIDE, "clusters": [[0, 0, 0]] * 5000}, "got 5000"),
        ({"size": SIDE, "clusters": [[0, 0]] * 20}, "three numbers"),
        ({"size": SIDE, "clusters": [["a", 0, 0]] * 20}, "no numbers"),
        ({"size": SIDE, "clusters": [[math.nan, 0, 0]] * 20}, "from -1 to 1"),
        ({"size": SIDE, "clusters": [[0, 0, 2.0]] * 20}, "from -1 to 1"),
        ({"size": 10**9, "clusters": [[0, 0, 0]] * 20}, "says the size"),
        ({"size": {"height": 6}, "clusters": [[0, 0, 0]] * 20}, "says the size"),
        ({"size": 7, "clusters": [[0, 0, 0]] * 20}, "20 colours and pictures of 7x7"),
        ({"size": 6, "clusters": [[0, 0, 0]] * 19}, "the model knows 20"),
    ],
)
def test_a_damaged_processor_is_told(tmp_path, told, says):
    if told is not None:
        text = told if isinstance(told, str) else json.dumps(told)
        (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=says):
        read_clusters(tmp_path, SIDE**2, N_CLUSTERS + 1)


@pytest.mark.parametrize("size", [SIDE, {"height": SIDE, "width": SIDE}, None])
def test_a_processor_of_either_form_is_read(tmp_path, size):
    told = {"clusters": clusters()} | ({} if size is None else {"size": size})
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    found = read_clusters(tmp_path, SIDE**2, N_CLUSTERS + 1)
    assert found.to_json() == TOKENIZER.to_json()
