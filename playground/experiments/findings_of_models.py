"""What was found of models and of what they write: families, strategies, sizes and lengths."""

from __future__ import annotations

import math

from playground.experiments.ordering import Interval, interval
from playground.experiments.power_laws import Fit, fit
from playground.experiments.results import Result
from playground.experiments.summaries import (
    Finding,
    Row,
    ends,
    grouped,
    is_above,
    known,
    listed,
    mean_of,
    overlap,
    told,
    verdict,
)

HUMAN = "human"
WITHIN, BEYOND = 128, 256  # places from which a model is well within what it was trained on, beyond
RECURRENT = ("rnn", "gru", "lstm")


# -- families --------------------------------------------------------------------------------------


def is_counted(row: Row) -> bool:
    """Whether it is a table of counts, which has no parameters, steps or seeds."""
    return not row["parameters"]


def of_one_size(result: Result) -> dict[str, list[Row]]:
    """Return the runs of every trained family at the size that was trained with most seeds."""
    found = {}
    trained = [row for row in result.rows if not is_counted(row)]
    for (family,), rows in grouped(trained, "family").items():
        sizes = sorted(grouped(rows, "parameters").items())
        most = max(len(of_size) for _, of_size in sizes)
        same = [of_size for _, of_size in sizes if len(of_size) == most]
        found[family] = same[len(same) // 2]  # the middle one where every size has one seed
    return found


def families(result: Result) -> Finding:
    runs = of_one_size(result)
    bits = {family: mean_of(rows, "bits_per_char") for family, rows in runs.items()}
    best, *others = sorted(bits, key=lambda family: bits[family].mean)
    near = [family for family in others if overlap(bits[family], bits[best])]
    far = [f"{f} ({told(bits[f])})" for f in others if f not in near]
    first = f"Of the families {best} needs the fewest bits per character, {told(bits[best])}"
    first += f"; {listed(near)} cannot be told from it, since their intervals overlap" * bool(near)
    first += f"; clearly behind: {listed(far)}" * bool(far)
    counted = [row for row in result.rows if is_counted(row)]
    least = min(counted, key=lambda row: row["bits_per_char"])
    beaten = [f for f in (best, *others) if bits[f].mean + _width(bits[f]) < least["bits_per_char"]]
    second = (
        f"The best table of counts, the {least['family']}, needs {least['bits_per_char']:.2f} "
        f"after {_seconds(least['seconds'])} of counting; "
        + (f"only {listed(beaten)} clearly beat it" if beaten else "no network clearly beats it")
        + f" after {_seconds(max(known(runs[best], 'seconds')))} or less of training" * (not beaten)
    )
    gated, plain = [bits.get(cell) for cell in ("gru", "lstm")], bits.get("rnn")
    return Finding(
        f"{first}. {second}.",
        verdict(
            all(is_above(plain, cell) for cell in gated),
            any(is_above(cell, plain) for cell in gated),
        ),
    )


def _width(found: Interval) -> float:
    return 0.0 if math.isinf(found.half_width) else found.half_width


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


# -- quality ---------------------------------------------------------------------------------------


def of_strategies(result: Result) -> list[Row]:
    """Return a row a strategy: means over the prompts with their intervals.

    The seeds of a prompt are averaged first: they are no new prompts. Perplexity is averaged as
    bits, so that one text of 500 does not outweigh ten of 10.
    """
    rows = []
    for (strategy,), of_strategy in grouped(result.rows, "strategy").items():
        row: Row = {"strategy": strategy}
        for figure in ("perplexity", "seq_rep_4", "distinct_2"):
            found = _over_prompts(of_strategy, figure)
            if found is None:
                continue
            back = (lambda bits: 2**bits) if figure == "perplexity" else _share
            row[figure] = round(back(found.mean), 5)
            row |= {f"{figure}_{end}": round(back(v), 5) for end, v in ends(found).items()}
        rows.append(row)
    return rows


def _share(value: float) -> float:
    """Return a share; an interval of few prompts may end where there is none."""
    return min(1.0, max(0.0, value))


def _over_prompts(rows: list[Row], figure: str) -> Interval | None:
    """Return the mean of a figure over prompts; of perplexity its logarithm."""
    means = []
    for of_prompt in grouped(rows, "prompt").values():
        values = known(of_prompt, figure)
        if figure == "perplexity":
            values = [math.log2(value) for value in values if value > 0]
        if values:
            means.append(sum(values) / len(values))
    return interval(means) if means else None


def quality(result: Result) -> Finding:
    by = {s: rows for (s,), rows in grouped(result.rows, "strategy").items()}
    bits = {s: _over_prompts(rows, "perplexity") for s, rows in by.items()}
    repeats = {s: _over_prompts(rows, "seq_rep_4") for s, rows in by.items()}
    likeliest = min((s for s in by if s != HUMAN), key=lambda s: bits[s].mean)
    first = (
        f"People's text has perplexity {2 ** bits[HUMAN].mean:.1f} and repeats "
        f"{repeats[HUMAN].mean:.0%} of its 4-grams; the likeliest text, by {likeliest}, has "
        f"{2 ** bits[likeliest].mean:.1f} and repeats {repeats[likeliest].mean:.0%}"
    )
    alike = [
        s
        for s in by
        if s != HUMAN and overlap(bits[s], bits[HUMAN]) and overlap(repeats[s], repeats[HUMAN])
    ]
    if len(alike) == len(by) - 1:
        second = "No strategy can be told from people in both: all intervals overlap"
    elif alike:
        second = (
            f"Not to be told from people in both figures (the 95 % intervals over prompts "
            f"overlap): {listed(alike)}"
        )
    else:
        near = min(
            (s for s in by if s != HUMAN), key=lambda s: abs(bits[s].mean - bits[HUMAN].mean)
        )
        second = (
            f"No strategy is like people in both figures; nearest in perplexity is {near} with "
            f"{2 ** bits[near].mean:.1f} and {repeats[near].mean:.0%} repeated"
        )
    greedy = repeats.get("greedy")
    return Finding(
        f"{first}. {second}.",
        verdict(is_above(greedy, repeats[HUMAN]), is_above(repeats[HUMAN], greedy)),
    )


# -- scaling ---------------------------------------------------------------------------------------


def scaling_fit(result: Result, resamples: int = 200) -> Fit:
    """Fit the power law of Hoffmann et al. to all runs; with no intervals if nothing is resampled.

    Raises:
        DataError: there are too few sizes or amounts of text.
    """
    columns = ("parameters", "tokens", "bits_per_char")
    runs = ([row[column] for row in result.rows] for column in columns)
    return fit(*runs, resamples=resamples)


def scaling(result: Result) -> Finding:
    found = scaling_fit(result)
    law, (low, high) = found.law, found.range("share")
    exponents = " and ".join(
        f"{name} = {getattr(law, name):.2f} ({found.range(name)[0]:.2f} to "
        f"{found.range(name)[1]:.2f})"
        for name in ("a", "b")
    )
    first = (
        f"The law E + A/N^a + B/D^b fits {len(result.rows)} runs to {found.error:.3f} bits per "
        f"character (root mean square), with {exponents} and E = {law.E:.2f}"
    )
    includes = low <= 0.5 <= high
    second = (
        f"The best size then grows as computation to the power {law.share:.2f} "
        f"({low:.2f} to {high:.2f}), which "
        + ("does not contradict" if includes else "contradicts")
        + " the 0.5 of Hoffmann et al., twice the parameters for twice the text"
    )
    # Wide intervals contain everything: they agree with nothing.
    return Finding(f"{first}. {second}.", verdict(includes and high - low < 0.3, not includes))


# -- lengths ---------------------------------------------------------------------------------------


def beyond(result: Result) -> dict[str, tuple[Interval, Interval]]:
    """Return (bits well within the trained length, bits beyond it) of families that go beyond."""
    found = {}
    for (family,), rows in grouped(result.where(what="loss"), "family").items():
        within = [r for r in rows if WITHIN <= r["first"] < BEYOND]
        after = [r for r in rows if r["first"] >= BEYOND]
        if within and after:
            found[family] = (_joined(within), _joined(after))
    return found


def _joined(rows: list[Row]) -> Interval:
    """Return the mean over the places of several ranges, with the mean width of theirs."""
    sizes = [row["last"] - row["first"] + 1 for row in rows]
    total = sum(sizes)
    mean = sum(row["bits"] * n for row, n in zip(rows, sizes, strict=True)) / total
    width = sum((r["high"] - r["low"]) / 2 * n for r, n in zip(rows, sizes, strict=True)) / total
    return Interval(mean, width)


def lengths(result: Result) -> Finding:
    found = beyond(result)
    gaps = {family: after.mean - within.mean for family, (within, after) in found.items()}
    worse = sorted((f for f, (a, b) in found.items() if is_above(b, a)), key=lambda f: -gaps[f])
    same = [family for family in found if family not in worse]
    said = [f"{family} (+{gaps[family]:.2f} bits)" for family in worse]
    first = (
        f"Beyond the trained {BEYOND} places the loss clearly rises for {listed(said)}"
        if (worse)
        else f"Beyond the trained {BEYOND} places the loss clearly rises for no family"
    )
    first += f"; within their intervals as before, or lower: {listed(same)}" * bool(same)
    steps = result.where(what="step")
    longest = max(row["length"] for row in steps)
    last = [row for row in steps if row["length"] == longest]
    most = max(last, key=lambda row: row["ms_without"] / row["ms_with_state"])
    grows = [
        family
        for (family,), rows in grouped(steps, "family").items()
        if rows[-1]["state_bytes"] > rows[-2]["state_bytes"]
    ]
    second = (
        f"After {longest} tokens a State saves most for {most['family']}, "
        f"{most['ms_with_state']:.2f} ms a token instead of {most['ms_without']:.2f}; it still "
        + (f"grows with the text for {listed(grows)}" if grows else "grows for no family")
        + " alone" * bool(grows)
    )
    recurrent = [found[family] for family in RECURRENT if family in found]
    rises = any(is_above(after, within) for within, after in recurrent)
    return Finding(f"{first}. {second}.", verdict(bool(recurrent) and not rises, rises))
