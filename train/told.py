"""What a model of sound is told of each clip beside the samples before it: a class, a text."""

from __future__ import annotations

import torch

from playground.data.sounds import Sounds
from playground.errors import ConfigError

SHOWN_SECONDS = 1.0
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Told:
    """Nothing: a model that continues whatever it hears."""

    name, says = "nothing", "nothing"

    def __init__(self):
        self.sizes = {"n_class": 0, "alphabet": ""}  # of the model
        # What its samples are made of: a name, what is told, seconds.
        self.shown = [(f"{2 * SHOWN_SECONDS:.0f} s each", None, 2 * SHOWN_SECONDS)] * 4

    def of_batch(self, model, crops: list) -> torch.Tensor | None:
        """Return the biases of a step's crops: each a sound's number and its start, or None."""
        return model.biases(None, len(crops)) if hasattr(model, "biases") else None

    def conditions(self, count: int) -> list | None:
        """Return what the first held-out sounds are judged under."""
        return None


class ToldClass(Told):
    """The class of each sound; `n_class` stands for none in particular."""

    name = "class"

    def __init__(self, sounds: Sounds):
        self.names, self.labels, self.test = sounds.classes, sounds.train_labels, sounds.test_labels
        self.says = f"{len(self.names)} classes"
        self.sizes = {"n_class": len(self.names), "alphabet": ""}
        self.shown = [(name, i, SHOWN_SECONDS) for i, name in enumerate(self.names)][:12]

    def of_batch(self, model, crops: list) -> torch.Tensor:
        none = len(self.names)
        labels = [none if crop is None else int(self.labels[crop[0]]) for crop in crops]
        return model.biases(torch.tensor(labels), len(crops))

    def conditions(self, count: int) -> list:
        return [int(label) for label in self.test[:count]]


class ToldText(Told):
    """What is said in each sound, laid out over how long it takes."""

    name = "text"

    def __init__(self, sounds: Sounds, hop: int, crop: int):
        self.texts, self.hop, self.n_frames = sounds.train_texts, hop, crop // hop
        self.frames = [-(-len(clip) // hop) for clip in sounds.train]
        durations = [-(-len(clip) // hop) for clip in sounds.test]
        self.test = list(zip(sounds.test_texts, durations, strict=True))
        alphabet = "".join(sorted(set("".join((*sounds.train_texts, *sounds.test_texts)))))
        self.says = f"texts of {alphabet!r}"
        lexicon = dict(zip(reversed(self.texts), reversed(self.frames), strict=True))
        self.sizes = {"n_class": 0, "alphabet": alphabet, "lexicon": lexicon}
        known = [text for text in DIGITS if text in self.texts]
        shown = known or list(dict.fromkeys(self.texts))[:10]
        self.shown = [(text, text, SHOWN_SECONDS) for text in shown]

    def of_batch(self, model, crops: list) -> torch.Tensor:
        symbols, over = [], []
        for crop in crops:
            first = 0
            if crop is None:
                layout = model.spoken.nothing()
            else:
                number, start = crop
                layout = model.spoken.layout(self.texts[number], self.frames[number])
                first = start // self.hop
            index = (first + torch.arange(self.n_frames)).clamp(max=len(layout[1]) - 1)
            symbols.append(layout[0][index])
            over.append(layout[1][index])
        return model.told(model.spoken(torch.stack(symbols), torch.stack(over)))

    def conditions(self, count: int) -> list:
        return self.test[:count]


def told_by(config, sounds: Sounds) -> Told:
    """Return what `config.told` names.

    Raises:
        ConfigError: the model or the sounds have no such thing.
    """
    kind = config.told
    if kind == "auto":
        kind = "class" if sounds.classes and config.model == "wavenet" else "nothing"
    if kind == "nothing":
        return Told()
    if config.model != "wavenet":
        raise ConfigError(f"A {config.model} is told nothing, so --told must be nothing or auto.")
    if kind == "class" and sounds.classes:
        return ToldClass(sounds)
    if kind == "text" and sounds.train_texts:
        return ToldText(sounds, config.hop, config.example)
    raise ConfigError(
        f"--told must be class, text, nothing or auto, and {sounds.name} must come with it, got "
        f"{config.told!r}. It has {len(sounds.classes)} classes and "
        f"{'transcripts' if sounds.train_texts else 'no transcripts'}."
    )
