"""A text as frames, one every few milliseconds: what a model of sound is told to say.

The letters of a text are laid out over its duration. A lexicon knows how long words last that
were heard; of others each letter is as long as it is on average, a linear duration model whose
only parameters are `letter_frames`. A frame tells the letter it is in, its neighbours, and how
much of it is over. Behind the last letter comes the end, for ever.

WaveNet's local conditioning (van den Oord et al. 2016b, arXiv:1609.03499, 2.5), with letters where
they have linguistic features of an aligner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError

MAX_LETTERS = 200
MAX_FRAMES = 3000
NEIGHBOURS = 2  # letters to each side that a frame is told
PLACES = 6  # numbers that say how much of a letter is over
NOTHING, END = 0, 1  # symbols before the letters of the alphabet: not told, the text is over


class Spoken(nn.Module):
    """From a text to its frames (F, D)."""

    def __init__(self, alphabet: str, n_embd: int, n_hidden: int, lexicon: Mapping[str, int]):
        super().__init__()
        self.alphabet, self.lexicon = alphabet, lexicon
        self.embedding = nn.Embedding(2 + len(alphabet), n_embd)
        self.inner = nn.Linear((2 * NEIGHBOURS + 1) * n_embd + PLACES, n_hidden)
        self.outer = nn.Linear(n_hidden, n_hidden)
        self.register_buffer("letter_frames", torch.full((len(alphabet),), 8.0))

    def letters(self, text: str) -> list[int]:
        """Return the symbols of a text.

        Raises:
            ConfigError: it is empty or too long, or has a letter that the model does not know.
        """
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"The text to speak must have letters, got {text!r}. Write some.")
        if len(text) > MAX_LETTERS:
            raise ConfigError(
                f"The text has {len(text)} letters; at most {MAX_LETTERS} are spoken at once. "
                "Shorten it."
            )
        if unknown := sorted(set(text) - set(self.alphabet)):
            raise ConfigError(
                f"This model does not know {', '.join(map(repr, unknown[:5]))}. It knows "
                f"{self.alphabet!r}; write the text with these."
            )
        return [2 + self.alphabet.index(letter) for letter in text]

    def duration(self, text: str) -> int:
        """Return how many frames the text lasts, at least one a letter."""
        return max(len(text), min(MAX_FRAMES, round(self._frames_of_letters(text).sum().item())))

    def _frames_of_letters(self, text: str) -> Tensor:
        """Return how many frames each letter lasts: as the lexicon has it of the text or a word."""
        index = torch.tensor(self.letters(text), device=self.letter_frames.device) - 2
        frames = self.letter_frames[index].clamp(0.5, MAX_FRAMES)
        pieces = [text] if text in self.lexicon else text.split(" ")
        at = 0
        for piece in pieces:
            own = frames[at : at + len(piece)]
            if piece in self.lexicon:
                own *= self.lexicon[piece] / own.sum()
            at += len(piece) + 1  # and the space behind it
        return frames

    def layout(self, text: str, n_frames: int | None = None) -> tuple[Tensor, Tensor]:
        """Return symbols (F + 1, 2 NEIGHBOURS + 1) and what is over of the middle one (F + 1,).

        `n_frames` is how long the text lasts where that is known. The last frame is the end.
        """
        letters, device = self.letters(text), self.letter_frames.device
        n_frames = self.duration(text) if n_frames is None else n_frames
        weights = self._frames_of_letters(text)
        ends = weights.cumsum(0) * (n_frames / weights.sum())
        time = torch.arange(n_frames, device=device) + 0.5
        place = torch.searchsorted(ends, time).clamp(max=len(letters) - 1)
        start = torch.where(place > 0, ends[place - 1], 0.0)
        over = ((time - start) / (ends[place] - start)).clamp(0, 1)
        symbols = F.pad(torch.tensor(letters, device=device), (NEIGHBOURS, NEIGHBOURS), value=END)
        windows = symbols.unfold(0, 2 * NEIGHBOURS + 1, 1)[place]
        end = torch.full_like(symbols[: 2 * NEIGHBOURS + 1], END)[None]
        return torch.cat((windows, end)), F.pad(over, (0, 1))

    def nothing(self) -> tuple[Tensor, Tensor]:
        """Return the layout of no text in particular, one frame."""
        symbols = torch.full((1, 2 * NEIGHBOURS + 1), NOTHING, device=self.letter_frames.device)
        return symbols, torch.zeros(1, device=self.letter_frames.device)

    def forward(self, symbols: Tensor, over: Tensor) -> Tensor:
        """Map a layout (..., 2 NEIGHBOURS + 1), (...) to frames (..., D)."""
        k = torch.arange(PLACES, device=over.device)
        places = torch.cos(torch.pi * k * over[..., None])
        x = torch.cat((self.embedding(symbols).flatten(-2), places), dim=-1)
        return self.outer(F.relu(self.inner(x)))


def fit_letter_frames(texts: Sequence[str], frames: Sequence[int], alphabet: str) -> Tensor:
    """Return the frames (A,) that each letter lasts: least squares, drawn towards their mean.

    A letter that occurs seldom is not known well, so all start from the mean and one utterance
    moves a letter little (ridge regression, Hoerl & Kennard 1970).
    """
    counts = torch.tensor([[text.count(letter) for letter in alphabet] for text in texts]).double()
    wanted = torch.tensor(frames).double()
    mean = wanted.sum() / counts.sum()
    gram = counts.T @ counts + 20.0 * torch.eye(len(alphabet), dtype=torch.float64)
    change = torch.linalg.solve(gram, counts.T @ (wanted - counts.sum(1) * mean))
    return (mean + change).clamp(min=1.0).float()
