"""What was packed comes back, by the model that packed it and by no other."""

import math
import zlib
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.checkpoints import load
from playground.compression import container
from playground.compression.codec import Packing, compress, decompress
from playground.compression.content import of_tokens, take_apart
from playground.compression.prediction import fingerprint
from playground.data.images import read_examples
from playground.data.sounds import read_examples as read_sounds
from playground.errors import CompressionError, ConfigError, PromptError
from playground.evaluation.bits_per_dim import surprisal_of_pictures
from playground.models import FAMILIES, LSTM
from playground.models.base import device_of
from playground.models.ngram import fit_ngram
from playground.tokenizers.audio import AudioTokenizer
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.text import BPETokenizer, CharTokenizer
from tests.helpers import (
    CONTEXT_LENGTH,
    PICTURE,
    PICTURE_MODELS,
    ROOT,
    lstm,
    ngram,
    picture_model,
    random_tokens,
    shipped_folders,
    transformer,
    with_weights,
)

CHARS = CharTokenizer("abcdefghijklmnopqrstu ")  # 22 symbols, then BOS
TEXT_MODELS = {"transformer": transformer, "lstm": lstm, "ngram": ngram}
SMALL = ImageTokenizer(PICTURE["height"], PICTURE["width"], 1, PICTURE["levels"])
WORDS = BPETokenizer.train(["the cat and the dog and the bird"], 270)


def wavenet(**sizes) -> torch.nn.Module:
    config_class, model_class = FAMILIES["wavenet"]
    sizes = {"channels": 8, "skip_channels": 8, "n_layer": 4, "dilation_cycle": 3} | sizes
    return with_weights(model_class(config_class(**sizes)))


def come_back(model, tokenizer, thing, **options):
    packed = compress(model, tokenizer, thing, **options)
    unpacked = decompress(model, tokenizer, packed.data)
    assert unpacked.raw == packed.content.raw
    assert unpacked.tokens == packed.content.tokens
    assert abs(8 * packed.header.payload - packed.model_bits) <= 0.01 * packed.model_bits + 24
    return packed


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_random_tokens_come_back_beyond_the_end_of_the_context(name):
    tokens = random_tokens(5 * CONTEXT_LENGTH // 2, vocab_size=CHARS.bos_token).tolist()
    come_back(TEXT_MODELS[name](), CHARS, of_tokens(CHARS, tokens))


@pytest.mark.parametrize("name", ["pixelcnn", "gated-pixelcnn", "row-lstm", "pixelcnn-mixture"])
def test_random_pictures_come_back(name):
    model = PICTURE_MODELS[name]()
    c = model.config
    tokenizer = ImageTokenizer(c.height, c.width, c.colors, c.levels)
    tokens = random_tokens(tokenizer.size, vocab_size=tokenizer.levels).tolist()
    come_back(model, tokenizer, of_tokens(tokenizer, tokens))


def test_random_samples_come_back():
    samples = np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32)
    tokenizer = AudioTokenizer()
    packed = come_back(wavenet(), tokenizer, samples)
    assert packed.header.sample_rate == 8000
    assert packed.content.raw == tokenizer.quantise(samples).tobytes()


@pytest.mark.parametrize("folder", shipped_folders("text"), ids=lambda folder: folder.name)
def test_real_sentences_come_back_and_are_smaller(folder):
    model, tokenizer = load(folder)
    text = (folder / "held_out.txt").read_text(encoding="utf-8")[100:300]
    packed = come_back(model, tokenizer, text)
    assert packed.content.raw == text.encode()
    assert packed.header.payload < 0.65 * len(zlib.compress(text.encode(), 9))


@pytest.mark.parametrize(
    "name",
    ["fashion-gated-8bit", "fashion-transformer", "digits-transformer-random"],
)  # fmt: skip
def test_real_pictures_come_back(name):
    folder = ROOT / "checkpoints" / name
    model, tokenizer = load(folder)
    picture = read_examples(folder, tokenizer)[0]
    packed = come_back(model, tokenizer, picture)
    if tokenizer.levels == 256:  # nothing was lost before
        assert packed.content.raw == picture.tobytes()
    tokens = torch.tensor([packed.content.tokens])
    bits = surprisal_of_pictures(model, tokens, tokenizer.bos_token).sum().item()
    assert packed.model_bits == pytest.approx(bits, rel=1e-3)


@pytest.mark.parametrize("folder", shipped_folders("audio"), ids=lambda folder: folder.name)
def test_real_sounds_come_back_and_are_smaller(folder):
    model, tokenizer = load(folder)
    samples = max(read_sounds(folder, tokenizer), key=lambda clip: np.abs(clip[:800]).mean())[:800]
    packed = come_back(model, tokenizer, samples)
    assert packed.content.raw == tokenizer.quantise(samples).tobytes()
    assert packed.header.payload < len(zlib.compress(packed.content.raw, 9))


@pytest.mark.parametrize("thing", ["", b"", "日本", b"\xff\xfe\0"])
@pytest.mark.parametrize("tokenizer", [CHARS, WORDS], ids=["characters", "byte-pair"])
def test_little_or_nothing_comes_back(tokenizer, thing):
    packed = come_back(transformer(vocab_size=tokenizer.vocab_size), tokenizer, thing)
    raw = thing.encode() if isinstance(thing, str) else thing
    assert packed.content.raw == raw
    assert packed.header.payload == 0 or packed.header.count > 0


@given(st.binary(max_size=30) | st.text(max_size=30))
@settings(max_examples=30)
def test_any_bytes_and_any_text_come_back(thing):
    raw = thing if isinstance(thing, bytes) else thing.encode()
    for tokenizer in (CHARS, WORDS):
        packed = compress(NGRAMS[tokenizer.vocab_size], tokenizer, thing)
        assert decompress(NGRAMS[tokenizer.vocab_size], tokenizer, packed.data).raw == raw


def _counts(vocab_size: int) -> torch.nn.Module:
    return fit_ngram(random_tokens(2000, vocab_size=vocab_size), vocab_size, 3)


NGRAMS = {size: _counts(size) for size in (CHARS.vocab_size, WORDS.vocab_size)}


def test_a_text_of_strange_characters_costs_about_what_gzip_takes():
    text = "Δεν καταλαβαίνω. " * 30
    packed = compress(ngram(), CHARS, text)
    assert packed.content.count_exceptions == sum(c not in CHARS.symbols for c in text)
    assert len(packed.data) < 2 * len(zlib.compress(text.encode(), 9)) + 200


def test_a_condition_is_kept_and_matters():
    model = picture_model("gated-pixelcnn", n_class=4, channels=16)
    tokens = random_tokens(SMALL.size, vocab_size=SMALL.levels).tolist()
    files = [
        come_back(model, SMALL, of_tokens(SMALL, tokens), condition=condition)
        for condition in (None, 0, 3)
    ]
    assert [file.header.condition for file in files] == [None, 0, 3]
    assert len({file.model_bits for file in files}) == 3
    with pytest.raises(ConfigError):
        compress(model, SMALL, of_tokens(SMALL, tokens), condition=7)


def test_packing_bit_by_bit_gives_the_same_file():
    model, content = transformer(), take_apart(CHARS, "a bad cat had a cab")
    packing = Packing(model, CHARS, content, model_name="m")
    seen = []
    while packing.advance(4):
        seen.append(packing.done)
    assert seen == [4, 8, 12, 16]
    assert packing.result().data == compress(model, CHARS, content, model_name="m").data


def test_the_number_of_threads_does_not_matter_and_stays():
    model = transformer()
    one = compress(model, CHARS, "a bad cat").data
    torch.set_num_threads(2)
    assert compress(model, CHARS, "a bad cat").data == one
    assert torch.get_num_threads() == 2


def test_other_weights_are_refused_by_name():
    data = compress(transformer(), CHARS, "cat", model_name="first").data
    other = transformer()
    other.embedding.weight.data[0, 0] += 1e-3
    with pytest.raises(CompressionError, match=r"'first' \(weights .*'second' \(weights"):
        decompress(other, CHARS, data, model_name="second")
    with pytest.raises(CompressionError, match="no other model"):
        decompress(lstm(), CHARS, data)
    with pytest.raises(CompressionError, match="no other model"):
        decompress(transformer(), CharTokenizer(CHARS.symbols[::-1]), data)


def test_a_fingerprint_is_of_weights_configuration_and_tokenizer():
    prints = [
        fingerprint(transformer(), CHARS),
        fingerprint(transformer(), CharTokenizer(CHARS.symbols[::-1])),
        fingerprint(transformer("learned"), CHARS),
        fingerprint(with_weights(transformer(), seed=9), CHARS),
    ]
    assert len(set(prints)) == 4
    assert fingerprint(transformer(), CHARS) == prints[0]


def test_a_machine_that_computes_otherwise_is_told_of_not_a_wrong_text(monkeypatch):
    """Logits that are a little off stand for another machine's kernels."""
    model, step = lstm(), LSTM.step
    data = compress(model, CHARS, "a bad cat had a cab and a dad").data

    def step_otherwise(self, tokens, state):
        logits, state = step(self, tokens, state)
        return logits * 1.01, state

    monkeypatch.setattr(LSTM, "step", step_otherwise)
    with pytest.raises(CompressionError, match="rounds the model's numbers differently"):
        decompress(model, CHARS, data)


def test_another_kind_of_device_is_refused():
    model = transformer()
    packed = compress(model, CHARS, "cat")
    header = asdict(packed.header) | {"device": "cuda"}
    with pytest.raises(CompressionError, match="'cuda'"):
        decompress(model, CHARS, rewritten(packed, **header))
    assert device_of(model).type == "cpu"


def rewritten(packed, **header) -> bytes:
    """Return the file with another header and a checksum that fits."""
    _, exceptions, payload = container.read(packed.data)
    return container.write(container.Header(**header), exceptions, payload)


def test_every_cut_and_every_flipped_bit_is_refused():
    model = ngram()
    data = compress(model, CHARS, "a bad cät", model_name="m").data
    damaged = [data[:end] for end in range(len(data))]
    damaged += [data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :] for i in range(len(data))]
    for one in [*damaged, data + b"\0", b"ARP1", b"PK\x03\x04" + bytes(40)]:
        with pytest.raises(CompressionError):
            decompress(model, CHARS, one)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 2**32 - 1}, "at most"),
        ({"count": -1}, "values that cannot be"),
        ({"count": True}, "values that cannot be"),
        ({"modality": "smell"}, "values that cannot be"),
        ({"modality": "audio"}, "claims to hold audio"),
        ({"condition": [1]}, "values that cannot be"),
        ({"model": "m" * 10_000}, "values that cannot be"),
        ({"payload": 5}, "said to follow"),
        ({"exceptions": 2**31}, "said to follow"),
        ({"crc": 1}, "rounds"),
    ],
)
def test_a_header_that_lies_is_refused(changes, message):
    model = ngram()
    packed = compress(model, CHARS, "cat")
    with pytest.raises(CompressionError, match=message):
        decompress(model, CHARS, rewritten(packed, **asdict(packed.header) | changes))


@pytest.mark.parametrize(
    "exceptions",
    [
        b'[[0],"\\ud800"]', b'[[9],"x"]', b'[[0,0],"x"]', b'[[-1],"x"]', b"[]", b"{}",
        b'[["a"],"x"]', b"[" * 100_000, b'[[],""]', b'[[1e400],"x"]',
    ],
)  # fmt: skip
def test_exceptions_that_lie_are_refused(exceptions):
    model = ngram()
    packed = compress(model, CHARS, "cat")
    _, _, payload = container.read(packed.data)
    deflated = zlib.compress(exceptions)
    header = container.Header(**asdict(packed.header) | {"exceptions": len(deflated)})
    with pytest.raises(CompressionError):
        decompress(model, CHARS, container.write(header, deflated, payload))


def test_a_count_that_the_payload_cannot_hold_is_refused():
    """Of 4,096 tokens the likeliest leaves 4,095 parts to the others: 1 byte holds few of them."""
    told = {"modality": "text", "model": "m", "fingerprint": "", "crc": 0, "payload": 1}
    container.check_count(container.Header(count=60_000, **told), 4096)
    with pytest.raises(CompressionError, match="cannot be"):
        container.check_count(container.Header(count=80_000, **told), 4096)


def test_a_small_file_that_inflates_to_a_large_one_is_refused():
    bomb = zlib.compress(bytes(container.MAX_HEADER_BYTES + 1))
    with pytest.raises(CompressionError, match="inflates to more"):
        container.inflate(bomb, container.MAX_HEADER_BYTES)


def test_start_tokens_and_strangers_are_not_packed():
    for token in (CHARS.bos_token, -1, 10**9):
        with pytest.raises(CompressionError, match="Only the tokens 0 to 21"):
            of_tokens(CHARS, [0, token])
    with pytest.raises(PromptError, match="surrogate"):
        take_apart(CHARS, "a\ud800")


def test_the_file_has_the_bits_of_the_model():
    """Of a text that is long enough for its end not to matter."""
    tokens = random_tokens(600, vocab_size=CHARS.bos_token).tolist()
    model = lstm()
    packed = compress(model, CHARS, of_tokens(CHARS, tokens))
    rows = torch.tensor([[CHARS.bos_token, *tokens[:-1]]])
    logprobs = model.forward(rows)[0].double().log_softmax(-1)
    bits = -logprobs[range(600), tokens].sum().item() / math.log(2)
    assert packed.model_bits == pytest.approx(bits, rel=1e-4)
    # The start token, which the model thinks possible and the file does not, costs a little.
    assert 8 * packed.header.payload == pytest.approx(bits, rel=0.02)
