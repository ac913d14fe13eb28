"""The table of models, and what was trained here since."""

import pytest
from huggingface_hub import constants

from playground import checkpoints, registry
from playground.errors import DataError
from playground.registry import MODELS, available, hub_card, hub_cards
from playground.tokenizers.audio import AudioTokenizer
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.text import CharTokenizer
from tests.helpers import ENLARGED, lstm, picture_model, sound_model
from tests.tiny_models import tiny_folder


def test_every_model_of_the_table_has_a_name_of_its_own_and_words_for_a_page():
    assert len({card.name for card in MODELS}) == len(MODELS)
    for card in MODELS:
        assert card.folder.name == card.name
        assert card.title
        assert card.summary.endswith(".")
        assert card.example or card.modality != "text"


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    return tmp_path


def test_a_model_trained_here_is_found(house):
    tokenizer = CharTokenizer("abcdefghijklmnopqrstuv")
    checkpoints.save(house / "runs" / "mine", lstm(), tokenizer)
    assert list(available("text")) == ["mine"]
    assert "lstm" in available("text")["mine"].summary
    assert available("image") == {}


def test_a_model_that_draws_is_found_where_pictures_are(house):
    model = picture_model("gated-pixelcnn")
    checkpoints.save(house / "runs" / "drawn", model, ImageTokenizer(6, 7, 1, 5))
    assert list(available("image")) == ["drawn"]
    assert available("text") == {}


def test_a_model_that_enlarges_is_found_on_its_own(house):
    model = picture_model("super-resolution", **ENLARGED)
    checkpoints.save(house / "runs" / "larger", model, ImageTokenizer(6, 8, 1, 5))
    assert list(available("super-resolution")) == ["larger"]
    assert available("image") == available("text") == {}


def test_a_model_of_sound_is_found_where_sounds_are(house):
    checkpoints.save(house / "runs" / "heard", sound_model("wavenet"), AudioTokenizer(8000, 22))
    assert list(available("audio")) == ["heard"]
    assert available("image") == available("text") == {}


def test_a_damaged_folder_is_listed_with_what_is_wrong_and_a_missing_one_is_not(house):
    (house / "runs" / "broken").mkdir(parents=True)
    assert available("text") == {}
    (house / "runs" / "broken" / "config.json").write_text("{")
    assert "not JSON" in available("text")["broken"].summary


def test_a_model_of_the_hub_is_called_by_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    storage, commit = tmp_path / "models--me--llama", "0123456789" * 4
    tiny_folder("llama", storage / "snapshots" / commit)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(commit)
    card = hub_card("me/llama")
    assert card.name == f"hub:me/llama@{commit}"
    assert (card.title, card.modality) == ("me/llama", "text")
    assert card.folder == storage / "snapshots" / commit
    assert "LlamaForCausalLM" in card.summary
    assert hub_card(card.name) == hub_card("me/llama@0123456789" + "0123456789" * 3) == card
    assert hub_cards() == {card.name: card}
    for address in ("me/other", "me/llama@v2", "me/llama@../../snapshots", "me/llama@" + "a" * 40):
        with pytest.raises(DataError, match="is not here"):
            hub_card(address)


def test_a_checkpoint_of_ours_from_the_hub_is_where_its_kind_is(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--me--drawn" / "snapshots" / ("ab" * 20)
    checkpoints.save(folder, picture_model("gated-pixelcnn"), ImageTokenizer(6, 7, 1, 5))
    assert hub_card("me/drawn@" + "ab" * 20).modality == "image"
