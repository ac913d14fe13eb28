import json

import pytest

from playground.errors import CheckpointError
from playground.tokenizers.seq2seq import Seq2SeqTokenizer
from tests.tiny_models import SPECIAL, VOCAB_SIZE, tiny_tokenizer

CONFIG = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}


def test_a_source_ends_with_its_mark_and_a_target_begins_with_the_decoders():
    tokenizer = Seq2SeqTokenizer(tiny_tokenizer(), VOCAB_SIZE, {"eos_token": SPECIAL[1]}, CONFIG)
    assert tokenizer.bos_token == 0
    assert tokenizer.eos_token == 1
    assert tokenizer.start == ()
    words = tokenizer.encode("the cat")
    assert tokenizer.encode_source("the cat") == [*words, 1]
    assert tokenizer.encode_source("") == [1]
    spelled = tokenizer.encode_source(f"the {SPECIAL[1]} cat")
    assert spelled.count(1) == 1  # a text spells no end


def test_the_template_of_the_file_is_used_once():
    from tokenizers.processors import TemplateProcessing

    backend = tiny_tokenizer()
    backend.post_processor = TemplateProcessing(
        f"{SPECIAL[2]} $A {SPECIAL[1]}", special_tokens=[(SPECIAL[2], 2), (SPECIAL[1], 1)]
    )
    tokenizer = Seq2SeqTokenizer(backend, VOCAB_SIZE, {"eos_token": SPECIAL[1]}, CONFIG)
    assert tokenizer.encode_source("cat") == [2, *tokenizer.encode("cat"), 1]


def test_bart_starts_with_the_end_and_then_with_the_beginning():
    config = {"decoder_start_token_id": 1, "eos_token_id": 1, "bos_token_id": 0}
    tokenizer = Seq2SeqTokenizer(tiny_tokenizer(), VOCAB_SIZE, {"eos_token": SPECIAL[1]}, config)
    assert (tokenizer.bos_token, tokenizer.start) == (1, (0,))
    forced = Seq2SeqTokenizer(tiny_tokenizer(), VOCAB_SIZE, {}, config | {"forced_bos_token_id": 3})
    assert forced.start == (3,)


def test_languages_are_found_and_a_source_is_in_one_of_them(tmp_path):
    from tokenizers import AddedToken
    from tokenizers.processors import TemplateProcessing

    backend = tiny_tokenizer()
    names = ["eng_Latn", "deu_Latn"]
    backend.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
    english, german = (backend.token_to_id(name) for name in names)
    backend.post_processor = TemplateProcessing(
        f"eng_Latn $A {SPECIAL[1]}", special_tokens=[("eng_Latn", english), (SPECIAL[1], 1)]
    )
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "generation_config.json").write_text(json.dumps({"forced_bos_token_id": german}))
    tokenizer = Seq2SeqTokenizer.from_folder(tmp_path, VOCAB_SIZE)
    assert tokenizer.languages == {"eng_Latn": english, "deu_Latn": german}
    assert tokenizer.start == (german,)
    words = tokenizer.encode("cat")
    assert tokenizer.encode_source("cat") == [english, *words, 1]
    assert tokenizer.encode_source("cat", "deu_Latn") == [german, *words, 1]


def test_a_folder_without_a_fast_tokenizer_is_told_of(tmp_path):
    (tmp_path / "source.spm").write_bytes(b"sentencepiece")
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        Seq2SeqTokenizer.from_folder(tmp_path, VOCAB_SIZE)
