"""What was found of how models learn: transfer, exposure bias, gradients, what helps."""

from __future__ import annotations

import math

from playground.experiments.ordering import Interval, interval
from playground.experiments.results import Result
from playground.experiments.summaries import (
    Finding,
    Row,
    grouped,
    is_above,
    listed,
    mean_of,
    paired,
    told,
    verdict,
)

OFF, ON = "scheduled sampling off", "scheduled sampling on"
JUDGE = "6-gram"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
CLAIMED = ("clipping", "curriculum")  # what the lesson says helps the loss
FELT = 0.01  # bits of KL above which a wrong token is said to be felt


# -- transfer --------------------------------------------------------------------------------------


def matrix(result: Result, steps: int) -> list[Row]:
    """Return a row a pair: bits of a model trained on one text that reads another, after `steps`.

    What a model was trained on it does not learn again: there every number of steps is 0.
    """
    rows = []
    for (source, target), of_pair in grouped(result.rows, "trained_on", "read").items():
        chosen = [row for row in of_pair if row["steps"] == (0 if source == target else steps)]
        found = mean_of(chosen, "bits_per_char")
        if found is not None:
            row = {"trained_on": source, "read": target, "bits": round(found.mean, 4)}
            finite = not math.isinf(found.half_width)
            rows.append(row | ({"half": round(found.half_width, 4)} if finite else {}))
    return rows


def foreign(result: Result, steps: int) -> dict[tuple[str, str], Interval]:
    """Return how many bits more a model needs on a text than the one that was trained on it."""
    cells = grouped([r for r in result.rows if r["trained_on"] == r["read"]], "read")
    found = {}
    for (source, target), rows in grouped(result.rows, "trained_on", "read").items():
        after = [row for row in rows if row["steps"] == steps]
        if source != target and after and (target,) in cells:
            gap = paired(after, cells[(target,)], "bits_per_char")
            if gap is not None:
                found[source, target] = gap
    return found


def transfer(result: Result) -> Finding:
    last = max(result.values("steps"))
    before, after = foreign(result, 0), foreign(result, last)
    near, far = min(before, key=lambda p: before[p].mean), max(before, key=lambda p: before[p].mean)
    mean = interval([gap.mean for gap in before.values()])
    first = (
        f"A model that reads another text than its own needs {mean.mean:.2f} bits per character "
        f"more on average than the one that was trained on it: from {told(before[near])} "
        f"({near[0]} on {near[1]}) to {told(before[far])} ({far[0]} on {far[1]})"
    )
    left = interval([gap.mean for gap in after.values()])
    closed = [pair for pair, gap in after.items() if gap.mean <= gap.half_width]
    second = (
        f"After {last} steps of fine-tuning {left.mean:.2f} of them are left; in {len(closed)} of "
        f"{len(after)} pairs nothing is left beyond the 95 % interval over seeds"
        if not math.isinf(next(iter(after.values())).half_width)
        else f"After {last} steps of fine-tuning {left.mean:.2f} of them are left; with one seed "
        "whether chance made that cannot be said"
    )
    return Finding(f"{first}. {second}.")


# -- exposure --------------------------------------------------------------------------------------


def excess(result: Result, variant: str, by: str) -> dict[int, Interval]:
    """Return how many bits more own text costs than true text by position, over seeds."""
    rows = result.where(variant=variant, by=by)
    own, true = (grouped([r for r in rows if r["what"] == w], "position") for w in ("own", "true"))
    found = {p: paired(own[(p,)], true[(p,)], "bits") for (p,) in own if (p,) in true}
    return {position: gap for position, gap in found.items() if gap is not None}


def growth(result: Result, variant: str, by: str = JUDGE) -> Interval:
    """Return how much that excess grows from the first half of the text to the second."""
    halves: dict[int, list[list[float]]] = {}
    rows = result.where(variant=variant, by=by)
    middle = sorted({row["position"] for row in rows})
    middle = middle[len(middle) // 2]
    for row in rows:
        sign = 1 if row["what"] == "own" else -1
        of_seed = halves.setdefault(row["seed"], [[], []])
        of_seed[row["position"] >= middle].append(sign * row["bits"])
    return interval([2 * (_mean(after) - _mean(before)) for before, after in halves.values()])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def felt(result: Result, variant: str) -> dict[int, Interval]:
    """Return KL in bits by distance behind one flipped token, over seeds."""
    rows = result.where(variant=variant, what="flip")
    return {d: mean_of(of, "bits") for (d,), of in grouped(rows, "distance").items()}


def exposure(result: Result) -> Finding:
    grown = growth(result, OFF)
    is_clear = grown.excludes_zero and not math.isinf(grown.half_width)
    way = "grows" if grown.mean > 0 else "shrinks"
    first = (
        f"Judged by a 6-gram, the excess of the model's own text over true text {way} by "
        f"{told(Interval(abs(grown.mean), grown.half_width))} bits per character from the first "
        "half to the second, which is "
        + ("more than chance between seeds" if is_clear else "not to be told from chance")
    )
    kl = felt(result, OFF)
    begun, last = kl[min(kl)], kl[max(kl)]
    with_it = felt(result, ON)
    gap = paired(
        *([r for r in result.where(variant=v, what="flip") if r["distance"] == min(kl)]
          for v in (ON, OFF)), "bits",
    )  # fmt: skip
    second = (
        f"One flipped token shifts the next prediction by {told(begun)} bits of KL and that at "
        f"distance {max(kl)} by {told(last, 3)}"
    )
    if with_it and gap is not None:
        less = "less" if gap.mean < 0 else "more"
        second += (
            f"; with scheduled sampling the next one shifts by {abs(gap.mean):.2f} bits {less}, "
            + ("beyond" if gap.excludes_zero else "within")
            + " the 95 % interval over seeds"
        )
    return Finding(
        f"{first}. {second}.", verdict(is_clear and grown.mean > 0, is_clear and grown.mean < 0)
    )


# -- gradients -------------------------------------------------------------------------------------


def decay(result: Result, cell: str, state: str) -> Interval:
    """Return log10 of the gradient's norm at the farthest distance over that at the nearest."""
    rows = result.where(cell=cell, state=state)
    near, far = min(row["distance"] for row in rows), max(row["distance"] for row in rows)
    ratios = []
    for of_seed in grouped(rows, "seed").values():
        at = {row["distance"]: max(row["norm"], 1e-45) for row in of_seed}
        ratios.append(math.log10(at[far] / at[near]))
    return interval(ratios)


def gradients(result: Result) -> Finding:
    cells = result.values("cell")
    far = max(result.values("distance"))
    fresh, trained = ({c: decay(result, c, s) for c in cells} for s in ("fresh", "trained"))
    first = (
        f"From 1 token back to {far} the gradient of a fresh network falls to "
        + listed([f"{_power(fresh[cell])} ({cell})" for cell in cells])
        + " of what it was"
    )
    best = max(cells, key=lambda cell: trained[cell].mean)
    near = [c for c in cells if c != best and not is_above(trained[best], trained[c])]
    second = (
        "After training it falls to "
        + listed([f"{_power(trained[cell])} ({cell})" for cell in cells])
        + f": {best} carries it farthest"
        + f", not to be told from {listed(near)} by intervals that overlap" * bool(near)
    )
    return Finding(
        f"{first}. {second}.",
        verdict(
            is_above(trained["lstm"], trained["rnn"]), is_above(trained["rnn"], trained["lstm"])
        ),
    )


def _power(found: Interval) -> str:
    """Return a share given by its logarithm: 0.2, or 10⁻¹⁶ for a tiny one."""
    if found.mean > -2:
        return f"{10**found.mean:.2g}"
    return "10" + f"{found.mean:.0f}".translate(SUPERSCRIPT)


# -- helps -----------------------------------------------------------------------------------------


def on_and_off(result: Result) -> dict[str, Interval]:
    """Return, by what was switched, bits with it minus bits without it: below 0 it helps."""
    found = {}
    for about in result.values("about"):
        pair = [result.where(about=about, variant=f"{about} {way}") for way in ("on", "off")]
        gap = paired(*pair, "bits_per_char")
        if gap is not None:
            found[about] = gap
    return found


def helps(result: Result) -> Finding:
    gaps = on_and_off(result)
    if not gaps:
        raise ValueError("nothing was switched")
    clear = {a: g for a, g in gaps.items() if g.excludes_zero and not math.isinf(g.half_width)}
    said = {a: f"{a} ({g.mean:+.3f} bits)" if a in clear else f"{a} ({g.mean:+.3f})"
            for a, g in gaps.items()}  # fmt: skip
    good = [said[a] for a, gap in clear.items() if gap.mean < 0]
    bad = [said[a] for a, gap in clear.items() if gap.mean > 0]
    rest = [said[about] for about in gaps if about not in clear]
    first = (
        f"Clearly better with it: {listed(good)}" if good else "Nothing clearly made it better"
    ) + (f"; clearly worse with it: {listed(bad)}" if bad else "; nothing clearly worse")
    seeds = len({row["seed"] for row in result.rows})
    why = (
        "one seed says nothing of chance"
        if seeds < 2
        else (f"the 95 % interval of the paired differences over {seeds} seeds includes 0")
    )
    second = (
        f"Not to be told from no effect, since {why}: {listed(rest)}"
        if rest
        else f"All differences are beyond their 95 % intervals over {seeds} seeds"
    )
    claimed = [about for about in gaps if about in CLAIMED]
    holds = bool(claimed) and all(about in clear and gaps[about].mean < 0 for about in claimed)
    contradicted = any(about in clear and gaps[about].mean > 0 for about in claimed)
    return Finding(f"{first}. {second}.", verdict(holds, contradicted))
