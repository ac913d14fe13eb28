"""Every model that can be chosen: one explicit table, then whatever was trained here since."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from playground.checkpoints import read_config
from playground.data.hub import PREFIX, parse_address
from playground.errors import DataError, PlaygroundError
from playground.hub import cache
from playground.models.remote_client import RemoteSettings
from playground.models.remote_name import model_name

ROOT = Path(__file__).resolve().parent.parent
MAX_FOUND = 50  # checkpoints of the user's own that are listed


@dataclass(frozen=True)
class ModelCard:
    """What a page says of a model before it is loaded."""

    name: str  # in links; the folder under checkpoints/, or hub:owner/name@commit
    title: str
    modality: str
    summary: str
    example: str  # a prompt to begin with
    folder: Path
    remote: RemoteSettings | None = None  # where it computes, if that is a server


def _shipped(name: str, title: str, summary: str, example: str) -> ModelCard:
    return ModelCard(name, title, "text", summary, example, ROOT / "checkpoints" / name)


def _drawing(name: str, title: str, summary: str, modality: str = "image") -> ModelCard:
    return ModelCard(name, title, modality, summary, "", ROOT / "checkpoints" / name)


def _sounding(name: str, title: str, summary: str, example: str = "") -> ModelCard:
    return ModelCard(name, title, "audio", summary, example, ROOT / "checkpoints" / name)


def _zoo(name: str, title: str, summary: str) -> ModelCard:
    """A family on the common text, at about 800,000 parameters and 6 million tokens."""
    return _shipped(f"zoo-{name}", f"{title} · the zoo", summary, "And God said, ")


def _digits(order: str, told: str) -> ModelCard:
    return _drawing(
        f"digits-transformer-{order}",
        f"Transformer, {order} order · 8x8 digits",
        f"Decides the pixels {told}; the other three of its kind in other orders.",
    )


MODELS = (
    _shipped(
        "kjv-char-transformer",
        "Character Transformer · King James Bible",
        "Looks back over up to 511 characters and weighs each of them by attention.",
        "And God said, ",
    ),
    _shipped(
        "prose-bpe-transformer",
        "Byte-pair Transformer · presidents and a whale",
        "Reads pieces of words; trained on State of the Union addresses and Moby-Dick.",
        "The people of the United States have ",
    ),
    _shipped(
        "prose-bpe-draft",
        "Byte-pair draft · presidents and a whale",
        "One small layer over the same pieces of words: it guesses ahead for the model above.",
        "The people of the United States have ",
    ),
    _shipped(
        "kjv-char-lstm",
        "Character LSTM · King James Bible",
        "Keeps the whole past in one vector of fixed size.",
        "And God said, ",
    ),
    _shipped(
        "kjv-char-ngram",
        "Character 7-gram · King James Bible",
        "Counts what followed the last six characters; no neural network.",
        "And God said, ",
    ),
    *(
        _zoo(f"ngram-{n}", f"Character {n}-gram", f"Counts what followed the last {seen}.")
        for n, seen in (
            (2, "character"),
            (3, "two characters"),
            (4, "three"),
            (5, "four"),
            (6, "five"),
        )
    ),
    _zoo("neural-ngram", "Neural 9-gram", "A perceptron over the last eight characters."),
    _zoo("rnn", "Vanilla RNN", "One vector of the past, made anew at every character."),
    _zoo("gru", "GRU", "Gates decide what of the past is kept and what is made anew."),
    _zoo("lstm", "LSTM, one layer", "A cell beside the output, which only gates change."),
    _zoo(
        "causal-conv",
        "Gated causal convolutions",
        "Sees the last 127 characters and nothing older.",
    ),
    _zoo("transformer-rotary", "Transformer, rotary", "Attention; positions turn its vectors."),
    _zoo("transformer-learned", "Transformer, learned", "A vector for each of 256 positions."),
    _zoo("transformer-sinusoidal", "Transformer, sinusoidal", "Positions as waves, not learned."),
    _zoo("transformer-alibi", "Transformer, ALiBi", "No positions: what is near counts more."),
    _drawing(
        "fashion-gated-pixelcnn",
        "Gated PixelCNN · Fashion-MNIST, 4 grey levels",
        "Convolutions over the pixels above and to the left; it can be told which garment to draw.",
    ),
    _drawing(
        "fashion-pixelcnn",
        "PixelCNN · Fashion-MNIST, 4 grey levels",
        "One stack of masked convolutions; a corner above right of each pixel it cannot see.",
    ),
    _drawing(
        "fashion-row-lstm",
        "Row LSTM · Fashion-MNIST, 4 grey levels",
        "Remembers the rows above in a state that is handed down from row to row.",
    ),
    _drawing(
        "fashion-transformer",
        "Transformer · Fashion-MNIST, 4 grey levels",
        "Looks back at every pixel that was drawn and weighs each by attention.",
    ),
    _drawing(
        "fashion-gated-8bit",
        "Gated PixelCNN · Fashion-MNIST, 256 grey levels",
        "The same pictures in full depth: every pixel is one of 256 levels.",
    ),
    _drawing(
        "emoji-gated-pixelcnn",
        "Gated PixelCNN · emoji in colour, 32x32",
        "Decides red, then green, then blue of every pixel, 16 levels each.",
    ),
    _drawing(
        "fashion-super-resolution",
        "Super-resolution · Fashion-MNIST, from 7x7 to 28x28",
        "A Gated PixelCNN that is told a small picture and draws large ones that it could be of.",
        modality="super-resolution",
    ),
    _digits("raster", "row by row"),
    _digits("column", "column by column"),
    _digits("spiral", "around the edge, then ever further inwards"),
    _digits("random", "scattered, by one permutation for all pictures"),
    _sounding(
        "instruments-wavenet",
        "WaveNet · drums and short instruments",
        "Dilated convolutions over the last eighth of a second; told which instrument to play.",
    ),
    _sounding(
        "words-wavenet",
        "WaveNet · spoken words",
        "Told a text of a few words, which it speaks letter by letter.",
        "seven",
    ),
    _sounding(
        "speech-wavenet",
        "WaveNet · telephone prompts",
        "Learned from 22 minutes of one speaker, told nothing: it babbles in her voice.",
    ),
    _sounding(
        "speech-samplernn",
        "SampleRNN · telephone prompts",
        "The same speech by frames of 16 samples that a recurrent net remembers.",
    ),
)


def available(modality: str) -> dict[str, ModelCard]:
    """Return the models of a modality that are on this machine, shipped ones first, by name."""
    found = {
        card.name: card
        for card in MODELS
        if card.modality == modality and (card.folder / "config.json").is_file()
    }
    configs = [*ROOT.glob("checkpoints/*/config.json"), *ROOT.glob("runs/*/config.json")]
    for path in sorted(configs)[:MAX_FOUND]:
        folder = path.parent
        if folder.name not in found:
            kind, summary = _own_model(folder)
            if kind == modality:
                found[folder.name] = ModelCard(folder.name, folder.name, kind, summary, "", folder)
    if modality == "text" and (card := remote_card()) is not None:
        found[card.name] = card
    return found


HUB_MODALITIES = {"causal": "text", "seq2seq": "text", "image": "image", "audio": "audio"}


def hub_card(address: str) -> ModelCard:
    """Return the card of a model of the Hub that is here; its name pins the commit.

    `address` is "owner/name", "owner/name@revision", either with "hub:" before it.

    Raises:
        DataError: it is not here whole; `hub.plan` and `hub.fetch` bring it.
    """
    name, revision = parse_address(address)
    commit = cache.commit_of(name, revision)
    held = cache.look(name, commit) if commit else None
    if held is None:
        pinned = f" as of {revision}" if revision else ""
        raise DataError(f"The model {name} of the Hub is not here{pinned}. Fetch it first.")
    folder = cache.snapshot_of(name, commit)
    if held.kind == "playground":
        modality, summary = _own_model(folder)
    else:
        modality = HUB_MODALITIES[held.kind]
        summary = f"{held.architecture} of the Hub, as of commit {commit[:7]}."
    return ModelCard(f"{PREFIX}{name}@{commit}", name, modality, summary, "", folder)


def hub_cards() -> dict[str, ModelCard]:
    """Return the cards of all models of the Hub that are here, the last used first, by name."""
    cards = [hub_card(model.address) for model in cache.cached()]
    return {card.name: card for card in cards}


def _own_model(folder: Path) -> tuple[str, str]:
    """Return the modality of a checkpoint and what to say of it; a damaged one counts as text."""
    try:
        config = read_config(folder)
    except PlaygroundError as error:
        return "text", str(error)
    tokenizer = config.get("tokenizer")
    kind = tokenizer.get("type") if isinstance(tokenizer, dict) else None
    info = config.get("info")
    data = info.get("data") if isinstance(info, dict) else None
    read = f" that has read {data[:80]}" if isinstance(data, str) else ""
    summary = f"A model of your own: {config['family']}{read}."
    if config["family"] == "super-resolution":  # has a section of its own
        return "super-resolution", summary
    return kind if kind in ("image", "audio") else "text", summary


def remote_card() -> ModelCard | None:
    """Return the model of the server that the environment names, None if it names none."""
    try:
        settings = RemoteSettings.read(os.environ)
        known = model_name(settings) if settings is not None else ""
    except PlaygroundError as error:  # told on the page, beside the other models
        return ModelCard("remote", "Remote", "text", str(error), "", ROOT / "remote:")
    if settings is None:
        return None
    name = f"remote:{known}" if known else "remote"
    summary = "Its weights are on a server, which answers token by token."
    return ModelCard(
        name, f"Remote: {known or 'a model server'}", "text", summary,
        "The capital of France is", ROOT / name, settings,
    )  # fmt: skip
