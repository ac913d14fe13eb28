"""Decoding: tokens per second beside GPT-2, one step as the prefix grows, lanes in lockstep."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from bench import peers
from bench.measure import Row, Run, compare, interleave, paired, seconds_of, threads
from playground.decoding.generate import generate
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor

PROMPT = [0, 1, 2, 3]
PROCESSORS = (Processor("temperature", 0.8), Processor("top_k", 50))
PREFIXES = (1, 64, 128, 256, 512, 768, 1023)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # of the peer
BOTH = ("ours", "theirs")  # sides of a row that compares ours with ours
WINDOW = 16  # steps whose median stands for the last of them


@dataclass(frozen=True)
class Options:
    """What the command line says to every task."""

    device: str = "cpu"
    threads: tuple[int, ...] = (1, 2)  # tried; each side is reported at its best
    is_quick: bool = False

    @property
    def rounds(self) -> int:
        return 2 if self.is_quick else 7


def lane(sample: int = 0) -> Lane:
    return Lane(processors=PROCESSORS, seed=1, sample=sample)


def our_decoding(model, options: Options, tokens: int) -> Run:
    """Make `tokens` tokens with a full Step, 20 candidates and all, for each."""

    def run() -> float:
        stream = generate(model, PROMPT, [lane()], max_new_tokens=tokens)
        return tokens / seconds_of(lambda: list(stream), options.device)

    return run


def their_decoding(model, options: Options, tokens: int) -> Run:
    """Make `tokens` tokens with their `generate`, which records nothing else."""
    prompt = torch.tensor([PROMPT], device=options.device)
    mask = torch.ones_like(prompt)

    def run() -> float:
        made = []
        seconds = seconds_of(
            lambda: made.append(
                model.generate(
                    prompt, attention_mask=mask, max_new_tokens=tokens, do_sample=True,
                    temperature=0.8, top_k=50, use_cache=True,
                )
            ),
            options.device,
        )  # fmt: skip
        return (made[0].shape[1] - len(PROMPT)) / seconds

    return run


def decode(options: Options) -> Iterator[Row]:
    """Full traces beside `generate` without any, batch 1.

    Our weights are what float16 can hold, as in every checkpoint that `train` writes, and are
    computed with in float32. The peer's are float32 or bfloat16, whichever is faster here.
    """
    sizes = (peers.TINY,) if options.is_quick else (peers.CHARACTERS, peers.PIECES, peers.WIDE)
    for size in sizes:
        tokens = 8 if options.is_quick else 96 if size is peers.CHARACTERS else 48
        figures = beside_best(
            our_decoding(peers.ours_shipped(size, options.device), options, tokens),
            {
                name: their_decoding(
                    peers.theirs(size, options.device, dtype).eval(), options, tokens
                )
                for name, dtype in PRECISIONS.items()
            },
            options,
        )
        figures["peer"] = f"{peers.GPT2}.generate, {figures['peer']}"
        yield Row("decode", size.name, "tokens/s", device=options.device, **figures)


def beside_best(ours: Run, theirs: dict[str, Run], options: Options, rounds: int = 0) -> dict:
    """Return the figures of a Row: both sides at their best thread count and precision."""
    runs = {"ours": ours, **theirs}
    tried = {
        (side, n): with_threads(run, n, in_kernels=side == "ours")
        for n in options.threads
        for side, run in runs.items()
    }
    found = interleave(tried, rounds or options.rounds)
    best = fastest(found, ["ours"]), fastest(found, list(theirs))
    return {
        "peer": best[1][0],
        "threads": "/".join(str(number) for _, number in best),
        **paired(found[best[0]], found[best[1]]),
    }


def with_threads(run: Run, number: int, *, in_kernels: bool) -> Run:
    def timed() -> float:
        with threads(number, in_kernels=in_kernels):
            return run()

    return timed


def fastest(found: dict[tuple[str, int], list[float]], sides: list[str]) -> tuple[str, int]:
    """Return which of the sides, at which thread count, has the highest median."""
    return max((key for key in found if key[0] in sides), key=lambda k: statistics.median(found[k]))


def our_steps(model, options: Options) -> Callable[[], Iterator[None]]:
    """Return a source of decode steps from the first token on, one at each `next`."""

    def steps() -> Iterator[None]:
        token = torch.zeros(1, 1, dtype=torch.int64, device=options.device)
        state = model.initial_state(1)
        while True:
            _, state = model.step(token, state)
            yield

    return steps


def their_steps(model, options: Options) -> Callable[[], Iterator[None]]:
    """Return the same of GPT-2 with its DynamicCache, which grows by copying."""
    from transformers import DynamicCache

    @torch.inference_mode()
    def steps() -> Iterator[None]:
        token = torch.zeros(1, 1, dtype=torch.int64, device=options.device)
        cache = DynamicCache()
        while True:
            model(token, cache=cache)
            yield

    return steps


def curve(steps: Callable[[], Iterator[None]], points: Sequence[int], device: str) -> list[float]:
    """Return the milliseconds of a step behind each prefix: the median of the last few to it."""
    source = steps()
    times = [seconds_of(lambda: next(source), device) for _ in range(points[-1] + 1)]
    return [1000 * statistics.median(times[max(1, n - WINDOW) : n + 1]) for n in points]


def attention_alone(size: peers.Size, options: Options, prefix: int, repeats: int) -> Run:
    """Milliseconds of a step's attention: scores, softmax and mix, in all layers."""
    H, D = size.n_head, size.n_embd // size.n_head
    shape = (size.n_layer, 2, 1, H, size.context_length, D)
    memory = torch.randn(shape, device=options.device)
    attend = attention_of_torch(memory, prefix)
    if options.device == "cpu":
        attend = attention_of_kernel(peers.ours_shipped(size, "cpu"), memory, prefix)

    def run() -> float:
        return (
            1000 * sorted(seconds_of(attend, options.device) for _ in range(repeats))[repeats // 2]
        )

    return run


def attention_of_torch(memory: torch.Tensor, prefix: int) -> Callable[[], None]:
    """Return the attention of one token in all layers, as a step on a GPU computes it."""
    H, D = memory.shape[3], memory.shape[5]
    q = torch.randn(H, 1, D, device=memory.device)

    @torch.inference_mode()
    def attend() -> None:
        for layer in memory[:, :, 0]:
            k, v = layer[:, :, : prefix + 1]
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(1 / math.sqrt(D))
            torch.bmm(scores.softmax(-1), v)

    return attend


def attention_of_kernel(model, memory: torch.Tensor, prefix: int) -> Callable[[], None]:
    """Return the same as a step on a CPU computes it, inside its kernel."""
    from playground.models.packing import packed
    from playground.models.stepping import lay_out
    from playground.models.transformer_kernel import attention

    plan, C = packed(model, lay_out), memory.shape[3] * memory.shape[5]
    qkv, heads = torch.randn(1, 3 * C).numpy(), torch.empty(1, C).numpy()
    layers = list(memory.numpy())

    def attend() -> None:
        for layer in layers:
            attention(plan.plan, qkv, layer, 0, prefix, 1, heads)

    return attend


def prefix(options: Options) -> Iterator[Row]:
    """One step as the prefix grows: all of it beside GPT-2's, then attention and the rest.

    In the rows "rest" both sides are ours: `ours` is the step without its attention at this
    prefix, `theirs` the same at the shortest, so a ratio near 1 says that nothing else grows.
    """
    size = peers.TINY if options.is_quick else replace(peers.CHARACTERS, context_length=1024)
    points = (1, 16, 63) if options.is_quick else PREFIXES
    number = options.threads[0]
    model = peers.ours_shipped(size, options.device)
    peer = peers.theirs(size, options.device).eval()
    curves = {"ours": our_steps(model, options), "theirs": their_steps(peer, options)}
    attention = {n: attention_alone(size, options, n, 32) for n in points}
    found: dict[object, list[float]] = {}
    with threads(number):
        for _ in range(options.rounds):  # both curves, then attention, in turns
            for side, steps in curves.items():
                for n, ms in zip(points, curve(steps, points, options.device), strict=True):
                    found.setdefault((side, n), []).append(ms)
            for n in points:
                found.setdefault(("attention", n), []).append(attention[n]())
    common = {"threads": f"{number}/{number}", "device": options.device}
    short = points[0]
    rest = {
        n: [a - b for a, b in zip(found["ours", n], found["attention", n], strict=True)]
        for n in points
    }
    for n in points:
        figures = paired(found["ours", n], found["theirs", n], less_is_better=True)
        yield Row("prefix", f"step at {n}", "ms", peer=f"{peers.GPT2}, DynamicCache",
                  **figures, **common)  # fmt: skip
    for name, found_at in (
        ("attention", {n: found["attention", n] for n in points}),
        ("rest", rest),
    ):
        for n in points:
            figures = paired(found_at[n], found_at[short], less_is_better=True)
            yield Row("prefix", f"{name} at {n}", "ms", peer=f"ours at {short}",
                      **figures, **common)  # fmt: skip


def lanes(options: Options) -> Iterator[Row]:
    """k lanes in lockstep beside the same lanes one after the other; both are ours."""
    size = peers.TINY if options.is_quick else peers.CHARACTERS
    tokens = 6 if options.is_quick else 48
    model = peers.ours_shipped(size, options.device)
    for k in (1, 2) if options.is_quick else (1, 4, 8):
        ways = [lane(sample) for sample in range(k)]

        def together(ways=ways) -> float:
            stream = generate(model, PROMPT, ways, max_new_tokens=tokens)
            return len(ways) * tokens / seconds_of(lambda: list(stream), options.device)

        def in_turn(ways=ways) -> float:
            def work():
                for one in ways:
                    list(generate(model, PROMPT, [one], max_new_tokens=tokens))

            return len(ways) * tokens / seconds_of(work, options.device)

        figures = compare(together, in_turn, options.threads, options.rounds, in_kernels=BOTH)
        yield Row("lanes", f"{k} lanes, {size.name}", "tokens/s", peer="ours, one lane at a time",
                  device=options.device, **figures)  # fmt: skip
