"""Train a model of sound: python -m train.audio --model wavenet --data instruments.

One script for every family that decides sample by sample. The defaults train a class-conditional
WaveNet on drums and other short instruments; the command that made each shipped model stands in its
folder's README.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from playground.checkpoints import load, save, write_atomically
from playground.data.sounds import Sounds, examples_of, load_sounds, write_examples
from playground.errors import ConfigError, DataError, check_range, check_whole
from playground.evaluation.bits_per_dim import percentiles_of
from playground.evaluation.bits_per_sample import bits_of_sounds, bits_per_sample
from playground.models import FAMILIES, WaveNet
from playground.models.ngram import fit_ngram
from playground.models.spoken import fit_letter_frames
from playground.tokenizers.audio import AudioTokenizer, mel_spectrogram, to_wav
from train.config import MAX_COUNT, TrainingConfig, option
from train.loop import Training, clock, origin, run_script, seed_of, settings_json
from train.told import Told, told_by

MODELS = ("wavenet", "samplernn", "transformer")
OUTSIDE = ("embedding", "head.outer", "position")  # what AdamW trains: see `build_optimizers`
BASELINES = {"histogram of the levels": 1, "n-gram, 1 sample back": 2, "n-gram, 2 samples back": 3}


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Train a model that makes sound sample by sample."""

    out: Path = option(
        Path("runs/audio"), "folder of the checkpoint, the metrics and samples", alters=False
    )
    data: str = option("instruments", "sounds by name, a folder, or hub:owner/name[@revision]")
    sample_rate: int = option(8000, "samples a second")
    model: str = option("wavenet", ", ".join(MODELS))
    told: str = option("auto", "class, text or nothing; auto: the class, where there are some")
    told_dropout: float = option(0.1, "share of crops whose class or text is not told")
    crop: int = option(8000, "samples of one example, a multiple of --hop")
    start_share: float = option(0.3, "share of crops that begin where their sound does")
    tail: float = option(0.2, "seconds of silence behind a sound that ends")
    gain: float = option(1.0, "crops are made quieter by a factor of at least this; 1: as they are")
    flip: bool = option(False, "turn every second crop upside down, which sounds the same")
    channels: int = option(64, "width of the layers (wavenet)")
    skip_channels: int = option(64, "width of what all layers add up (wavenet)")
    n_layer: int = option(18, "layers")
    dilation_cycle: int = option(9, "layer l is dilated by 2^(l mod this) (wavenet)")
    kernel_size: int = option(2, "samples that a layer looks at (wavenet)")
    hop: int = option(80, "samples that share a frame of the text (wavenet)")
    frame_size: int = option(16, "samples of a frame (samplernn)")
    n_hidden: int = option(256, "width of the frames' state (samplernn)")
    n_embd: int = option(128, "width of the stream (transformer)")
    n_head: int = option(4, "attention heads (transformer)")
    context_length: int = option(1024, "samples that it can look back (transformer)")
    positions: str = option("rotary", "rotary, learned or sinusoidal (transformer)")
    steps: int = option(1500, "optimizer steps")
    batch_size: int = option(4, "crops a step")
    compile: bool = option(False, "let torch write machine code for the step (wavenet; needs g++)")
    eval_every: int = option(250, "steps between validations and samples", alters=False)
    eval_seconds: float = option(
        10.0, "held-out sound of a validation; all is judged at the end", alters=False
    )
    seed: int = option(0, "of weights, crops and dropout")

    def __post_init__(self):
        super().__post_init__()
        check_whole("--crop", self.crop, 1, MAX_COUNT)
        check_whole("--hop", self.hop, 1, self.crop)
        if self.crop % self.hop:
            raise ConfigError(f"--crop must be a multiple of --hop {self.hop}, got {self.crop}.")
        for name in ("told_dropout", "start_share"):
            check_range("--" + name.replace("_", "-"), getattr(self, name), 0.0, 1.0)
        check_range("--tail", self.tail, 0.0, 10.0)
        check_range("--gain", self.gain, 0.01, 1.0)
        check_range("--eval-seconds", self.eval_seconds, 0.1, 1e5)


class Crops:
    """Crops of the training sounds, the same for a step whenever asked."""

    def __init__(self, clips: Sequence[np.ndarray], tokenizer: AudioTokenizer, config: Config):
        if not clips:
            raise DataError("There are no sounds to train on. Name others.")
        tail = round(config.tail * config.sample_rate)
        self.clips = [np.pad(clip, (0, tail)) for clip in clips]
        self.tokenizer, self.config = tokenizer, config
        lengths = np.array([len(clip) for clip in self.clips], np.float64)
        # A sound counts by its length, yet a short one is not less of a sound than a crop is.
        self._ends = lengths.clip(min=config.crop / 2).cumsum()

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, list]:
        """Return inputs and targets (B, T) of a step, and what is told of each crop.

        That is the number of its sound and its first sample, or None for nothing.
        """
        c = self.config
        generator = torch.Generator().manual_seed(seed_of(c.seed, "crops", step))
        numbers = torch.rand(c.batch_size, 6, generator=generator, dtype=torch.float64)
        inputs, targets, told = [], [], []
        for which, is_start, place, is_told, gain, flip in numbers.tolist():
            number = int(np.searchsorted(self._ends, which * self._ends[-1], side="right"))
            clip = self.clips[number]
            start = int(place * (max(0, len(clip) - c.crop) // c.hop + 1)) * c.hop
            start = 0 if is_start < c.start_share else start
            factor = c.gain**gain * (-1 if c.flip and flip < 0.5 else 1)
            heard = clip[max(0, start - 1) : start + c.crop] * np.float32(factor)
            tokens = torch.from_numpy(self.tokenizer.quantise(heard)).long()
            if start == 0:
                tokens = F.pad(tokens, (1, 0), value=self.tokenizer.bos_token)
            silence = int(self.tokenizer.quantise(np.zeros(1, np.float32))[0])
            tokens = F.pad(tokens, (0, c.crop + 1 - len(tokens)), value=silence)
            inputs.append(tokens[:-1])
            targets.append(tokens[1:])
            told.append((number, start) if is_told >= c.told_dropout else None)
        return torch.stack(inputs), torch.stack(targets), told


def build_model(config: Config, tokenizer: AudioTokenizer, told: Told) -> torch.nn.Module:
    """Build the model of the flags that its family knows."""
    if config.model not in MODELS:
        raise ConfigError(f"--model must be one of {', '.join(MODELS)}, got {config.model!r}.")
    torch.manual_seed(seed_of(config.seed, "weights"))
    config_class, model_class = FAMILIES[config.model]
    sizes = {"levels": tokenizer.levels, "vocab_size": tokenizer.vocab_size}
    known = asdict(config) | sizes | told.sizes
    if config.model == "samplernn":
        known["n_layer"] = 1
    names = config_class.__dataclass_fields__
    return model_class(config_class(**{k: v for k, v in known.items() if k in names}))


def sound_loss(model, inputs, targets, frames, precision: str) -> torch.Tensor:
    """Return the mean surprisal of crops (B, T) in nats; in bfloat16 weights stay float32."""
    with torch.autocast(targets.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        if isinstance(model, WaveNet):
            logits = model.level_logits(model.embed(inputs), frames)
        else:
            logits = model(inputs)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def frozen(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy at rest, which kernels can serve while the model itself is trained."""
    with torch.no_grad():
        other = type(model)(model.config)
        other.load_state_dict(model.state_dict())
    return other.to(next(model.parameters()).device).eval().requires_grad_(False)


@torch.inference_mode()
def speak(model, tokenizer: AudioTokenizer, condition, seconds: float, seed: int) -> np.ndarray:
    """Let the model make a sound (T,), always with the same noise."""
    count = round(seconds * tokenizer.sample_rate)
    generator = torch.Generator().manual_seed(seed_of(seed, "draw"))
    uniforms = torch.rand(count, generator=generator, dtype=torch.float64)
    device = next(model.parameters()).device
    state = model.initial_state(1, condition)
    token = torch.full((1, 1), tokenizer.bos_token, device=device)
    if hasattr(model, "sample_ahead"):
        found = model.sample_ahead(token, state, uniforms, 1.0)
        if found is not None:
            return tokenizer.decode(found[0].tolist())
    made = []
    for uniform in uniforms:
        if model.context_length is not None and state.length >= model.context_length:
            kept = torch.tensor([made[-model.context_length // 2 :]], device=device)
            _, state = model.step(kept[:, :-1], model.initial_state(1, condition))
        logits, state = model.step(token, state)
        weights = logits[0, : tokenizer.levels].double().softmax(-1).cumsum(-1).cpu()
        made.append(int(torch.searchsorted(weights, uniform * weights[-1], right=True)))
        token = torch.tensor([[made[-1]]], device=device)
    return tokenizer.decode(made)


def spectrogram_sheet(rows: list[list[np.ndarray]], sample_rate: int) -> Image.Image:
    """Lay the spectrograms of sounds out in rows, louder is brighter, a grey line between them."""
    pictures = []
    for row in rows:
        cells = []
        for sound in row:
            decibels = mel_spectrogram(sound, sample_rate)
            grey = np.clip((decibels + 80) / 80, 0, 1)[::-1]
            size = (192, 96)
            cell = Image.fromarray((255 * grey).astype(np.uint8)).resize(size)
            cells.append(np.pad(np.asarray(cell), 1, constant_values=128))
        pictures.append(np.concatenate(cells, axis=1))
    widest = max(p.shape[1] for p in pictures)
    filled = [np.pad(p, ((0, 0), (0, widest - p.shape[1]))) for p in pictures]
    return Image.fromarray(np.concatenate(filled))


def write_samples(folder: Path, name: str, sounds: list[np.ndarray], sample_rate: int) -> None:
    """Write sounds one after the other as a WAV file, a fifth of a second between them."""
    gap = np.zeros(sample_rate // 5, np.float32)
    joined = np.concatenate([part for sound in sounds for part in (sound, gap)])
    data = to_wav(joined, sample_rate)
    write_atomically(folder / f"{name}.wav", lambda path: path.write_bytes(data))


def baselines(train: list[torch.Tensor], test: list[torch.Tensor], vocab_size: int) -> dict:
    """Return the bits per sample of counts that look back 0, 1 and 2 samples, by name."""
    bos = torch.tensor([vocab_size - 1])
    stream = torch.cat([part.long() for clip in train for part in (bos, clip)])
    models = {name: fit_ngram(stream, vocab_size, order) for name, order in BASELINES.items()}
    return {name: round(bits_per_sample(m, test, int(bos)), 4) for name, m in models.items()}


def train(config: Config) -> int:
    """Run or resume one training; return the exit code."""
    torch.set_num_threads(config.threads or torch.get_num_threads())
    sounds = load_sounds(config.data, config.data_dir, sample_rate=config.sample_rate)
    tokenizer = AudioTokenizer(config.sample_rate)
    clips = [torch.from_numpy(tokenizer.quantise(clip)) for clip in sounds.train]
    test = [torch.from_numpy(tokenizer.quantise(clip)) for clip in sounds.test]
    told = told_by(config, sounds)
    crops = Crops(sounds.train, tokenizer, config)
    print(
        f"{sounds.name}: {len(clips):,} sounds of {sum(map(len, clips)) / config.sample_rate:,.0f} "
        f"s to train on, {len(test):,} of {sum(map(len, test)) / config.sample_rate:,.0f} s to "
        f"judge by, told {told.says}"
    )
    model = build_model(config, tokenizer, told)
    if told.name == "text":
        model.spoken.letter_frames.copy_(
            fit_letter_frames(told.texts, told.frames, model.config.alphabet)
        )
    model = model.to(config.device)
    if config.compile and isinstance(model, WaveNet):
        model.level_logits = torch.compile(model.level_logits, dynamic=False)
    few = few_of(test, config)
    run = Training(config, model, "bits_per_sample", OUTSIDE, width=2 * config.channels)
    for step in run.steps():
        inputs, targets, crops_told = crops.batch(step)
        frames = told.of_batch(model, crops_told)
        inputs, targets = inputs.to(config.device), targets.to(config.device)
        nats = sound_loss(model, inputs, targets, frames, run.precision)
        run.descend(nats)
        run.report(nats, targets.numel(), "samples")
        if run.is_due(config.eval_every):
            copied = frozen(model)
            bits = bits_per_sample(copied, few, tokenizer.bos_token, told.conditions(len(few)))
            run.note(test_bits_per_sample=round(bits, 4))
            made = [speak(copied, tokenizer, c, s, config.seed + i) for i, (_, c, s) in
                    enumerate(told.shown)]  # fmt: skip
            write_samples(config.out, f"samples-{run.done:06}", made, config.sample_rate)
            run.say(f"held out {bits:.4f} bits/sample (first {len(few):,} sounds)")
    if run.stop:
        return run.stop.exit_code
    publish(config, model, tokenizer, sounds, (clips, test, told), run.seconds)
    return 0


def few_of(test: list[torch.Tensor], config: Config) -> list[torch.Tensor]:
    """Return the first sounds, as many as `eval_seconds` hold, one at least."""
    ends = np.cumsum([len(clip) for clip in test]) / config.sample_rate
    return test[: max(1, int((ends <= config.eval_seconds).sum()))]


def publish(config, model, tokenizer, sounds: Sounds, judged_by, seconds: float) -> None:
    """Write the checkpoint, measure it as it was written, and write its card."""
    clips, test, told = judged_by
    info = {
        "modality": "audio",
        **origin("audio", sounds, model, seconds),
        "sounds": config.data,  # for `load_sounds`
        "split": sounds.split,
        "classes": list(sounds.classes) if told.name == "class" else [],
        "test_sounds": len(test),
        "test_seconds": round(sum(map(len, test)) / config.sample_rate, 1),
    }
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    shipped, _ = load(config.out, config.device)
    lengths = torch.tensor([len(clip) for clip in test]).double()
    conditions = {"": told.conditions(len(test)), f"_without_{told.name}": None}
    for suffix, told_of in conditions.items():
        if told.name != "nothing" or not suffix:
            bits = bits_of_sounds(shipped, test, tokenizer.bos_token, told_of)
            info[f"test_bits_per_sample{suffix}"] = round((bits.sum() / lengths.sum()).item(), 4)
            info[f"test_bits_percentiles{suffix}"] = percentiles_of(bits / lengths)
    info["baselines"] = baselines(clips, test, tokenizer.vocab_size)
    examples, labels, texts = examples_of(sounds)
    lengths = write_examples(config.out, examples, config.sample_rate)
    info["examples"] = {"lengths": lengths, "labels": labels, "texts": texts}
    save(config.out, model, tokenizer, info=info, dtype=torch.float16)
    made = [
        speak(shipped, tokenizer, condition, duration, config.seed + i)
        for i, (_, condition, duration) in enumerate(told.shown)
    ]
    write_samples(config.out, "samples", made, config.sample_rate)
    sheet = spectrogram_sheet([made, examples[: len(made)]], config.sample_rate)
    write_atomically(config.out / "samples.png", lambda path: sheet.save(path, "PNG"))
    text = card(config, info, told)
    write_atomically(config.out / "README.md", lambda path: path.write_text(text))
    print(f"{config.out}: {info['test_bits_per_sample']} bits per sample, {clock(seconds)}")


def card(config: Config, info: dict, told: Told) -> str:
    """Return the model card."""
    line = ""
    if (untold := info.get(f"test_bits_per_sample_without_{told.name}")) is not None:
        line = f"\n| told the {told.name} | {told.says}; untold, the same model needs {untold} |"
    others = "".join(f"\n| {name} | {bits} |" for name, bits in info["baselines"].items())
    names = ", ".join(dict.fromkeys(name for name, _, _ in told.shown))
    return f"""# {config.out.name}

{config.model} over 8-bit mu-law samples, {config.sample_rate:,} a second, \
{info["parameters"]:,} parameters.

![Above: spectrograms of sounds that it made; below: real ones](samples.png)

`samples.wav`: sounds that it made at temperature 1, one draw each, none left out: {names}.

| | |
|---|---|
| data | {info["data"]} ({info["source"]}) |
| licence of the data | {info["licence"]} |
| held out | {info["split"]}: {info["test_sounds"]:,} sounds of {info["test_seconds"]} s |
| examples | `examples.flac`: {len(info["examples"]["lengths"])} of them |
| **bits per sample** | **{info["test_bits_per_sample"]}** on all of them, stored as float16 |{line}
| time | {clock(info["seconds"])} on {info["machine"]} |
| command | `{info["command"]}` |

The same held-out sounds by counts of the same training sounds:

| | bits per sample |
|---|---|{others}

A sample is one of 256 levels; who knows nothing needs 8 bits for it.

```json
{settings_json(config)}
```
"""


def main(argv: list[str] | None = None) -> int:
    return run_script(Config, train, argv)


if __name__ == "__main__":
    sys.exit(main())
