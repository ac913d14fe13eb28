"""Comparing: eight traced lanes, beams and drafts beside `generate` and beside plain decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bench import peers
from bench.compare_page import compare_page
from bench.decode import BOTH, PRECISIONS, PROCESSORS, PROMPT, Options, beside_best
from bench.measure import Row, Run, compare, seconds_of
from playground.checkpoints import load
from playground.decoding.beam import BeamSearch
from playground.decoding.generate import generate
from playground.decoding.lane import Lane
from playground.decoding.run import Run as Decoding
from playground.decoding.speculative import PromptLookup, SpeculativeDecoding
from playground.decoding.strategies import Greedy, Sample, Strategy

ROOT = Path(__file__).resolve().parent.parent
LARGE = peers.Size("100M 12x768", 16_384, 512, 12, 12, 768)  # 98 million parameters
LANES, BEAMS = 8, 5
DRAFTS = (  # target, its draft, a prompt of the kind of text it was trained on
    ("prose-bpe-transformer", "prose-bpe-draft", "The people of the United States have "),
    ("kjv-char-transformer", "kjv-char-ngram", "And God said, "),
)


def our_lanes(model, lanes: Sequence[Lane], tokens: int, device: str) -> Run:
    """Tokens per second of lanes in lockstep, each with a full Step for every token."""

    def run() -> float:
        stream = generate(model, PROMPT, lanes, max_new_tokens=tokens)
        return len(lanes) * tokens / seconds_of(lambda: list(stream), device)

    return run


def their_calls(model, times: int, tokens: int, device: str, **options) -> Run:
    """Tokens per second of `times` calls of `generate`, one after the other, untraced."""
    prompt = torch.tensor([PROMPT], device=device)
    mask = torch.ones_like(prompt)

    def work() -> None:
        for _ in range(times):
            model.generate(
                prompt, attention_mask=mask, max_new_tokens=tokens, use_cache=True, **options
            )

    return lambda: times * tokens / seconds_of(work, device)


def our_search(model, strategy: Strategy, tokens: int, device: str) -> Run:
    """Tokens per second of one lane of a search, its whole Trace made in the end."""

    def work() -> None:
        run = Decoding(model, PROMPT, [Lane(strategy)], max_new_tokens=tokens)
        for _ in run:
            pass
        assert len(run.trace(0, "bench").steps) == tokens

    return lambda: tokens / seconds_of(work, device)


def sizes(options: Options) -> Iterator[tuple[peers.Size, int]]:
    """Yield the sizes to measure, and how many tokens to make with each."""
    if options.is_quick:
        yield peers.TINY, 6
    else:
        yield from ((peers.CHARACTERS, 48), (peers.PIECES, 48), (LARGE, 16))


def beside_generate(size: peers.Size, tokens: int, ours, times: int, options: Options, **how):
    """Return the figures of ours beside `times` calls of `generate` at its best precision."""
    theirs = {
        name: their_calls(
            peers.theirs(size, options.device, dtype).eval(), times, tokens, options.device, **how
        )
        for name, dtype in PRECISIONS.items()
    }
    figures = beside_best(ours, theirs, options, min(options.rounds, 5))
    calls = f"{times} x " if times > 1 else ""
    return figures | {"peer": f"{calls}{peers.GPT2}.generate, {figures['peer']}"}


def lanes_beside_calls(options: Options) -> Iterator[Row]:
    """Eight sampling lanes of one prompt beside eight single calls."""
    how = {"do_sample": True, "temperature": 0.8, "top_k": 50}
    for size, tokens in sizes(options):
        model = peers.ours_shipped(size, options.device)
        lanes = [Lane(Sample(), PROCESSORS, seed=1, sample=s) for s in range(LANES)]
        ours = our_lanes(model, lanes, tokens, options.device)
        figures = beside_generate(size, tokens, ours, LANES, options, **how)
        yield Row("compare", f"{LANES} lanes, {size.name}", "tokens/s", device=options.device,
                  **figures)  # fmt: skip


def lanes_beside_one(options: Options) -> Iterator[Row]:
    """The time of eight lanes beside that of one; a ratio of 0.33 is three times the time."""
    for name in sorted(p.parent.name for p in ROOT.glob("checkpoints/*/config.json")):
        model, _ = load(ROOT / "checkpoints" / name, options.device)
        tokens = 6 if options.is_quick else 64
        lanes = [Lane(Sample(), PROCESSORS, seed=1, sample=s) for s in range(LANES)]

        def seconds(own, model=model, tokens=tokens) -> Run:
            def work() -> None:
                list(generate(model, PROMPT, own, max_new_tokens=tokens))

            return lambda: 1000 * seconds_of(work, options.device) / tokens

        figures = compare(seconds(lanes), seconds(lanes[:1]), options.threads, options.rounds,
                          less_is_better=True, in_kernels=BOTH)  # fmt: skip
        yield Row("compare", f"{LANES} lanes, {name}", "ms", peer="ours, 1 lane",
                  device=options.device, **figures)  # fmt: skip
        if options.is_quick:
            return


def beams(options: Options) -> Iterator[Row]:
    """Beam search with five beams, its tree traced, beside `generate` with five beams."""
    for size, tokens in sizes(options):
        model = peers.ours_shipped(size, options.device)
        ours = our_search(model, BeamSearch(BEAMS), tokens, options.device)
        how = {"do_sample": False, "num_beams": BEAMS}
        figures = beside_generate(size, tokens, ours, 1, options, **how)
        yield Row("compare", f"{BEAMS} beams, {size.name}", "tokens/s", device=options.device,
                  **figures)  # fmt: skip


def drafts(options: Options) -> Iterator[Row]:
    """Speculative decoding with a shipped draft, and by prompt lookup, beside plain greedy."""
    for name, draft_name, prompt in DRAFTS:
        folder = ROOT / "checkpoints" / draft_name
        model, tokenizer = load(ROOT / "checkpoints" / name, options.device)
        draft, _ = load(folder, options.device)
        tokens = [tokenizer.bos_token, *tokenizer.encode(prompt)]
        length = 8 if options.is_quick else 128

        def seconds(strategy, model=model, prompt=tokens, length=length) -> Run:
            def work() -> None:
                list(generate(model, prompt, [Lane(strategy)], max_new_tokens=length))

            return lambda: length / seconds_of(work, options.device)

        ways = {f"draft {draft_name}, {n} guesses": SpeculativeDecoding(
                    do_sample=False, num_assistant_tokens=n, draft_name=draft_name, draft=draft)
                for n in ((4,) if options.is_quick else (1, 3, 7))}  # fmt: skip
        ways["prompt lookup"] = PromptLookup(do_sample=False)
        for way, strategy in ways.items():
            accepted, calls = acceptance(model, tokens, strategy, length)
            figures = compare(seconds(strategy), seconds(Greedy()), options.threads[:1],
                              options.rounds, in_kernels=BOTH)  # fmt: skip
            yield Row("compare", f"{name}, {way}: {accepted:.0%} accepted, {calls} calls for "
                      f"{length} tokens", "tokens/s", peer="ours, greedy",
                      device=options.device, **figures)  # fmt: skip
        if options.is_quick:
            return


def acceptance(model, prompt: Sequence[int], strategy: Strategy, length: int) -> tuple[float, int]:
    """Return the share of looked-at guesses that were accepted, and the calls of the model."""
    run = Decoding(model, prompt, [Lane(strategy)], max_new_tokens=length)
    for _ in run:
        pass
    guessed = [s.draft.accepted for s in run.trace(0, "bench").steps if s.draft is not None]
    return sum(guessed) / max(1, len(guessed)), run.calls(0)


def compare_task(options: Options) -> Iterator[Row]:
    """All of it; `python -m bench compare`."""
    for part in (lanes_beside_calls, lanes_beside_one, beams, drafts):
        yield from part(options)
    if not options.is_quick:  # tests look at it with the browser's
        yield from compare_page(options)
