"""Checkpoints: what is written is read again, and what is hostile is refused with a message."""

import json
import math
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from playground import checkpoints
from playground.errors import CheckpointError
from playground.evaluation.likelihood import negative_log_likelihood
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.text import BPETokenizer, CharTokenizer, tokenizer_from_json
from tests.helpers import (
    ROOT,
    lstm,
    ngram,
    picture_model,
    random_tokens,
    shipped_folders,
    transformer,
)

SYMBOLS = "abcdefghijklmnopqrstuv"  # and BOS: the vocabulary of the test models
MAX_SHIPPED_MB = 60
MAX_ZOO_MB = 30  # of every family of text together
BOUNDS = {  # bits per character of the excerpt below, with some room over what was measured
    "kjv-char-ngram": 1.85,
    "kjv-char-transformer": 1.60,
    "kjv-char-lstm": 2.05,
    "prose-bpe-transformer": 2.25,  # of another author's English than it was trained on
    "prose-bpe-draft": 2.45,
}


def saved(folder: Path, model=None, **options) -> Path:
    checkpoints.save(folder, model or transformer(), CharTokenizer(SYMBOLS), **options)
    return folder


@pytest.mark.parametrize("build", [transformer, lstm, ngram])
def test_a_checkpoint_gives_back_the_same_bits(build, tmp_path):
    model = build()
    loaded, tokenizer = checkpoints.load(saved(tmp_path, model, info={"data": "x"}))
    tokens = random_tokens(2, 9)
    assert torch.equal(loaded(tokens), model(tokens))
    assert loaded.config == model.config
    assert tokenizer.symbols == SYMBOLS
    assert checkpoints.read_config(tmp_path)["info"] == {"data": "x"}
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


def test_half_precision_is_half_the_size_and_close(tmp_path):
    model, tokens = transformer(), random_tokens(2, 9)
    whole, half = saved(tmp_path / "a", model), saved(tmp_path / "b", model, dtype=torch.float16)
    sizes = [(f / "model.safetensors").stat().st_size for f in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    loaded, _ = checkpoints.load(half)
    assert loaded.embedding.weight.dtype == torch.float32
    torch.testing.assert_close(loaded(tokens), model(tokens), atol=0.05, rtol=0.05)


def test_byte_pairs_survive_as_json(tmp_path):
    tokenizer = BPETokenizer.train(["a rose is a rose is a rose"] * 3, 270)
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.encode("a rose is é") == tokenizer.encode("a rose is é")


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        checkpoints.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def rewrite_config(folder: Path, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def rewrite_tensors(folder: Path, change) -> None:
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    tensors = change(tensors) or tensors
    save_file(tensors, folder / "model.safetensors")


def rewrite_bytes(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))


def with_header(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def rewrite_entry(folder: Path, **changes) -> None:
    """Change what the header says of one tensor, and nothing else."""

    def change(data: bytes) -> bytes:
        end = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:end])
        header["norm.weight"] |= changes
        return with_header(header, data[end:])

    rewrite_bytes(folder, change)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)  # to open it would wait for a writer that never comes


def replace_by_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def poison(tensors: dict) -> None:
    tensors["norm.weight"][3] = float("nan")


def reshape(tensors: dict) -> None:
    tensors["norm.weight"] = tensors["norm.weight"].reshape(2, -1).contiguous()


MANY = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
PICKLE = b"cposix\nsystem\n(S'touch canary'\ntR."
HOSTILE = {
    "cut short": lambda f: rewrite_bytes(f, lambda data: data[: len(data) // 2]),
    "padded": lambda f: rewrite_bytes(f, lambda data: data + b"\0" * 64),
    "empty": lambda f: rewrite_bytes(f, lambda data: b""),
    "cut in the header": lambda f: rewrite_bytes(f, lambda data: data[:40]),
    "header of 2**60 bytes": lambda f: rewrite_bytes(
        f, lambda data: struct.pack("<Q", 2**60) + data[8:]
    ),
    "header that is no JSON": lambda f: rewrite_bytes(
        f, lambda d: struct.pack("<Q", 9) + b"x" * 99
    ),
    "header that is a list": lambda f: rewrite_bytes(f, lambda d: with_header([1, 2])),
    "header of deep nesting": lambda f: rewrite_bytes(
        f, lambda d: struct.pack("<Q", 400_000) + b"[" * 400_000
    ),
    "twenty thousand tensors": lambda f: rewrite_bytes(f, lambda d: with_header(MANY)),
    "a pickle": lambda f: rewrite_bytes(f, lambda d: PICKLE),
    "NaN": lambda f: rewrite_tensors(f, poison),
    "another shape": lambda f: rewrite_tensors(f, reshape),
    "a tensor missing": lambda f: rewrite_tensors(f, lambda t: {k: t[k] for k in list(t)[1:]}),
    "a tensor more": lambda f: rewrite_tensors(f, lambda t: t | {"extra": torch.zeros(2)}),
    "another dtype": lambda f: rewrite_tensors(
        f, lambda t: t | {"norm.weight": t["norm.weight"].to(torch.uint8)}
    ),
    "integers for weights": lambda f: rewrite_tensors(
        f, lambda t: t | {"norm.weight": t["norm.weight"].long()}
    ),
    "a shape that is a number": lambda f: rewrite_entry(f, shape=24),
    "a dtype that is a list": lambda f: rewrite_entry(f, dtype=["F32"]),
    "a pipe for weights": lambda f: replace_by_pipe(f / "model.safetensors"),
    "a pipe for config": lambda f: replace_by_pipe(f / "config.json"),
    "a link to nowhere": lambda f: replace_by_link(f / "model.safetensors", "nowhere"),
    "a folder for config": lambda f: replace_by_folder(f / "config.json"),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "no config": lambda f: (f / "config.json").unlink(),
    "config of bytes": lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"),
    "config that is a list": lambda f: (f / "config.json").write_text("[]"),
    "config of deep nesting": lambda f: (f / "config.json").write_text("[" * 200_000),
    "unknown family": lambda f: rewrite_config(f, lambda c: c.update(family="gpt-9")),
    "family of another type": lambda f: rewrite_config(f, lambda c: c.update(family=["lstm"])),
    "another family's config": lambda f: rewrite_config(f, lambda c: c.update(family="lstm")),
    "an unknown setting": lambda f: rewrite_config(f, lambda c: c["model"].update(secret=1)),
    "absurd width": lambda f: rewrite_config(f, lambda c: c["model"].update(n_embd=2**40)),
    "absurd depth": lambda f: rewrite_config(
        f, lambda c: c["model"].update(n_layer=128, n_embd=3 * 2**12, n_head=3)
    ),
    "width of another type": lambda f: rewrite_config(f, lambda c: c["model"].update(n_embd="24")),
    "no tokenizer": lambda f: rewrite_config(f, lambda c: c.pop("tokenizer")),
    "tokenizer of text": lambda f: rewrite_config(f, lambda c: c.update(tokenizer="abc")),
    "another vocabulary": lambda f: rewrite_config(
        f, lambda c: c.update(tokenizer={"type": "characters", "symbols": "abc"})
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_checkpoint_is_refused_with_a_next_step(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = saved(tmp_path / "mine")
    HOSTILE[name](folder)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(folder)
    message = str(caught.value)
    assert "mine" in message
    assert "choose another model" in message
    assert "\n" not in message
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (ImageTokenizer(6, 7, 1, 5, "spiral"), "order 'spiral'.*draws row by row"),
        (ImageTokenizer(7, 6, 1, 5), r"pictures of \(7, 6, 1\).*draws \(6, 7, 1\)"),
        (CharTokenizer("abcde"), "draws pictures"),
    ],
)
def test_a_model_that_counts_rows_takes_its_own_pictures_row_by_row(tokenizer, message, tmp_path):
    model = picture_model("gated-pixelcnn")
    checkpoints.save(tmp_path / "mine", model, tokenizer)
    with pytest.raises(CheckpointError, match=f"'mine' cannot be used.*{message}.*another model"):
        checkpoints.load(tmp_path / "mine")


def test_a_transformer_takes_pixels_in_any_order(tmp_path):
    checkpoints.save(tmp_path, transformer(), ImageTokenizer(5, 8, 1, 22, "random", 7))
    _, tokenizer = checkpoints.load(tmp_path)
    assert (tokenizer.order, tokenizer.order_seed) == ("random", 7)


def test_n_grams_out_of_order_are_refused(tmp_path):
    folder = saved(tmp_path, ngram())
    rewrite_tensors(folder, lambda t: t | {"grams_2": t["grams_2"].flip(0).contiguous()})
    with pytest.raises(CheckpointError, match="out of order"):
        checkpoints.load(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("counts_2", lambda t: torch.zeros_like(t), "out of order"),
        ("grams_1", lambda t: t + 9, "unknown tokens"),
        ("discounts", lambda t: t + 3, "discount is not between 0 and the count"),
        ("discounts", lambda t: t * float("nan"), "no numbers"),
    ],
)
def test_n_gram_tables_that_would_give_no_probabilities_are_refused(
    name, change, message, tmp_path
):
    folder = saved(tmp_path, ngram())
    rewrite_tensors(folder, lambda t: t | {name: change(t[name]).contiguous()})
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(folder)


def test_loading_leaves_the_global_generator_alone(tmp_path):
    folder = saved(tmp_path)
    before = torch.get_rng_state()
    checkpoints.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_absurd_model_takes_no_memory_before_it_is_refused(tmp_path):
    import resource

    folder = saved(tmp_path)
    HOSTILE["absurd depth"](folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="GB"):
        checkpoints.load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("folder", shipped_folders(), ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_says_what_it_is(folder):
    info = checkpoints.read_config(folder)["info"]
    for key in ("data", "licence", "source", "command", "held_out_bits_per_char", "parameters"):
        assert key in info
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert info["command"] in card
    assert str(info["held_out_bits_per_char"]) in card
    assert not list(folder.glob("*.tmp"))


def test_shipped_checkpoints_are_small_together():
    sizes = {f.name: (f / "model.safetensors").stat().st_size for f in shipped_folders()}
    zoo = sum(size for name, size in sizes.items() if name.startswith("zoo-"))
    assert zoo < MAX_ZOO_MB * 10**6
    assert sum(sizes.values()) - zoo < MAX_SHIPPED_MB * 10**6


@pytest.mark.parametrize("name", [folder.name for folder in shipped_folders()])
def test_a_shipped_model_predicts_text_it_has_not_read(name):
    text = (ROOT / "tests" / "data" / "king_james_tail.txt").read_text(encoding="utf-8")
    model, tokenizer = checkpoints.load(ROOT / "checkpoints" / name)
    tokens = torch.tensor(tokenizer.encode(text))
    nats, scored = negative_log_likelihood(model, tokens, tokenizer.bos_token)
    assert scored == len(tokens)
    told = checkpoints.read_config(ROOT / "checkpoints" / name)["info"]["held_out_bits_per_char"]
    assert nats / len(text) / math.log(2) < BOUNDS.get(name, 1.05 * told)


def test_every_token_of_a_long_text_is_scored_once_and_with_context():
    model, tokens = transformer(context_length=16), random_tokens(203)
    nats, scored = negative_log_likelihood(model, tokens, 22)
    assert scored == len(tokens)
    expected, done = 0.0, 0
    for start in [*range(0, 203 - 15, 7), 203 - 15]:  # windows of 15, half of each is new
        window = tokens[start : start + 15]
        inputs = torch.cat((torch.tensor([22]), window[:-1]))[None]
        logprobs = model(inputs)[0].log_softmax(-1).gather(-1, window[:, None])[:, 0]
        expected -= logprobs[done - start :].double().sum().item()
        done = start + 15
    assert nats == pytest.approx(expected, rel=1e-5)
