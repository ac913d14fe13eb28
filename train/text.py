"""Train a text model: python -m train.text --family transformer --data king-james --out NAME.

One script for every family (`families.py`), over characters or byte pairs. The
defaults train the shipped character Transformer on the King James Bible: about 45 minutes on two
CPU cores, 1.5 bits per character on the last 5 % of the text.
"""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from playground.checkpoints import load, save, write_atomically
from playground.data.text import EXCERPT, Corpus, excerpt, load_corpus
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.errors import DataError, check_range, check_whole
from playground.evaluation.likelihood import negative_log_likelihood
from playground.models.ngram import fit_ngram
from playground.models.transformer import POSITIONS
from playground.tokenizers.text import BPETokenizer, CharTokenizer
from train.config import MAX_COUNT, TrainingConfig, option
from train.families import FAMILIES, build
from train.loop import Training, clock, origin, run_script, seed_of, settings_json
from train.schedules import DECAYS, check_one_of, true_share, window_length
from train.snapshots import LEAST_SNAPSHOTS, MAX_SNAPSHOTS, Snapshots

OUTSIDE = ("embedding",)  # the model's edge, which AdamW trains: words in its parameters' names


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Train a model of any family on a text."""

    out: Path = option(
        Path("runs/text-transformer"), "folder of the checkpoint and the metrics", alters=False
    )
    data: str = option("king-james", "a corpus by name, or any UTF-8 file")
    family: str = option("transformer", ", ".join(FAMILIES))
    vocab_size: int = option(0, "byte-pair pieces; 0 takes characters")
    held_out: float = option(0.05, "last part of the text, for validation")
    context_length: int = option(512, "tokens a training window, BOS included")
    n_layer: int = option(4, "layers")
    n_head: int = option(4, "attention heads (transformer)")
    n_embd: int = option(256, "width of the embedding; channels (causal-conv)")
    n_hidden: int = option(512, "width of the recurrent state, or of the hidden layer")
    order: int = option(7, "longest n-gram (ngram, neural-ngram)")
    positions: str = option("rotary", f"{', '.join(POSITIONS)} (transformer)")
    layer_norm: bool = option(False, "normalise what enters a cell (rnn, gru, lstm)")
    connection: str = option("plain", "plain, residual or highway between cells (rnn, gru, lstm)")
    kernel_size: int = option(3, "places a convolution looks at (causal-conv)")
    dilation_cycle: int = option(6, "layers until the dilation begins again (causal-conv)")
    dropout: float = option(0.0, "share of the stream between layers dropped")
    curriculum: int = option(0, "steps in which windows grow from 16 tokens to their length")
    scheduled_sampling: str = option(
        "none", f"how the true token's share falls: {', '.join(DECAYS)}"
    )
    least_true: float = option(0.5, "share of true tokens at the end of scheduled sampling")
    steps: int = option(3400, "optimizer steps")
    batch_size: int = option(12, "windows a step")
    weight_decay: float = option(0.05, "decoupled, on matrices")
    warmup: int = option(100, "steps of linear warm-up")
    snapshots: int = option(
        0, "copies of the model kept from step 0 on, for looking back (4 to 20)", alters=False
    )
    judge_tokens: int = option(
        50_000, "held-out tokens that a validation reads on the way", alters=False
    )
    eval_every: int = option(
        200, "steps between validations on a part of the held-out text", alters=False
    )
    excerpt_only: bool = option(
        False, "write only held_out.txt into the folder, and train nothing", alters=False
    )
    seed: int = option(0, "of weights, order of windows and dropout")

    def __post_init__(self):
        super().__post_init__()
        check_one_of("family", self.family, FAMILIES)
        check_one_of("scheduled-sampling", self.scheduled_sampling, DECAYS)
        check_range("--least-true", self.least_true, 0.0, 1.0)
        check_whole("--curriculum", self.curriculum, 0, MAX_COUNT)
        check_range("--held-out", self.held_out, 0.001, 0.5)
        check_whole("--judge-tokens", self.judge_tokens, 1, MAX_COUNT)
        if self.snapshots:
            check_whole("--snapshots", self.snapshots, LEAST_SNAPSHOTS, MAX_SNAPSHOTS)


class Windows:
    """Batches of windows of one long stream; each epoch visits every part once, in new order."""

    def __init__(self, stream: torch.Tensor, length: int, batch_size: int, seed: int):
        if len(stream) < 2 * length:
            raise DataError(
                f"The training text has {len(stream)} tokens; windows of {length} need at least "
                f"{2 * length}. Use a longer text or a shorter --context-length."
            )
        self.stream, self.length, self.batch_size, self.seed = stream, length, batch_size, seed
        self.per_epoch = len(stream) // length - 1  # one window is lost to the random offset

    def batch(self, step: int) -> torch.Tensor:
        """Return windows (batch_size, length) of step `step`, the same whenever asked."""
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        return torch.stack([self._window(number) for number in numbers]).long()

    def _window(self, number: int) -> torch.Tensor:
        epoch, place = divmod(number, self.per_epoch)
        if getattr(self, "_epoch", None) != epoch:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "epoch", epoch))
            self._offset = int(torch.randint(self.length, (), generator=generator))
            self._order = torch.randperm(self.per_epoch, generator=generator)
            self._epoch = epoch
        start = self._offset + int(self._order[place]) * self.length
        return self.stream[start : start + self.length]


def check_text(corpus: Corpus) -> None:
    """Raise DataError unless something can be learned from the corpus."""
    text = corpus.text
    if "\0" in text:
        raise DataError(
            f"{corpus.name} holds the character U+0000, as programs and pictures do. Name a text."
        )
    if len(set(text)) < 2:
        raise DataError(
            f"{corpus.name} holds {len(set(text))} different characters, and there is nothing to "
            "learn of one. Name a text with at least 2."
        )


def build_tokenizer(config: Config, corpus: Corpus) -> CharTokenizer | BPETokenizer:
    if config.vocab_size:
        return BPETokenizer.train(corpus.documents, config.vocab_size)
    return CharTokenizer.train(corpus.text)


def cut_of(text: str, held_out: float) -> int:
    """Return where the held-out last part of `text` begins."""
    return len(text) - round(held_out * len(text))


def encode(corpus: Corpus, tokenizer, held_out: float) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return training tokens, held-out tokens, and the characters of the held-out text."""
    text = corpus.text
    cut = cut_of(text, held_out)
    if tokenizer.eos_token is None:
        return (
            *(torch.tensor(tokenizer.encode(t)) for t in (text[:cut], text[cut:])),
            len(text) - cut,
        )
    train, start = [], 0
    for document in corpus.documents:  # the end token stands where the blank line stood
        if start + len(document) > cut:
            train += tokenizer.encode(document[: max(0, cut - start)])
            break
        train += [*tokenizer.encode(document), tokenizer.eos_token]
        start += len(document) + 2
    return torch.tensor(train), torch.tensor(tokenizer.encode(text[cut:])), len(text) - cut


def build_model(config: Config, vocab_size: int) -> torch.nn.Module:
    torch.manual_seed(seed_of(config.seed, "weights"))
    return build(config, vocab_size)


def next_token_loss(model, inputs, targets, precision: str) -> torch.Tensor:
    """Return the mean surprisal of targets (B, T) in nats; in bfloat16, weights stay float32."""
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = model(inputs)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


@torch.no_grad()
def partly_own(model, inputs: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Return inputs (B, T) in which tokens after BOS are true with probability `share`.

    The others are drawn from what the model expects there after the true prefix, so that one pass
    draws all of them whatever the family is: Mihaylova & Martins 2019, arXiv:1906.07651, instead
    of the token by token of Bengio et al. 2015.
    """
    generator = torch.Generator().manual_seed(seed)
    probs = model(inputs)[:, :-1].float().softmax(-1).flatten(0, 1).cpu()
    own = torch.multinomial(probs, 1, generator=generator).view(len(inputs), -1)
    is_true = torch.rand(own.shape, generator=generator) < share
    mixed = inputs.clone()
    mixed[:, 1:] = torch.where(is_true.to(inputs.device), inputs[:, 1:], own.to(inputs.device))
    return mixed


def bits_per_char(model, tokens, characters: int, bos: int, max_tokens: int | None = None) -> float:
    """Return held-out bits per character: -log2 p of the tokens over the characters they spell."""
    was_training = model.training
    model.eval()
    nats, scored = negative_log_likelihood(model, tokens, bos, max_tokens=max_tokens)
    model.train(was_training)
    return nats / math.log(2) / (characters * scored / len(tokens))


def write_sample(model, tokenizer, seed: int, tokens: int = 80) -> str:
    """Let the model write a little, always with the same noise, so that samples can be compared."""
    was_training = model.training
    model.eval()
    lane = Lane(processors=(Processor("temperature", 0.8),), seed=seed)
    prompt = [tokenizer.bos_token]
    trace = generate_trace(
        model, "sample", prompt, lane, max_new_tokens=tokens, eos_token=tokenizer.eos_token,
        slide=True,
    )  # fmt: skip
    model.train(was_training)
    return tokenizer.decode(trace.tokens)


def train(config: Config) -> int:
    """Run or resume one training; return the exit code."""
    torch.set_num_threads(config.threads or torch.get_num_threads())
    corpus = load_corpus(config.data, config.data_dir)
    if config.excerpt_only:
        write_excerpt(config, corpus)
        return 0
    check_text(corpus)
    tokenizer = build_tokenizer(config, corpus)
    train_tokens, held_out, characters = encode(corpus, tokenizer, config.held_out)
    print(
        f"{corpus.name}: {len(train_tokens):,} tokens to train on, {len(held_out):,} tokens "
        f"({characters:,} characters) held out, vocabulary {tokenizer.vocab_size}"
    )
    if config.family == "ngram":
        started, working_since = time.time(), time.process_time()
        model = fit_ngram(train_tokens, tokenizer.vocab_size, config.order)
        spent = time.time() - started, time.process_time() - working_since
        publish(config, model, tokenizer, corpus, held_out, characters, spent)
        return 0

    model = build_model(config, tokenizer.vocab_size).to(config.device)
    run = Training(config, model, "bits_per_token", OUTSIDE, width=config.n_embd)
    windows = Windows(train_tokens, config.context_length, config.batch_size, config.seed)
    snapshots = Snapshots(config.out, model, tokenizer, config.snapshots)
    snapshots.keep(run)
    if not run.done:  # for whoever draws both losses on one axis
        run.note(characters_per_token=round(characters / max(1, len(held_out)), 4))
    for step in run.steps():
        length = window_length(step, config.curriculum, config.context_length)
        targets = windows.batch(step)[:, :length].to(config.device)  # (B, T)
        inputs = F.pad(targets[:, :-1], (1, 0), value=tokenizer.bos_token)  # teacher forcing
        share = true_share(step, run.total, config.scheduled_sampling, config.least_true)
        if share < 1:
            inputs = partly_own(model, inputs, share, seed_of(config.seed, "own", step))
        loss = next_token_loss(model, inputs, targets, run.precision)
        run.descend(loss)
        run.report(loss, targets.numel(), "tokens")
        snapshots.keep(run)
        if run.is_time_to_judge():
            limit = config.judge_tokens
            bpc = bits_per_char(model, held_out, characters, tokenizer.bos_token, limit)
            said = write_sample(model, tokenizer, config.seed)
            run.note(held_out_bits_per_char=round(bpc, 4), sample=said)
            run.say(f"says: {said!r}")
            run.say(f"held out {bpc:.4f} bits/char (first {limit:,} tokens)")
    if run.stop:
        snapshots.keep_as_checkpoint(run)
        return run.stop.exit_code
    spent = run.seconds, run.processor_seconds
    publish(config, model, tokenizer, corpus, held_out, characters, spent)
    return 0


def write_excerpt(config: Config, corpus: Corpus) -> None:
    """Put the beginning of the held-out text beside the checkpoint, for pages to show."""
    text = excerpt(corpus.text[cut_of(corpus.text, config.held_out) :])
    write_atomically(config.out / EXCERPT, lambda path: path.write_text(text, encoding="utf-8"))
    print(f"{config.out / EXCERPT}: {len(text):,} characters that the model does not train on")


def publish(config, model, tokenizer, corpus, held_out, characters, spent) -> None:
    """Write the checkpoint, measure it as it was written, and write its card.

    `spent` is the seconds that passed, and those that processors worked.
    """
    seconds, worked = spent
    info = origin("text", corpus, model, seconds)
    info |= {"processor_seconds": round(worked, 1), "held_out_characters": characters}
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    shipped, _ = load(config.out, config.device)
    info["held_out_bits_per_char"] = round(
        bits_per_char(shipped, held_out, characters, tokenizer.bos_token), 4
    )
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    write_excerpt(config, corpus)
    write_atomically(config.out / "README.md", lambda path: path.write_text(card(config, info)))
    print(f"{config.out}: {info['held_out_bits_per_char']} bits per character, {clock(seconds)}")


def card(config: Config, info: dict) -> str:
    """Return the model card."""
    size = f"{info['parameters']:,} parameters" if info["parameters"] else f"order {config.order}"
    unit = f"byte pairs ({config.vocab_size} tokens)" if config.vocab_size else "characters"
    worked = info["processor_seconds"]
    return f"""# {config.out.name}

{config.family} over {unit}, {size}.

| | |
|---|---|
| data | {info["data"]} ({info["source"]}) |
| licence of the data | {info["licence"]} |
| held out | the last {config.held_out:.0%}: {info["held_out_characters"]:,} characters |
| excerpt | `{EXCERPT}`: the beginning of what was held out |
| **bits per character** | **{info["held_out_bits_per_char"]}** on all of it, stored as float16 |
| time | {clock(info["seconds"])} on {info["machine"]}; processors worked {clock(worked)} |
| command | `{info["command"]}` |

Bits per character are those of overlapping windows: every character is judged once, with at least
half a context before it (`playground/evaluation/likelihood.py`).

```json
{settings_json(config)}
```
"""


def main(argv: list[str] | None = None) -> int:
    return run_script(Config, train, argv)


if __name__ == "__main__":
    sys.exit(main())
