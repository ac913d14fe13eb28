"""python -m train.text: real runs in real processes, killed and started again."""

import math
import shlex
import subprocess
import sys

import pytest
import torch

from playground.checkpoints import load
from playground.data.text import held_out_excerpt
from playground.errors import CheckpointError, DataError
from tests.helpers import ROOT, random_tokens, transformer
from tests.train.runs import Script, assert_same_weights, records
from train.config import settings_of
from train.loop import Metrics, Resume, claim, clock, seed_of
from train.schedules import learning_rate_scale, true_share, window_length
from train.text import Config, Windows, partly_own

TEXT = ROOT / "tests" / "data" / "king_james_tail.txt"
SCRIPT = Script("train.text", (
    *("--data", str(TEXT), "--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--threads", "1"),
    *("--n-hidden", "24", "--context-length", "16", "--batch-size", "4", "--steps", "60"),
    *("--warmup", "5", "--save-every", "5", "--eval-every", "30", "--precision", "float32"),
))  # fmt: skip


@pytest.mark.parametrize("model", ["transformer", "lstm", "gru"])
def test_a_run_killed_again_and_again_ends_with_the_same_bits(model, tmp_path):
    flags = ("--family", model, "--dropout", "0.1", "--steps", "200", "--n-layer", "2")
    SCRIPT.run(tmp_path / "unbroken", *flags)
    out = tmp_path / "killed"
    SCRIPT.run_in_spite_of_kills(out, *flags, kills=3)
    assert_same_weights(tmp_path / "unbroken", out)
    steps = [r["step"] for r in records(out) if "train_bits_per_token" in r]
    assert steps == sorted(set(steps))


def test_a_polite_stop_saves_and_says_so(tmp_path):
    SCRIPT.stop_politely(tmp_path)


def test_a_finished_run_leaves_a_checkpoint_with_its_card_and_samples(tmp_path):
    out = tmp_path / "run"
    output = SCRIPT.run(out)
    assert "left" in output
    assert "says:" in output
    model, tokenizer = load(out)
    assert model.vocab_size == tokenizer.vocab_size
    measured = [r["held_out_bits_per_char"] for r in records(out) if "sample" in r]
    assert len(measured) == 2
    assert measured[1] < measured[0] < math.log2(tokenizer.vocab_size)
    card = (out / "README.md").read_text()
    assert "python -m train.text" in card
    assert "bits per character" in card
    text = TEXT.read_text(encoding="utf-8")
    assert held_out_excerpt(out) == text[len(text) - round(0.05 * len(text)) :]


def test_an_excerpt_alone_can_be_written_beside_a_checkpoint(tmp_path):
    out, text = tmp_path / "run", TEXT.read_text(encoding="utf-8")
    output = SCRIPT.run(out, "--excerpt-only", "--held-out", "0.5")
    assert [path.name for path in out.iterdir()] == ["held_out.txt"]
    assert "characters that the model does not train on" in output
    assert held_out_excerpt(out) == text[len(text) - round(0.5 * len(text)) :]


def test_byte_pairs_and_n_grams_train_too(tmp_path):
    SCRIPT.run(tmp_path / "bpe", "--vocab-size", "300", "--steps", "10", "--eval-every", "10")
    model, tokenizer = load(tmp_path / "bpe")
    assert tokenizer.vocab_size == 300
    SCRIPT.run(tmp_path / "ngram", "--family", "ngram", "--order", "3")
    model, tokenizer = load(tmp_path / "ngram")
    assert model.config.order == 3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--data", "no-such-text"), "no corpus or text file 'no-such-text'"),
        (("--data", "moby-dick", "--data-dir", "nowhere"), "npm install"),
        (("--n-embd", "17"), "n_embd must be a multiple"),
        (("--family", "gan"), "must be one of transformer"),
        (("--connection", "highway"), "are for lstm, gru, rnn, and --family is 'transformer'"),
        (("--schedule", "stairs"), "--schedule must be one of cosine, linear"),
        (("--scheduled-sampling", "step"), "--scheduled-sampling must be one of none, linear"),
        (("--context-length", "100000"), "context_length must be a whole number"),
        (("--positions", "spiral"), "positions must be one of"),
        (("--muon-rate", "1e30", "--learning-rate", "1e30"), "training cannot go on. Lower"),
    ],
)
def test_settings_that_cannot_be_are_explained(flags, says, tmp_path):
    assert says in SCRIPT.refusal(tmp_path, *flags)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a" * 5000, "holds 1 different characters"),
        ("ab" * 10, "Use a longer text or a shorter --context-length"),
        ("PNG\0" * 2000, "as programs and pictures do"),
    ],
    ids=["one symbol", "short", "binary"],
)
def test_a_text_that_teaches_nothing_is_refused(text, says, tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(text)
    assert says in SCRIPT.refusal(tmp_path / "run", "--data", str(file))


def test_a_folder_in_which_another_process_trains_is_refused(tmp_path):
    with claim(tmp_path):
        assert "Another training writes into" in SCRIPT.refusal(tmp_path)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path):
    command = [sys.executable, "-m", "train.text", "--out", str(tmp_path), *SCRIPT.flags]
    limited = ["bash", "-c", f"ulimit -f 4; exec {shlex.join(command)}"]  # of 1,024 bytes
    refused = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "There is no room to write" in refused.stderr
    assert not [*tmp_path.glob("*.tmp"), *tmp_path.glob("*.safetensors")]


@pytest.mark.parametrize(
    "flags",
    [
        ("--family", "rnn", "--layer-norm", "--connection", "residual"),
        ("--family", "lstm", "--connection", "highway", "--n-layer", "2"),
        ("--family", "causal-conv", "--kernel-size", "2", "--dilation-cycle", "2"),
        ("--family", "neural-ngram", "--order", "4"),
        ("--positions", "alibi", "--schedule", "linear"),
        ("--schedule", "inverse-sqrt", "--curriculum", "20", "--context-length", "32"),
        ("--scheduled-sampling", "exponential", "--least-true", "0.2"),
    ],
    ids=lambda flags: " ".join(flags),
)
def test_every_family_and_option_learns(flags, tmp_path):
    SCRIPT.run(tmp_path, *flags)
    found = records(tmp_path)
    bits = [r["held_out_bits_per_char"] for r in found if "sample" in r]
    assert bits[-1] < bits[0] < 8
    model, tokenizer = load(tmp_path)
    assert model.vocab_size == tokenizer.vocab_size
    begun, first = found[:2]
    assert begun["step"] == 0
    assert begun["characters_per_token"] == 1.0
    told = {"gradient_norm", "learning_rate", "read", "seconds", "processor_seconds"}
    assert told <= first.keys()


def test_another_configuration_on_the_same_folder_is_refused(tmp_path):
    SCRIPT.run(tmp_path / "run", "--steps", "10")
    assert "belongs to a run with" in SCRIPT.refusal(
        tmp_path / "run", "--steps", "10", "--seed", "1"
    )


def test_a_damaged_resume_file_says_what_to_do(tmp_path):
    (tmp_path / "resume.safetensors").write_bytes(b"\x08")
    with pytest.raises(CheckpointError, match=r"cannot be read .* Delete it to start afresh"):
        Resume(tmp_path / "resume.safetensors", {}).load(None, [])


def test_what_a_killed_run_left_half_written_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "model.safetensorsabcd1234.tmp").write_text("half")
    (tmp_path / "metrics.jsonlabcd1234.tmp").write_text("half")
    (tmp_path / "notes.tmp").write_text("mine")
    Resume(tmp_path / "resume.safetensors", {})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.tmp"]


def test_a_setting_that_did_not_exist_means_its_default(tmp_path):
    settings, defaults = settings_of(Config(order=5))
    assert settings == defaults | {"order": "5"}
    assert "out" not in settings
    older = {name: value for name, value in settings.items() if name != "dropout"}
    model, path = torch.nn.Linear(1, 1), tmp_path / "resume.safetensors"
    Resume(path, older).save(model, [], step=3)
    assert Resume(path, settings, defaults).load(model, [])["step"] == 3
    with pytest.raises(CheckpointError, match=r"belongs to a run with \{'dropout': '0.0'\}"):
        Resume(path, settings | {"dropout": "0.1"}, defaults).load(model, [])


def test_metrics_go_on_where_the_run_does(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 20}\n{"step": 40}\n{"step": 60}\n{"st')
    Metrics(path, resumed_step=40).write(step=60, train=1.5)
    assert records(tmp_path) == [{"step": 20}, {"step": 40}, {"step": 60, "train": 1.5}]
    Metrics(path, resumed_step=0)
    assert path.read_text() == ""


def test_an_epoch_visits_every_window_once_and_batches_depend_on_the_step_alone():
    windows = Windows(torch.arange(1000), length=10, batch_size=3, seed=5)
    assert windows.per_epoch == 99
    starts = [int(row[0]) for step in range(33) for row in windows.batch(step)]
    assert len(set(starts)) == 99
    assert len({start % 10 for start in starts}) == 1
    again = Windows(torch.arange(1000), length=10, batch_size=3, seed=5)
    assert torch.equal(again.batch(40), windows.batch(40))
    assert not torch.equal(again.batch(40), windows.batch(7))


def test_a_text_that_is_too_short_says_what_to_do():
    with pytest.raises(DataError, match="Use a longer text"):
        Windows(torch.arange(19), length=10, batch_size=1, seed=0)


@pytest.mark.parametrize(
    ("schedule", "at_55", "last"),
    [("cosine", 0.51, 0.02), ("linear", 0.51, 0.02), ("constant", 1, 1)],
)
def test_the_learning_rate_after_the_warm_up(schedule, at_55, last):
    scales = [learning_rate_scale(step, 100, 10, schedule) for step in range(101)]
    assert scales[9] == scales[10] == pytest.approx(1)
    assert (scales[55], scales[100]) == (pytest.approx(at_55), pytest.approx(last))


def test_the_root_schedule_is_continuous_and_halves_in_four_times_the_steps():
    scales = [learning_rate_scale(step, 1000, 25, "inverse-sqrt") for step in range(400)]
    assert scales[24] == scales[25 - 1] == pytest.approx(1)
    assert scales[25] == pytest.approx(1, rel=0.03)
    assert scales[399] == pytest.approx(0.25)


@pytest.mark.parametrize("decay", ["linear", "exponential", "inverse-sigmoid"])
def test_the_share_of_true_tokens_falls_to_the_least(decay):
    shares = [true_share(step, 100, decay, 0.4) for step in range(100)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1, abs=0.01)
    assert shares[99] == pytest.approx(0.4, abs=0.02)
    assert true_share(99, 100, "none", 0.4) == 1


def test_own_tokens_replace_true_ones_in_their_share_and_never_the_start():
    model, inputs = transformer(context_length=40), random_tokens(50, 40)
    mixed = partly_own(model, inputs, 0.7, seed=1)
    assert torch.equal(mixed[:, 0], inputs[:, 0])
    assert 0.7 < (mixed == inputs).float().mean() < 0.8  # some of its own are the true ones
    assert torch.equal(mixed, partly_own(model, inputs, 0.7, seed=1))


def test_windows_double_in_equal_parts_of_the_curriculum():
    lengths = [window_length(step, 40, 128) for step in range(60)]
    assert lengths[:40:10] == [16, 32, 64, 128]
    assert lengths == sorted(lengths)
    assert window_length(0, 0, 128) == 128


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    scales = [learning_rate_scale(step, 100, 10) for step in range(101)]
    assert scales[0] == pytest.approx(0.1)
    assert scales[9] == scales[10] == pytest.approx(1)
    assert scales[55] == pytest.approx(0.51)
    assert scales[100] == pytest.approx(0.02)
    assert scales[10:] == sorted(scales[10:], reverse=True)


def test_seeds_are_functions_of_their_parts():
    assert seed_of(1, "a") == seed_of(1, "a") != seed_of(1, "b")
    assert 0 <= seed_of("x") < 2**63


def test_clock_reads_like_a_clock():
    assert [clock(s) for s in (5, 75, 3675)] == ["0:05", "1:15", "1:01:15"]
