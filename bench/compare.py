"""Comparing: eight traced lanes, beams and drafts beside `generate` and beside plain decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bench import peers
from bench.decode import PROCESSORS, PROMPT, Options
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


def lanes_beside_calls(options: Options) -> Iterator[Row]:
    """Eight sampling lanes of one prompt beside eight single calls."""
    sizes = (peers.TINY,) if options.is_quick else (peers.CHARACTERS, peers.PIECES, LARGE)
    for size in sizes:
        tokens = 6 if options.is_quick else 16 if size is LARGE else 48
        model = peers.ours(size, options.device).eval()
        peer = peers.theirs(size, options.device).eval()
        lanes = [Lane(Sample(), PROCESSORS, seed=1, sample=s) for s in range(LANES)]
        ours = our_lanes(model, lanes, tokens, options.device)
        theirs = their_calls(
            peer, LANES, tokens, options.device, do_sample=True, temperature=0.8, top_k=50
        )
        rounds = min(options.rounds, 5)
        yield Row("compare", f"{LANES} lanes, {size.name}", "tokens/s",
                  peer=f"{LANES} x {peers.GPT2}.generate", device=options.device,
                  **compare(ours, theirs, options.threads, rounds))  # fmt: skip


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

        figures = compare(seconds(lanes), seconds(lanes[:1]), options.threads[:1], options.rounds,
                          less_is_better=True)  # fmt: skip
        yield Row("compare", f"{LANES} lanes, {name}", "ms", peer="ours, 1 lane",
                  device=options.device, **figures)  # fmt: skip
        if options.is_quick:
            return


def beams(options: Options) -> Iterator[Row]:
    """Beam search with five beams, its tree traced, beside `generate` with five beams."""
    sizes = (peers.TINY,) if options.is_quick else (peers.CHARACTERS, peers.PIECES, LARGE)
    for size in sizes:
        tokens = 6 if options.is_quick else 16 if size is LARGE else 48
        model = peers.ours(size, options.device).eval()
        peer = peers.theirs(size, options.device).eval()
        ours = our_search(model, BeamSearch(BEAMS), tokens, options.device)
        theirs = their_calls(peer, 1, tokens, options.device, do_sample=False, num_beams=BEAMS)
        yield Row("compare", f"{BEAMS} beams, {size.name}", "tokens/s",
                  peer=f"{peers.GPT2}.generate", device=options.device,
                  **compare(ours, theirs, options.threads, min(options.rounds, 5)))  # fmt: skip


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
                for n in ((4,) if options.is_quick else (1, 2, 4, 6))}  # fmt: skip
        ways["prompt lookup"] = PromptLookup(do_sample=False)
        for way, strategy in ways.items():
            accepted, calls = acceptance(model, tokens, strategy, length)
            figures = compare(seconds(strategy), seconds(Greedy()), options.threads[:1],
                              options.rounds)  # fmt: skip
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
