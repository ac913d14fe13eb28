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
from torch.nn import functional as F

from playground.data.sounds import load_sounds
from playground.errors import ConfigError, DataError, check_range, check_whole
from playground.evaluation.bits_per_sample import bits_per_sample
from playground.models import FAMILIES, WaveNet
from playground.models.spoken import fit_letter_frames
from playground.tokenizers.audio import AudioTokenizer
from train.config import MAX_COUNT, TrainingConfig, option
from train.loop import Training, run_script, seed_of
from train.sound_card import publish, speak, write_samples
from train.told import DIGITS, Told, told_by

MODELS = ("wavenet", "samplernn", "transformer")
OUTSIDE = ("embedding", "head.outer", "position")  # what AdamW trains: see `build_optimizers`


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
    digits_share: float = option(0.0, "share of crops that speak a digit, zero to nine")
    tail: float = option(0.2, "seconds of silence behind a sound that ends")
    gain: float = option(1.0, "crops are made quieter by a factor of at least this; 1: as they are")
    input_noise: float = option(
        0.0, "levels that inputs, not targets, are off by: a standard deviation up to this"
    )
    flip: bool = option(False, "turn every second crop upside down, which sounds the same")
    channels: int = option(64, "width of the layers (wavenet)")
    skip_channels: int = option(64, "width of what all layers add up (wavenet)")
    n_layer: int = option(18, "layers (wavenet, transformer)")
    dilation_cycle: int = option(9, "layer l is dilated by 2^(l mod this) (wavenet)")
    kernel_size: int = option(2, "samples that a layer looks at (wavenet)")
    hop: int = option(80, "samples that share a frame of the text (wavenet)")
    frame_size: int = option(16, "samples of a frame (samplernn)")
    n_hidden: int = option(192, "width of the frames' state (samplernn)")
    n_embd: int = option(128, "width of the stream (transformer)")
    n_head: int = option(4, "attention heads (transformer)")
    context_length: int = option(1024, "samples that it can look back (transformer)")
    positions: str = option("rotary", "rotary, learned or sinusoidal (transformer)")
    steps: int = option(1500, "optimizer steps")
    batch_size: int = option(4, "crops a step")
    compile: bool = option(False, "let torch write machine code for the step (wavenet; needs g++)")
    draws: int = option(10, "of each word that a recogniser hears at the end", alters=False)
    eval_every: int = option(250, "steps between validations and samples", alters=False)
    eval_seconds: float = option(
        10.0, "held-out sound of a validation; all is judged at the end", alters=False
    )
    seed: int = option(0, "of weights, crops and dropout")

    def __post_init__(self):
        super().__post_init__()
        check_whole("--crop", self.crop, 1, MAX_COUNT)
        check_whole("--draws", self.draws, 1, 1000)
        check_whole("--hop", self.hop, 1, self.crop)
        if self.crop % self.hop:
            raise ConfigError(f"--crop must be a multiple of --hop {self.hop}, got {self.crop}.")
        for name in ("told_dropout", "start_share", "digits_share"):
            check_range("--" + name.replace("_", "-"), getattr(self, name), 0.0, 1.0)
        check_range("--tail", self.tail, 0.0, 10.0)
        check_range("--gain", self.gain, 0.01, 1.0)
        check_range("--input-noise", self.input_noise, 0.0, 64.0)
        check_range("--eval-seconds", self.eval_seconds, 0.1, 1e5)

    @property
    def example(self) -> int:
        """Samples of one example: a crop, as far as a transformer can look back."""
        return self.crop if self.model != "transformer" else min(self.crop, self.context_length)


class Crops:
    """Crops of the training sounds, the same for a step whenever asked."""

    def __init__(
        self,
        clips: Sequence[np.ndarray],
        texts: Sequence[str],
        tokenizer: AudioTokenizer,
        config: Config,
    ):
        if not clips:
            raise DataError("There are no sounds to train on. Name others.")
        tail = round(config.tail * config.sample_rate)
        self.clips = [np.pad(clip, (0, tail)) for clip in clips]
        self.tokenizer, self.config = tokenizer, config
        self.silence = tokenizer.encode(np.zeros(1, np.float32))[0]
        lengths = np.array([len(clip) for clip in self.clips], np.float64)
        # A sound counts by its length, yet a short one is not less of a sound than a crop is.
        weights = lengths.clip(min=config.example / 2)
        if config.digits_share:
            is_digit = np.array([text in DIGITS for text in texts])
            if not is_digit.any():
                raise ConfigError("--digits-share is for sounds among which digits are spoken.")
            share = config.digits_share / (weights * is_digit).sum()
            rest = (1 - config.digits_share) / max(1.0, (weights * ~is_digit).sum())
            weights = weights * np.where(is_digit, share, rest)
        self._ends = weights.cumsum()

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, list]:
        """Return inputs and targets (B, T) of a step, and what is told of each crop.

        That is the number of its sound and its first sample, or None for nothing. With noise the
        inputs are off and the targets are not: a model that has learned to come back to what it
        heard does not drift away when it reads its own samples.
        """
        c, size = self.config, self.config.example
        generator = torch.Generator().manual_seed(seed_of(c.seed, "crops", step))
        numbers = torch.rand(c.batch_size, 6, generator=generator, dtype=torch.float64)
        inputs, targets, told = [], [], []
        for which, is_start, place, is_told, gain, flip in numbers.tolist():
            number = int(np.searchsorted(self._ends, which * self._ends[-1], side="right"))
            clip = self.clips[number]
            start = int(place * (max(0, len(clip) - size) // c.hop + 1)) * c.hop
            start = 0 if is_start < c.start_share else start
            factor = c.gain**gain * (-1 if c.flip and flip < 0.5 else 1)
            heard = clip[max(0, start - 1) : start + size] * np.float32(factor)
            tokens = torch.from_numpy(self.tokenizer.quantise(heard)).long()
            if start == 0:
                tokens = F.pad(tokens, (1, 0), value=self.tokenizer.bos_token)
            tokens = F.pad(tokens, (0, size + 1 - len(tokens)), value=self.silence)
            read = tokens[:-1]
            if c.input_noise:
                most = c.input_noise * torch.rand(1, generator=generator)
                off = most * torch.randn(size, generator=generator)
                noisy = (read + off.round().long()).clamp(0, self.tokenizer.levels - 1)
                read = torch.where(read == self.tokenizer.bos_token, read, noisy)
            inputs.append(read)
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
    if config.model == "samplernn":  # whose embedding and recurrent layers are small
        del known["n_layer"], known["n_embd"]
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


def train(config: Config) -> int:
    """Run or resume one training; return the exit code."""
    torch.set_num_threads(config.threads or torch.get_num_threads())
    sounds = load_sounds(config.data, config.data_dir, sample_rate=config.sample_rate)
    tokenizer = AudioTokenizer(config.sample_rate)
    test = [torch.from_numpy(tokenizer.quantise(clip)) for clip in sounds.test]
    told = told_by(config, sounds)
    crops = Crops(sounds.train, sounds.train_texts, tokenizer, config)
    heard, judged = (sum(map(len, part)) / config.sample_rate for part in (sounds.train, test))
    print(
        f"{sounds.name}: {len(sounds.train):,} sounds of {heard:,.0f} s to train on, {len(test):,} "
        f"of {judged:,.0f} s to judge by, told {told.says}"
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
        if run.is_time_to_judge():
            copied = frozen(model)
            bits = bits_per_sample(copied, few, tokenizer.bos_token, told.conditions(len(few)))
            run.note(test_bits_per_sample=round(bits, 4))
            made = [speak(copied, tokenizer, c, s, config.seed + i) for i, (_, c, s) in
                    enumerate(told.shown)]  # fmt: skip
            write_samples(config.out, f"samples-{run.done:06}", made, config.sample_rate)
            run.say(f"held out {bits:.4f} bits/sample (first {len(few):,} sounds)")
    if run.stop:
        return run.stop.exit_code
    publish(config, model, tokenizer, sounds, (test, told), run.seconds)
    return 0


def few_of(test: list[torch.Tensor], config: Config) -> list[torch.Tensor]:
    """Return the first sounds, as many as `eval_seconds` hold, one at least."""
    ends = np.cumsum([len(clip) for clip in test]) / config.sample_rate
    return test[: max(1, int((ends <= config.eval_seconds).sum()))]


def main(argv: list[str] | None = None) -> int:
    return run_script(Config, train, argv)


if __name__ == "__main__":
    sys.exit(main())
