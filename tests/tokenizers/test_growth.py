"""A tokenizer.json whose steps blow up a text is refused before they are run."""

import json

import pytest

from playground.errors import CheckpointError, PromptError
from playground.tokenizers.growth import growth_of
from playground.tokenizers.pretrained import PretrainedTokenizer

DOUBLE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
BETWEEN = {"type": "Replace", "pattern": {"Regex": ""}, "content": "aa"}
LETTERS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
VOCAB = {"a": 0, "b": 1, "<e>": 2}


def folder_of(tmp_path, **parts):
    told = {"version": "1.0", "added_tokens": [],
            "model": {"type": "WordLevel", "vocab": VOCAB, "unk_token": "b"}} | parts  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(told))
    return tmp_path


def chain(step, count, kind="normalizers"):
    return {"type": "Sequence", kind: [step] * count}


@pytest.mark.parametrize(
    "steps",
    [
        chain(DOUBLE, 40),
        chain(chain(DOUBLE, 8), 5),
        chain(BETWEEN, 30),
        chain({"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 300_000}, 2),
    ],
)
def test_steps_that_fill_a_memory_are_not_run_on_a_text(tmp_path, steps):
    tokenizer = PretrainedTokenizer.from_folder(folder_of(tmp_path, normalizer=steps), 3)
    with pytest.raises(PromptError, match="grows beyond 65,600 characters"):
        tokenizer.encode("a")


def test_steps_that_lengthen_a_little_are_run(tmp_path):
    steps = chain({"type": "NFKD"}, 20)  # by its bound 18 times each, in truth not at all
    tokenizer = PretrainedTokenizer.from_folder(folder_of(tmp_path, normalizer=steps), 3)
    assert tokenizer.encode("a") == [0]
    tokenizer = PretrainedTokenizer.from_folder(folder_of(tmp_path, normalizer=chain(DOUBLE, 3)), 3)
    assert tokenizer.encode("b" * 10) == [1]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"normalizer": chain(DOUBLE, 65)}, "more than 64 normalizers"),
        ({"decoder": chain(DOUBLE, 40, "decoders")}, "The decoder in .* 256 times as long"),
        ({"pre_tokenizer": chain(LETTERS, 40, "pretokenizers")}, "The pre_tokenizer in"),
        (
            {
                "normalizer": chain(DOUBLE, 40),
                "added_tokens": [
                    {"id": 3, "content": "a", "normalized": True, "special": False,
                     "single_word": False, "lstrip": False, "rstrip": False}
                ],
            },
            "pieces that tokenizer.json adds become more",
        ),
    ],
)  # fmt: skip
def test_a_file_that_would_fill_a_memory_is_refused_when_it_is_read(tmp_path, parts, says):
    with pytest.raises(CheckpointError, match=says):
        PretrainedTokenizer.from_folder(folder_of(tmp_path, **parts), 4)


def test_a_bound_is_not_below_what_a_step_does():
    for step, text in (
        (DOUBLE, "aaa"), (BETWEEN, "bbb"), ({"type": "NFKD"}, "\ufdfa"),
        ({"type": "NFD"}, "\u1f82"),
        ({"type": "Lowercase"}, "\u0130"), ({"type": "Prepend", "prepend": "abc"}, "b"),
        ({"type": "ByteLevel"}, "\U0001f600"),
    ):  # fmt: skip
        growth = growth_of({"normalizer": step})
        ((alone, factor),) = growth.steps
        assert len(alone.normalizer.normalize_str(text)) <= factor * len(text)
