"""What "Look inside" draws and hands out, as plain data: no widget is touched here.

What is read inside a model is of the position before the cursor, and is kept until that moves.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from playground.inspection.ablation import Ablation
from playground.inspection.attention import Overview, arcs, overview, spread
from playground.inspection.logit_lens import Lens
from playground.models.base import ARModel
from playground.tokenizers.text import visible
from playground.ui.resources import turn
from playground.ui.state import Session

Found = TypeVar("Found")

ARCS = 10  # strongest tokens that an arc leads to
BINS = 64  # parts of a row that a cell of the grid shows
COLUMNS, LEAST_COLUMNS = 32, 12  # newest positions in the table of layers
LENS_LOGITS = 25_000_000  # that a table of layers is made of: a second of a core
MATRIX_SHOWN = 256  # newest tokens of one head's matrix
START = "start"  # what the strip calls BOS
GRID_WIDE, GRID_HIGH = 352, 440  # pixels that a grid of heads may take


def looked(session: Session, what: Hashable, make: Callable[[], Found]) -> Found:
    """Return what `make` computes of the position before the cursor; once for all parts of a page.

    Raises:
        BusyError: no turn to compute came free.
    """
    of = (session.identity, session.stepper.current, session.stepper.prefix)
    if session.seen[:1] != (of,):
        session.seen = (of, {})
    found = session.seen[1]
    if what not in found:
        with turn():
            found[what] = make()
    return found[what]


def attention_seen(session: Session) -> Overview:
    """Return where all heads look from the position before the cursor."""
    stepper = session.stepper
    return looked(
        session, "attention", lambda: overview(stepper.model, stepper.prefix, stepper.state)
    )


def chosen_head(session: Session, n_layer: int, n_head: int) -> tuple[int, int] | None:
    """Return the head that is looked at, None for the mean of all."""
    if not session.head_is_chosen:
        return None
    session.layer, session.head = min(session.layer, n_layer - 1), min(session.head, n_head - 1)
    return session.layer, session.head


def weights_of(seen: Overview, length: int, head: tuple[int, int] | None) -> np.ndarray:
    """Return the weights (length,) of one head, or the mean of all, over the whole sequence."""
    row = seen.row.mean(axis=(0, 1)) if head is None else seen.row[head]
    return spread(row, length, seen.first)


def head_name(head: tuple[int, int] | None) -> str:
    return "mean of all heads" if head is None else f"layer {head[0] + 1}, head {head[1] + 1}"


def drawn(token: int, tokenizer: Any) -> str:
    """Return a token as running text: what cannot be seen becomes its label."""
    plain = tokenizer.decode([token])
    if not isinstance(plain, str):
        return f"{tokenizer.label(token)} "  # levels of pixels and of samples
    label = tokenizer.label(token)
    if plain == "\n":
        return "⏎\n"
    return plain if plain and visible(plain).replace("␣", " ") == plain else label


def texts_of(prefix: Sequence[int], tokenizer: Any) -> tuple[list[str], dict[str, str]]:
    """Return every token of `prefix` as running text, and names of those that differ from it."""
    texts = {token: drawn(token, tokenizer) for token in set(prefix[1:])}
    names = {text: tokenizer.label(token) for token, text in texts.items()}
    shown = [START, *(texts[token] for token in prefix[1:])]
    return shown, {text: name for text, name in names.items() if name != text}


def arcs_data(
    prefix: Sequence[int],
    tokenizer: Any,
    weights: np.ndarray,
    *,
    title: str,
    facts: str = "",
    says: str = "read with",
    unit: str = "percent",
    first: int = 1,
    with_arcs: bool = True,
) -> dict:
    """Return what `token_arcs` draws: tokens (BOS first), coloured by `weights` (T,).

    Args:
        says: what a token's number is, before it.
        unit: "percent" of weights that add up to 1, else "plain".
        first: position of the oldest token after BOS that the model was shown.
    """
    texts, names = texts_of(prefix, tokenizer)
    strongest = int(np.argmax(weights))
    return {
        "texts": texts,
        "names": names,
        "weights": [round(float(w), 6) for w in weights],
        "arcs": [arc.position for arc in arcs(np.asarray(weights), ARCS)] if with_arcs else [],
        "title": title, "facts": facts, "says": says, "unit": unit, "first": first, "leads": True,
        "strongest": strongest_of(weights), "low": "none", "high": "strongest",
        "alt": f"{title}. {len(texts)} tokens; the strongest is {texts[strongest]!r} at position "
        f"{strongest}. Arrow keys read, Enter looks from there.",
    }  # fmt: skip


def strongest_of(weights: np.ndarray) -> float:
    """Return what is drawn as strongest of weights (T,): where heads rest, on BOS, hides the rest.

    Heads that have nothing to say park their weight there (Xiao et al. 2023, arXiv:2309.17453).
    """
    told = weights[1:] if len(weights) > 1 else weights
    return max(1e-9, float(np.max(told)))


def pack(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> str:
    """Return numbers between `low` and `high` as base64 of uint8."""
    share = (np.asarray(values, np.float64) - low) / max(high - low, 1e-12)
    levels = (np.nan_to_num(share).clip(0, 1) * 255).round()
    return base64.b64encode(levels.astype("u1").tobytes()).decode()


def grid_data(
    n_layer: int,
    n_head: int,
    values: np.ndarray,
    tips: Sequence[str],
    *,
    chosen: tuple[int, int] | None,
    title: str,
    facts: str = "",
    high: str = "strongest",
    low: str = "none",
    hint: str = "",
    known: int | None = None,
    scale: float | np.ndarray | None = None,
) -> dict:
    """Return what `head_grid` draws: `values` (n_layer * n_head, width), not negative.

    Args:
        tips: what each cell says, layer by layer.
        known: how many cells are known so far, None for all.
        scale: what is drawn as strongest, of all heads or of each (n_layer * n_head, 1); None: the
            largest of each.
    """
    values = np.asarray(values, np.float64).reshape(n_layer * n_head, -1)
    top = values.max(axis=1, keepdims=True) if scale is None else scale
    share = np.sqrt((values / np.maximum(top, 1e-12)).clip(0, 1))  # small ones stay visible
    wide = max(14, min(76, GRID_WIDE // n_head - 2))
    tall = max(10, min(40 if values.shape[1] > 1 else 28, GRID_HIGH // n_layer - 2))
    return {
        "layers": n_layer, "heads": n_head, "width": values.shape[1], "wide": wide, "tall": tall,
        "high": high, "low": low, "values": pack(share), "tips": list(tips), "chosen": chosen,
        "known": known, "title": title, "facts": facts, "hint": hint,
        "alt": f"{title}: {n_layer} layers of {n_head} heads. Arrow keys move, Enter chooses.",
    }  # fmt: skip


def rests_aside(rows: np.ndarray) -> np.ndarray:
    """Return what is drawn as strongest of each head's row (L, H, n): (L * H, 1), BOS aside."""
    told = rows[..., 1:] if rows.shape[-1] > 1 else rows
    return told.max(axis=-1).reshape(-1, 1)


def bins_of(rows: np.ndarray, count: int = BINS) -> np.ndarray:
    """Return the largest weight in each of at most `count` parts of rows (..., n)."""
    n = rows.shape[-1]
    starts = np.unique(np.linspace(0, n, min(n, count), endpoint=False).astype(int))
    return np.maximum.reduceat(rows, starts, axis=-1)


def overview_tips(seen: Overview) -> list[str]:
    """Return what is said of each head, layer by layer."""
    told = (seen.start, seen.previous, seen.itself, seen.distance)
    return [
        f"start {start:.0%}, previous {previous:.0%}, itself {itself:.0%}\n"
        f"looks back {distance:.1f} tokens on average"
        for start, previous, itself, distance in zip(*(part.ravel() for part in told), strict=True)
    ]


def faintest(seen: int) -> float:
    """Return the weight from which on a matrix has colour: a tenth of an even look at `seen`.

    Weights over many tokens are small, and what matters is how many times they differ from even
    ones: so colours are logarithmic, from here to 1, whatever the length.
    """
    return float(f"{min(0.1, 0.1 / seen):.0e}")


def matrix_data(weights: np.ndarray, names: Sequence[str], title: str, seen: int) -> dict:
    """Return what `matrix_map` draws of one head: weights (m, m), rows look at columns.

    Args:
        seen: how many tokens the newest could look at.
    """
    m, low = len(weights), faintest(seen)
    told = f"{100 * low:.6g} %"
    return {
        "rows": m, "columns": m, "square": True, "both": False, "log": True,
        "min": low, "max": 1.0,
        "values": pack(np.log(np.maximum(weights, low)), np.log(low), 0.0),
        "column_names": list(names), "title": title, "row": None,
        "x": "is looked at →", "y": "looks →", "low": f"{told} or less", "high": "100 %",
        "hint": f"The newest {m} tokens, the newest at the bottom and the right. Colours are "
        f"logarithmic; an even look at {seen:,} tokens would give each {100 / seen:.2g} %.",
        "alt": f"{title}: where each of {m} tokens looks. Arrow keys read.",
    }  # fmt: skip


def lens_data(
    lens: Lens,
    layers: Sequence[str],
    label: Callable[[int], str],
    prefix: Sequence[int],
    chosen: int,
) -> dict:
    """Return what `lens_table` draws: every layer's likeliest token at the newest positions.

    Args:
        layers: their names, as `layer_names` has them.
        chosen: column in the chart.
    """
    tokens = np.unique(np.concatenate([lens.top.ravel(), lens.followed[lens.followed >= 0]]))
    names = {int(token): label(int(token)) for token in tokens}
    columns = [START if p == 0 else label(prefix[p]) for p in range(lens.first, len(prefix))]
    last, at = lens.top[-1], lens.decided
    decided = layers[int(at[chosen])] if at[chosen] < len(layers) - 1 else "the last layer"
    return {
        "layers": list(layers),
        "columns": columns,
        "first": lens.first,
        "names": names,
        "top": lens.top.tolist(),
        "probs": np.round(lens.top_prob, 4).tolist(),
        "rank": lens.rank.tolist(),
        "followed": [names.get(int(t), "") for t in lens.followed],
        "followed_probs": np.round(np.nan_to_num(lens.followed_prob), 6).tolist(),
        "followed_word": "followed",
        "chosen": chosen,
        "low": "0", "high": "100 %",
        "title": "What each layer finds likeliest to come next",
        "facts": f"After {columns[chosen]} the model says {names[int(last[chosen])]}; from "
        f"{decided} on it stays with that.",
        "alt": f"{len(layers)} layers by {len(columns)} positions, the last layer at the top",
    }  # fmt: skip


def lens_columns(n_layer: int, vocab_size: int) -> int:
    """Return how many positions are read between layers, fewer of a large vocabulary."""
    return max(LEAST_COLUMNS, min(COLUMNS, LENS_LOGITS // ((n_layer + 1) * vocab_size)))


def layer_names(model: ARModel, count: int) -> list[str]:
    """Return names of the `count` places where a lens reads a model; a Transformer's embedding too.

    Args:
        model: without wrappers.
    """
    n_layer = getattr(model, "n_layer", None) or getattr(model.config, "n_layer", count)
    names = [f"layer {i + 1}" for i in range(n_layer)]
    return ["embedding", *names] if count > n_layer else names


def lens_rows(
    lens: Lens, layers: Sequence[str], column: int, label: Callable[[int], str]
) -> list[dict]:
    """Return one row a layer: rank and probability of the token that followed, and the top one."""
    return [
        {
            "layer": i,
            "name": name,
            "rank": int(lens.rank[i, column]),
            "probability": float(lens.followed_prob[i, column]),
            "top": label(int(lens.top[i, column])),
            "top_probability": float(lens.top_prob[i, column]),
            "kl_bits": float(lens.kl[i, column]),
        }
        for i, name in enumerate(layers)
    ]


def ablation_tips(found: Iterable[Ablation], label: Callable[[int], str]) -> list[str]:
    return [
        f"{a.kl:.4f} bits away from the whole model\nlog₂ p of {label(a.token)} {a.change:+.3f}; "
        f"likeliest {label(a.top)}, {a.top_prob:.1%}"
        for a in found
    ]


def before_and_after(
    whole: np.ndarray,
    without: np.ndarray,
    label: Callable[[int], str],
    name: str,
    token: int,
    shown: int = 8,
) -> dict:
    """Return what `candidate_bars` draws: the likeliest tokens by log p (V,), with and without.

    Args:
        name: of what is left out.
        token: what was taken, or would be.
    """
    both = np.exp(np.stack([whole, without]))  # (2, V)
    order = np.argsort(-both[0], kind="stable")[:shown].tolist()
    more = [*np.argsort(-both[1], kind="stable")[:3].tolist(), token]
    order += [t for t in dict.fromkeys(more) if t not in order]
    longest = both[:, order].max()
    rows, names = [], set()
    for t in order:
        said = label(t)
        said = said if said not in names else f"{said} #{t}"
        names.add(said)
        cells = [
            [round(0.68 * float(p / longest), 4), "taken" if t == token else "kept",
             f"{100 * p:.1f} %", round(float(p), 6)]
            for p in both[:, t]
        ]  # fmt: skip
        rows.append({"name": said, "sid": "", "cells": cells})
    return {
        "stages": ["all heads", f"without={name}"],
        "rows": rows,
        "widest": min(16, max(map(len, names)) + 1),
    }


def table_csv(rows: Sequence[dict]) -> str:
    """Return rows as a table; text that a spreadsheet would run as a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            "'" + v if isinstance(v, str) and v.startswith(("=", "+", "-", "@", "\t", "\r")) else v
            for v in row.values()
        )
    return out.getvalue()


def plain_json(data: dict) -> str:
    """Return arrays and numbers as JSON."""
    return json.dumps(data, ensure_ascii=False, default=lambda array: np.asarray(array).tolist())
