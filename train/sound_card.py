"""What a training of sound leaves behind: samples to hear, figures, a checkpoint and its card."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from playground.checkpoints import load, save, write_atomically
from playground.data.sounds import Sounds, examples_of, write_examples
from playground.evaluation.bits_per_dim import percentiles_of
from playground.evaluation.bits_per_sample import bits_of_sounds, bits_per_sample
from playground.evaluation.templates import nearest
from playground.models.guided import Guided
from playground.models.ngram import fit_ngram
from playground.tokenizers.audio import AudioTokenizer, mel_spectrogram, to_wav
from train.loop import clock, origin, seed_of, settings_json
from train.told import Told, ToldText

if TYPE_CHECKING:
    from train.audio import Config

WAYS = ((1.0, 1.0), (0.8, 1.0), (0.8, 2.0))  # temperature and guidance of words that are heard
MISTAKES = 8  # kinds of them that a card lists
BASELINES = {"histogram of the levels": 1, "n-gram, 1 sample back": 2, "n-gram, 2 samples back": 3}


@torch.inference_mode()
def speak(
    model, tokenizer: AudioTokenizer, condition, seconds: float, seed: int, temperature: float = 1.0
) -> np.ndarray:
    """Let the model make a sound (T,), always with the same noise."""
    count = round(seconds * tokenizer.sample_rate)
    generator = torch.Generator().manual_seed(seed_of(seed, "draw"))
    uniforms = torch.rand(count, generator=generator, dtype=torch.float64)
    device = next(model.parameters()).device
    state = model.initial_state(1, condition)
    token = torch.full((1, 1), tokenizer.bos_token, device=device)
    if hasattr(model, "sample_ahead"):
        found = model.sample_ahead(token, state, uniforms, temperature)
        if found is not None:
            return tokenizer.decode(found[0].tolist())
    made = []
    for uniform in uniforms:
        if model.context_length is not None and state.length >= model.context_length:
            kept = torch.tensor([made[-model.context_length // 2 :]], device=device)
            _, state = model.step(kept[:, :-1], model.initial_state(1, condition))
        logits, state = model.step(token, state)
        weights = (
            (logits[0, : tokenizer.levels] / temperature).double().softmax(-1).cumsum(-1).cpu()
        )
        made.append(int(torch.searchsorted(weights, uniform * weights[-1], right=True)))
        token = torch.tensor([[made[-1]]], device=device)
    return tokenizer.decode(made)


def write_samples(folder: Path, name: str, sounds: list[np.ndarray], sample_rate: int) -> None:
    """Write sounds one after the other as a WAV file, a fifth of a second between them."""
    gap = np.zeros(sample_rate // 5, np.float32)
    joined = np.concatenate([part for sound in sounds for part in (sound, gap)])
    data = to_wav(joined, sample_rate)
    write_atomically(folder / f"{name}.wav", lambda path: path.write_bytes(data))


def spectrogram_sheet(rows: list[list[np.ndarray]], sample_rate: int) -> Image.Image:
    """Lay the spectrograms of sounds out in rows, louder is brighter, a grey line between them."""
    pictures = []
    for row in rows:
        cells = []
        for sound in row:
            decibels = mel_spectrogram(sound, sample_rate)
            grey = np.clip((decibels + 80) / 80, 0, 1)[::-1]
            size = (192, 96)
            cell = Image.fromarray((255 * grey).astype(np.uint8)).resize(size)
            cells.append(np.pad(np.asarray(cell), 1, constant_values=128))
        pictures.append(np.concatenate(cells, axis=1))
    widest = max(p.shape[1] for p in pictures)
    filled = [np.pad(p, ((0, 0), (0, widest - p.shape[1]))) for p in pictures]
    return Image.fromarray(np.concatenate(filled))


def publish(config, model, tokenizer, sounds: Sounds, judged_by, seconds: float) -> None:
    """Write the checkpoint, measure it as it was written, and write its card."""
    test, told = judged_by
    info = {
        "modality": "audio",
        **origin("audio", sounds, model, seconds),
        "sounds": config.data,  # for `load_sounds`
        "split": sounds.split,
        "classes": list(sounds.classes) if told.name == "class" else [],
        "test_sounds": len(test),
        "test_seconds": round(sum(map(len, test)) / config.sample_rate, 1),
    }
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    shipped, _ = load(config.out, config.device)
    lengths = torch.tensor([len(clip) for clip in test]).double()
    conditions = {"": told.conditions(len(test)), f"_without_{told.name}": None}
    for suffix, told_of in conditions.items():
        if told.name != "nothing" or not suffix:
            bits = bits_of_sounds(shipped, test, tokenizer.bos_token, told_of)
            info[f"test_bits_per_sample{suffix}"] = round((bits.sum() / lengths.sum()).item(), 4)
            info[f"test_bits_percentiles{suffix}"] = percentiles_of(bits / lengths)
    clips = [torch.from_numpy(tokenizer.quantise(clip)) for clip in sounds.train]
    info["baselines"] = baselines(clips, test, tokenizer.vocab_size)
    if isinstance(told, ToldText):
        info["recognised"] = recognised(shipped, tokenizer, told, sounds.train, config)
    examples, labels, texts = examples_of(sounds)
    lengths = write_examples(config.out, examples, config.sample_rate)
    info["examples"] = {"lengths": lengths, "labels": labels, "texts": texts}
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    made = [
        speak(shipped, tokenizer, condition, duration, config.seed + i)
        for i, (_, condition, duration) in enumerate(told.shown)
    ]
    write_samples(config.out, "samples", made, config.sample_rate)
    sheet = spectrogram_sheet([made, examples[: len(made)]], config.sample_rate)
    write_atomically(config.out / "samples.png", lambda path: sheet.save(path, "PNG"))
    text = card(config, info, told)
    write_atomically(config.out / "README.md", lambda path: path.write_text(text))
    print(f"{config.out}: {info['test_bits_per_sample']} bits per sample, {clock(seconds)}")


def recognised(model, tokenizer: AudioTokenizer, told: ToldText, clips, config: Config) -> dict:
    """Say how many of the words that the model speaks are most like the word that it was told.

    By temperature and guidance: how many are right, of how many, which was taken for which.
    """
    words = [word for word, _, _ in told.shown]
    templates = [clips[told.texts.index(word)] for word in words]
    found = {}
    for temperature, guidance in WAYS:
        speaker = model if guidance == 1.0 else Guided(model, guidance)
        mistakes = []
        for number, (word, _, seconds) in enumerate(told.shown * config.draws):
            made = speak(speaker, tokenizer, word, seconds, config.seed + number, temperature)
            heard = words[nearest(made, templates, tokenizer.sample_rate)]
            if heard != word:
                mistakes.append(f"{word} as {heard}")
        total = config.draws * len(words)
        found[f"{temperature}, {guidance}"] = [total - len(mistakes), total, sorted(mistakes)]
    return found


def baselines(train: list[torch.Tensor], test: list[torch.Tensor], vocab_size: int) -> dict:
    """Return the bits per sample of counts that look back 0, 1 and 2 samples, by name."""
    bos = torch.tensor([vocab_size - 1])
    stream = torch.cat([part.long() for clip in train for part in (bos, clip)])
    models = {name: fit_ngram(stream, vocab_size, order) for name, order in BASELINES.items()}
    return {name: round(bits_per_sample(m, test, int(bos)), 4) for name, m in models.items()}


def card(config: Config, info: dict, told: Told) -> str:
    """Return the model card."""
    line = ""
    if (untold := info.get(f"test_bits_per_sample_without_{told.name}")) is not None:
        line = f"\n| told the {told.name} | {told.says}; untold, the same model needs {untold} |"
    others = "".join(f"\n| {name} | {bits} |" for name, bits in info["baselines"].items())
    heard = ""
    if "recognised" in info:
        heard = f"\nA recogniser that takes each of {config.draws} draws of {words_of(told)} for "
        heard += "the real word it is most like (`playground/evaluation/templates.py`) is right "
        heard += "so often:\n"
        heard += "\n| temperature, guidance | right | mistakes |\n|---|---|---|"
        for way, (right, total, mistakes) in info["recognised"].items():
            heard += f"\n| {way} | {right} of {total} | {counted(mistakes)} |"
        heard += "\n"
    names = ", ".join(dict.fromkeys(name for name, _, _ in told.shown))
    return f"""# {config.out.name}

{config.model} over 8-bit mu-law samples, {config.sample_rate:,} a second, \
{info["parameters"]:,} parameters.

![Above: spectrograms of sounds that it made; below: real ones](samples.png)

`samples.wav`: sounds that it made at temperature 1, one draw each, none left out: {names}.

| | |
|---|---|
| data | {info["data"]} ({info["source"]}) |
| licence of the data | {info["licence"]} |
| held out | {info["split"]}: {info["test_sounds"]:,} sounds of {info["test_seconds"]} s |
| examples | `examples.flac`: {len(info["examples"]["lengths"])} of them |
| **bits per sample** | **{info["test_bits_per_sample"]}** on all of them, stored as float16 |{line}
| time | {clock(info["seconds"])} on {info["machine"]} |
| command | `{info["command"]}` |

The same held-out sounds by counts of the same training sounds:

| | bits per sample |
|---|---|{others}
{heard}
A sample is one of 256 levels; who knows nothing needs 8 bits for it.

```json
{settings_json(config)}
```
"""


def words_of(told: Told) -> str:
    return ", ".join(name for name, _, _ in told.shown)


def counted(mistakes: list[str]) -> str:
    """List the most frequent mistakes, with how often each was made."""
    common = Counter(mistakes).most_common(MISTAKES)
    listed = ", ".join(f"{what} ({n})" if n > 1 else what for what, n in common)
    rest = len(mistakes) - sum(n for _, n in common)
    return (f"{listed}, {rest} more" if rest else listed) or "none"
