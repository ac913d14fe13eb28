"""Results of experiments with numbers made up so that it is known what they must be found to say.

Noise moves the three seeds by -1, 0 and +1 hundredth: an interval of ± 0.0248 bits around a mean.
"""

from __future__ import annotations

import math
from pathlib import Path

from playground.experiments.results import Result

NOISE = (-0.01, 0.0, 0.01)
FAMILIES = {"transformer": 2.40, "lstm": 2.42, "gru": 2.50, "rnn": 2.80}  # bits per character


def result(name: str, rows: list[dict], seeds: int = 3) -> Result:
    command = f"python -m train.experiment {name}"
    return Result(name, command, "a text; told in rows", "here", 90, seeds, False, tuple(rows))


def curve(bits: float) -> list[dict]:
    return [
        {"step": step, "tokens": step * 4096, "seconds": step / 2.0,
         "bits_per_char": round(bits + 3 * math.exp(-step / 60), 4)}
        for step in (30, 150, 300)
    ]  # fmt: skip


def families(noise=NOISE, counted: float = 2.2, **bits: float) -> Result:
    rows = [
        {"family": family, "seed": seed, "parameters": 200_000, "seconds": 100 + seed,
         "bits_per_char": value + shift, "curve": curve(value + shift), "command": "train"}
        for family, value in (bits or FAMILIES).items()
        for seed, shift in enumerate(noise)
    ]  # fmt: skip
    rows += [
        rows[0] | {"parameters": size, "bits_per_char": value, "seed": 0}
        for size, value in ((100_000, 2.6), (400_000, 2.3))
    ]
    for order, value in ((2, 3.3), (5, counted)):
        rows.append(
            {"family": f"{order}-gram", "seed": 0, "parameters": 0, "seconds": 3,
             "bits_per_char": value, "curve": [], "command": "count"}
        )  # fmt: skip
    return result("families", rows)


def quality(**strategies: tuple[float, float]) -> Result:
    """`strategies`: perplexity and repetition of each; prompts differ a little."""
    told = strategies or {"human": (32, 0.01), "greedy": (4, 0.5), "nucleus": (30, 0.02)}
    rows = [
        {"strategy": name, "prompt": prompt, "seed": seed, "perplexity": perplexity * factor,
         "seq_rep_4": repeated + 0.005 * prompt, "distinct_2": 1 - repeated, "rep_16": 0.1,
         "stuck": 0.0, "zipf": None, "mean_length": 128.0}
        for name, (perplexity, repeated) in told.items()
        for prompt, factor in enumerate((0.9, 1.0, 1.1))
        for seed in range(1 if name == "human" else 2)
    ]  # fmt: skip
    return result("quality", rows)


def scaling(a: float = 0.35, b: float = 0.4) -> Result:
    rows = [
        {"n_layer": 2, "n_embd": 16, "seed": seed, "parameters": N, "tokens": D, "seconds": 9,
         "bits_per_char": 1.2 + 30 * N**-a + 200 * D**-b + shift / 4, "command": "train"}
        for N in (6144, 24576, 82944, 196608, 786432)
        for D in (245_760, 737_280, 2_211_840)
        for seed, shift in enumerate(NOISE)
    ]  # fmt: skip
    return result("scaling", rows)


def lengths(**after: float) -> Result:
    """`after`: how much more is needed beyond the trained length by each family."""
    rows = []
    for family, more in (after or {"lstm": 0.0, "alibi": 0.02, "rotary": 1.0}).items():
        for low, high in ((0, 16), (16, 128), (128, 256), (256, 512), (512, 1024)):
            bits = 2.0 + 2 * (low == 0) + more * (low >= 256)
            rows.append({"what": "loss", "family": family, "first": low, "last": high - 1,
                         "bits": bits, "low": bits - 0.05, "high": bits + 0.05})  # fmt: skip
        for length in (16, 255, 1000):
            rows.append(
                {"what": "step", "family": family, "length": length, "ms_with_state": 0.1,
                 "ms_without": length / 100, "state_bytes": 512 if family == "lstm" else length}
            )  # fmt: skip
    return result("lengths", rows, 1)


def transfer() -> Result:
    places = {"english": 0, "old": 1, "german": 3}
    rows = [
        {"trained_on": one, "read": other, "seed": seed, "steps": steps,
         "bits_per_char": 2.0 + shift + abs(a - b) * (0.5 if steps == 0 else 0.0) + 0.001 * seed}
        for one, a in places.items()
        for other, b in places.items()
        for seed, shift in enumerate(NOISE)
        for steps in ((0,) if one == other else (0, 100))
    ]  # fmt: skip
    return result("transfer", rows)


def exposure(drift: float = 0.01, gain: float = 0.2) -> Result:
    """`drift`: bits that own text becomes dearer a place; `gain`: KL that sampling saves."""
    rows = []
    for variant, less in (("scheduled sampling off", 0.0), ("scheduled sampling on", gain)):
        for seed, shift in enumerate(NOISE):
            about = {"variant": variant, "seed": seed}
            rows += [
                about | {"what": what, "by": by, "position": position,
                         "bits": 2.4 + (drift * position + shift / 2 * (position > 40)
                                        if (what, by) == ("own", "6-gram") else 0.0)}
                for position in (16, 32, 48, 64)
                for what in ("own", "true")
                for by in ("itself", "6-gram")
            ]  # fmt: skip
            rows += [
                about | {"what": "flip", "distance": d, "bits": (2 - less + shift) / d**2}
                for d in (1, 2, 10, 50)
            ]
    return result("exposure", rows)


def gradients(rnn: float = 0.06, lstm: float = 0.02, gru: float = 0.02) -> Result:
    """The powers of ten by which a token more shrinks the gradient of a trained network."""
    rows = [
        {"cell": cell, "seed": seed, "state": state, "distance": d,
         "norm": 0.3 * 10 ** (-(d - 1) * (rate + shift / 10) * (2 if state == "fresh" else 1))}
        for cell, rate in (("rnn", rnn), ("gru", gru), ("lstm", lstm))
        for seed, shift in enumerate(NOISE)
        for state in ("trained", "fresh")
        for d in (1, 12, 101)
    ]  # fmt: skip
    return result("gradients", rows)


def helps(noise=NOISE, **gains: float) -> Result:
    """`gains`: bits with it minus without it; the seeds move both ways alike but for a hair."""
    told = gains or {"clipping": -0.1, "curriculum": 0.05}
    rows = [
        {"variant": f"{about} {way}", "about": about, "family": "rnn", "seed": seed,
         "bits_per_char": 2.5 + shift + (gain + shift / 10 if way == "on" else 0.0),
         "curve": curve(2.5), "gradient_norms": [0.2, 0.9, 1.5, 40.0], "command": "train"}
        for about, gain in told.items()
        for way in ("on", "off")
        for seed, shift in enumerate(noise)
    ]  # fmt: skip
    return result("helps", rows, len(noise))


ALL = (families, quality, scaling, lengths, transfer, exposure, gradients, helps)


def write_all(folder: Path) -> None:
    """Write every experiment's result where `load_result` looks for it."""
    for make in ALL:
        made = make()
        (folder / f"{made.name}.json").write_text(made.to_json(), encoding="utf-8")
