"""Train an image model: python -m train.image --model gated-pixelcnn --data fashion-mnist.

One script for every family that draws pixel by pixel. The defaults train a class-conditional
Gated PixelCNN on Fashion-MNIST in four levels of grey; the command that made each shipped model
stands in its folder's README.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from playground.checkpoints import load, save, write_atomically
from playground.data.images import (
    EXAMPLES,
    Pictures,
    contact_sheet,
    examples_of,
    examples_sheet,
    load_pictures,
)
from playground.errors import ConfigError, DataError, check_range, check_whole
from playground.evaluation.bits_per_dim import bits_of_pictures, percentiles_of
from playground.models import FAMILIES
from playground.models.raster import Raster
from playground.models.super_resolution import SuperResolution
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS
from train.conditions import Classes, SmallPictures
from train.config import MAX_COUNT, TrainingConfig, option
from train.loop import Training, clock, origin, run_script, seed_of, settings_json

MODELS = (
    "gated-pixelcnn", "pixelcnn", "row-lstm", "diagonal-bilstm", "transformer", "super-resolution"
)  # fmt: skip
OUTSIDE = ("embedding", "head.outer", "position")  # what AdamW trains: see `build_optimizers`


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Train a model that draws pictures pixel by pixel."""

    out: Path = option(
        Path("runs/image"), "folder of the checkpoint, the metrics and samples", alters=False
    )
    data: str = option("fashion-mnist", "pictures by name, a folder, or hub:owner/name[@revision]")
    model: str = option("gated-pixelcnn", ", ".join(MODELS))
    levels: int = option(4, "brightness levels of a value, 2 to 256")
    size: int = option(0, "width and height in pixels; 0 takes them as they are")
    colors: int = option(0, "1 grey, 3 RGB; 0 takes them as they are")
    order: str = option("raster", f"{', '.join(ORDERS)} (transformer): which pixel comes when")
    order_seed: int = option(0, "of the permutation of the order random")
    classes: bool = option(True, "tell the class, where the model can be told and there are some")
    class_dropout: float = option(0.1, "share of pictures whose condition is not told")
    mirror: bool = option(False, "show every second picture mirrored, left to right")
    channels: int = option(48, "width of the stacks (all but the transformer)")
    n_layer: int = option(9, "layers")
    kernel_size: int = option(3, "of all convolutions but the first")
    first_kernel_size: int = option(7, "of the first convolution")
    dilation_cycle: int = option(3, "layer l is dilated by 2^(l mod this) (gated-pixelcnn)")
    faulty_mask: bool = option(False, "the lesson's mask, as a demonstration (pixelcnn)")
    head: str = option("softmax", "softmax or logistic_mixture (pixelcnn, gated-pixelcnn)")
    n_mixtures: int = option(5, "logistics in the mixture")
    n_embd: int = option(128, "width of the stream (transformer)")
    n_head: int = option(4, "attention heads (transformer)")
    positions: str = option("learned", "rotary, learned or sinusoidal (transformer)")
    factor: int = option(4, "how many times a picture is enlarged (super-resolution)")
    conditioner_channels: int = option(48, "width of what enlarges (super-resolution)")
    n_block: int = option(2, "its residual blocks at each size on the way up")
    dropout: float = option(0.0, "share of what a layer adds that is dropped")
    steps: int = option(3000, "optimizer steps")
    batch_size: int = option(32, "pictures a step")
    eval_every: int = option(200, "steps between validations and contact sheets", alters=False)
    eval_pictures: int = option(
        500, "test pictures of a validation; all are judged at the end", alters=False
    )
    seed: int = option(0, "of weights, order of pictures and dropout")

    def __post_init__(self):
        super().__post_init__()
        check_whole("--eval-pictures", self.eval_pictures, 1, MAX_COUNT)
        check_range("--class-dropout", self.class_dropout, 0.0, 1.0)


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
    if issubclass(model_class, Raster | SuperResolution) and tokenizer.order != "raster":
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
    return len(pictures.classes) if config.classes and config.model == "gated-pixelcnn" else 0


def picture_loss(model, targets, condition, bos: int, precision: str) -> tuple[torch.Tensor, ...]:
    """Return what is to be minimised, and the mean surprisal of pictures (B, T) in nats.

    They differ where a second network has a loss of its own. In bfloat16, weights stay float32.
    """
    with torch.autocast(targets.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        if isinstance(model, SuperResolution):
            surprisal, of_conditioner = model.losses(targets, *condition)
            return surprisal + of_conditioner, surprisal
        if isinstance(model, Raster):
            surprisal = model.nats(targets, condition).mean()
            return surprisal, surprisal
        logits = model(F.pad(targets[:, :-1], (1, 0), value=bos))  # teacher forcing
    surprisal = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
    return surprisal, surprisal


@torch.inference_mode()
def draw(model, tokenizer: ImageTokenizer, condition, count: int, seed: int) -> np.ndarray:
    """Let the model draw pictures (count, H, W, channels), always with the same noise."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed_of(seed, "draw"))
    state = model.initial_state(count, condition)
    tokens = torch.full((count, 1), tokenizer.bos_token, device=device)
    drawn = []
    for _ in range(tokenizer.size):
        logits, state = model.step(tokens, state)
        probs = logits[:, : tokenizer.levels].softmax(-1).cpu()  # all but BOS
        tokens = torch.multinomial(probs, 1, generator=generator).to(device)
        drawn.append(tokens.cpu())
    model.train(was_training)
    return np.stack([tokenizer.decode(row) for row in torch.cat(drawn, dim=1).tolist()])


def write_sheet(path: Path, pictures: np.ndarray, columns: int = 10) -> None:
    """Write a contact sheet of pictures as PNG, atomically."""
    write_png(path, contact_sheet(pictures, columns, scale=max(1, 64 // pictures.shape[1])))


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
    is_enlarging = config.model == "super-resolution"
    told = SmallPictures(pictures, config.factor) if is_enlarging else Classes(pictures, n_class)
    batches = Batches(encode(pictures.train, tokenizer), told.train, config)
    test = encode(pictures.test, tokenizer)
    print(
        f"{pictures.name}: {len(batches.tokens):,} pictures to train on, {len(test):,} to judge "
        f"by, {tokenizer.size} values each, told {told.says}"
    )

    model = build_model(config, tokenizer, n_class).to(config.device)
    run = Training(config, model, "bits_per_dim", OUTSIDE, width=256)
    for step in run.steps():
        targets, condition = batches.batch(step)
        flip = None
        if config.mirror:
            flip = torch.rand(len(targets)) < 0.5
            targets = torch.where(flip[:, None], mirrored(targets, tokenizer), targets)
        is_told = torch.rand(len(targets)) >= config.class_dropout
        condition = told.of_batch(condition, is_told, flip, config.device)
        targets = targets.to(config.device)  # (B, T)
        loss, nats = picture_loss(model, targets, condition, tokenizer.bos_token, run.precision)
        run.descend(loss)
        run.report(nats, len(targets), "pictures")
        if run.is_time_to_judge():
            few = slice(config.eval_pictures)
            few_told = None if told.test is None else told.test[few]
            bits = judge(model, tokenizer, test[few], few_told).mean().item()
            run.note(test_bits_per_dim=round(bits, 4))
            drawn = draw(model, tokenizer, told.drawn, told.count, config.seed)
            write_sheet(config.out / f"samples-{run.done:06}.png", told.sheet(drawn), told.columns)
            run.say(f"test {bits:.4f} bits/dim (first {len(test[few]):,})")
    if run.stop:
        return run.stop.exit_code
    publish(config, model, tokenizer, pictures, (test, told), run.seconds)
    return 0


def publish(config, model, tokenizer, pictures: Pictures, judged_by, seconds: float) -> None:
    """Write the checkpoint, measure it as it was written, and write its card."""
    test, told = judged_by
    info = {
        "modality": "image",
        **origin("image", pictures, model, seconds),
        "pictures": config.data,  # for `load_pictures`
        "split": pictures.split,
        "classes": list(told.names),
        "test_pictures": len(test),
    }
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    shipped, _ = load(config.out, config.device)
    without = f"_without_{told.name.replace(' ', '_')}"
    for suffix, condition in {"": told.test, without: None}.items():
        if told.test is not None or not suffix:
            bits = judge(shipped, tokenizer, test, condition)
            info[f"test_bits_per_dim{suffix}"] = round(bits.mean().item(), 4)
            info[f"test_bits_percentiles{suffix}"] = percentiles_of(bits)
    examples, labels = examples_of(pictures)
    info["examples"] = {"labels": labels, "classes": list(pictures.classes)}
    write_png(config.out / EXAMPLES, examples_sheet(examples))
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    drawn = draw(shipped, tokenizer, told.drawn, told.count, config.seed)
    write_sheet(config.out / "samples.png", told.sheet(drawn), told.columns)
    text = card(config, info, told)
    write_atomically(config.out / "README.md", lambda path: path.write_text(text))
    print(f"{config.out}: {info['test_bits_per_dim']} bits per dimension, {clock(seconds)}")


def card(config: Config, info: dict, told: Classes | SmallPictures) -> str:
    """Return the model card."""
    line = ""
    if (untold := info.get(f"test_bits_per_dim_without_{told.name.replace(' ', '_')}")) is not None:
        line = f"\n| told the {told.name} | {told.says}; untold, the same model needs {untold} |"
    return f"""# {config.out.name}

{config.model} over pixels of {config.levels} levels, {info["parameters"]:,} parameters.

![{told.caption}](samples.png)

| | |
|---|---|
| data | {info["data"]} ({info["source"]}) |
| licence of the data | {info["licence"]} |
| held out | {info["split"]}: {info["test_pictures"]:,} pictures |
| examples | `{EXAMPLES}`: {len(info["examples"]["labels"])} of them, unchanged |
| **bits per dimension** | **{info["test_bits_per_dim"]}** on all of them, stored as float16 |{line}
| time | {clock(info["seconds"])} on {info["machine"]} |
| command | `{info["command"]}` |

A dimension is one of {config.levels} levels of one colour of one pixel; who knows nothing needs
log2({config.levels}) bits for it.

```json
{settings_json(config)}
```
"""


def main(argv: list[str] | None = None) -> int:
    return run_script(Config, train, argv)


if __name__ == "__main__":
    sys.exit(main())
