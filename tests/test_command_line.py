"""The command line, as a person calls it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from playground.command_line import main
from playground.traces.trace import Trace
from tests.helpers import ROOT
from tests.picture_checkpoints import TOKENIZER, examples, write_checkpoint
from tests.sound_checkpoints import examples as sounds
from tests.sound_checkpoints import write_checkpoint as write_sounds

MODEL = "kjv-char-ngram"
TOLD = ROOT / "checkpoints/fashion-gated-pixelcnn"
DECODE = ["decode", "--model", MODEL, "--prompt", "And he ", "--max-new-tokens", "20"]


def said(capsys, *argv: str) -> str:
    assert main(list(argv)) == 0
    return capsys.readouterr().out


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "playground", *DECODE, "--strategy", "greedy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("And he ")
    assert len(done.stdout.rstrip("\n")) >= 25


def test_a_text_and_its_trace_come_from_the_same_stream(capsys):
    flags = [*DECODE, "--top-p", "0.9", "--temperature", "0.8", "--seed", "4"]
    text = said(capsys, *flags)
    trace = Trace.from_json(said(capsys, *flags, "--json"))
    assert len(trace.steps) == 20
    assert [name for name, _ in trace.settings["processors"]] == ["temperature", "top_p"]
    assert said(capsys, *flags) == text
    assert said(capsys, *flags[:-1], "5") != text


@pytest.mark.parametrize(
    "flags",
    [
        ["--strategy", "beam_search", "--num-beams", "3", "--early-stopping", "never"],
        ["--strategy", "diverse_beam_search", "--num-beam-groups", "2"],
        ["--strategy", "constrained_beam_search", "--force-words", "LORD"],
        ["--strategy", "contrastive_search", "--penalty-alpha", "0.5", "--top-k", "3"],
        ["--strategy", "minimum_bayes_risk", "--n", "3"],
        ["--strategy", "prompt_lookup", "--do-sample", "false"],
        ["--strategy", "speculative_decoding", "--second", "kjv-char-ngram"],
        ["--regex", "[a-z]+\\.", "--mirostat-tau", "3"],
        ["--dynatemp-range", "0.5", "--temperature", "0.9"],
        ["--order", "top_p,temperature", "--temperature", "2", "--top-p", "0.5"],
        ["--combination", "ensemble", "--second", "kjv-char-ngram"],
    ],
)
def test_every_kind_of_flag_reaches_the_lane(capsys, flags):
    trace = Trace.from_json(said(capsys, *DECODE, *flags, "--json"))
    told = json.dumps(trace.settings)
    for value in flags[1::2]:
        if value not in ("LORD", "kjv-char-ngram", "top_p,temperature", "ensemble"):
            assert value.replace("\\", "\\\\") in told, told
    if "--order" in flags:
        assert trace.steps[0].stages == ("model", "top_p=0.5", "temperature=2")


def test_samples_are_printed_one_after_the_other(capsys):
    lines = said(capsys, *DECODE, "--samples", "3", "--json").splitlines()
    assert [json.loads(line)["settings"]["sample"] for line in lines] == [0, 1, 2]


def test_compare_prints_a_row_a_lane_and_the_real_text(capsys):
    flags = ["compare", "--model", MODEL, "--max-new-tokens", "30", "--samples", "2"]
    flags += ["--preset", "greedy", "--preset", "pure sampling"]
    head, *rows = said(capsys, *flags).splitlines()
    assert head.split()[:3] == ["lane", "log_likelihood", "perplexity"]
    assert [row.split("  ")[0] for row in rows] == ["greedy", "pure sampling", "real text"]
    greedy, _, real = map(json.loads, said(capsys, *flags, "--json").splitlines())
    assert greedy["self_bleu"] == pytest.approx(100)
    assert real["self_bleu"] < 50


def test_compare_reads_lanes_from_a_file(capsys, tmp_path):
    path = tmp_path / "lanes.json"
    path.write_text('[{"label": "mine", "strategy": "greedy"}]')
    flags = ["compare", "--model", MODEL, "--max-new-tokens", "5", "--lanes", str(path)]
    assert said(capsys, *flags).splitlines()[1].startswith("mine")


def test_models_are_named(capsys):
    assert MODEL in said(capsys, "models")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([*DECODE, "--strategy", "beam_search", "--num-beams", "10000"], "num_beams must be"),
        ([*DECODE, "--strategy", "beam_search", "--top-k", "0"], "top_k=0 keeps no token"),
        ([*DECODE, "--strategy", "beam_search", "--top-k", "2"], "top_k=2 leaves fewer tokens"),
        ([*DECODE, "--num-beams", "3"], "--num-beams is no setting of sample"),
        ([*DECODE, "--top-p", "1.5"], "top_p must be in"),
        ([*DECODE, "--temperature", "nan"], "temperature must be in"),
        ([*DECODE, "--regex", "("], "regex"),
        ([*DECODE, "--regex", "[0-9]+"], "regex"),
        ([*DECODE, "--json-schema", "{"], "json_schema"),
        ([*DECODE, "--order", "top_k", "--top-p", "0.5"], "--order leaves out top_p"),
        ([*DECODE, "--device", "tpu"], "no device 'tpu'"),
        ([*DECODE[:2], "nowhere", *DECODE[3:]], "cannot be used"),
        ([*DECODE, "--strategy", "speculative_decoding"], "needs a second model"),
        ([*DECODE, "--combination-settings", "[1]"], "combination_settings must be a dictionary"),
        (["compare", "--model", MODEL], "Name lanes"),
        (["compare", "--model", MODEL, "--lanes", "nowhere.json"], "nowhere.json cannot be read"),
        (["compare", "--model", MODEL, "--lanes", str(ROOT)], "cannot be read"),
        (["compare", "--model", MODEL, "--lanes", f"{TOLD}/model.safetensors"], "bytes; at most"),
        (["compare", "--model", MODEL, "--lanes", f"{TOLD}/examples.png"], "lanes are no JSON"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, flags, message):
    assert main(flags) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert not out


def size_of(path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_pictures_are_written_as_a_sheet_and_their_figures_printed(capsys, tmp_path):
    model, out = str(write_checkpoint(tmp_path / "told", n_class=4)), tmp_path / "sheet.png"
    flags = ["--model", model, "--class", "dog", "--out", str(out), "--scale", "2"]
    lanes = ["--preset", "sample", "--preset", "greedy"]
    head, *rows = said(capsys, "compare", *flags, *lanes).splitlines()
    assert head.split()[:3] == ["lane", "bits_per_dim", "pairwise_distance"]
    assert [row.split("  ")[0] for row in rows] == ["sample", "greedy", "real pictures"]
    assert size_of(out) == (2 * (4 * 8 + 1), 2 * (2 * 7 + 1))
    rows = [json.loads(r) for r in said(capsys, "compare", *flags, *lanes, "--json").splitlines()]
    assert rows[0]["samples"] == 4
    assert rows[1]["histogram_distance"] >= 0
    first = said(capsys, "decode", *flags, "--samples", "2", "--json").splitlines()
    traces = [Trace.from_json(line) for line in first]
    assert [len(trace.steps) for trace in traces] == [TOKENIZER.size] * 2
    assert size_of(out) == (2 * (2 * 8 + 1), 2 * (7 + 1))


def test_pictures_complete_the_top_part_of_a_file(capsys, tmp_path):
    model, file = str(write_checkpoint(tmp_path / "told")), tmp_path / "one.png"
    Image.fromarray(examples()[0, :, :, 0]).save(file)
    flags = ["decode", "--model", model, "--picture", str(file), "--keep-rows", "2", "--json"]
    trace = Trace.from_json(said(capsys, *flags))
    assert list(trace.prompt[1:]) == TOKENIZER.encode(examples()[0])[:14]
    assert len(trace.steps) == TOKENIZER.size - 14


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class", "horse"], "no class 'horse'"),
        (["--prompt", "a cat"], "not with the text"),
        (["--regex", "a"], "regex is not for pictures"),
        (["--keep-rows", "3"], "Name one: --picture FILE"),
        (["--picture", "nowhere.png"], "cannot be read"),
        (["--scale", "99"], "--scale must be"),
        (["--out", "{model}/config.json/x.png"], "cannot be written"),
    ],
)
def test_a_mistake_with_pictures_is_one_line_and_exit_code_2(capsys, tmp_path, flags, message):
    model = str(write_checkpoint(tmp_path / "told", n_class=4))
    flags = [flag.format(model=model) for flag in flags]
    assert main(["decode", "--model", model, "--max-new-tokens", "2", *flags]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert not out


def test_out_is_of_pictures_and_sounds(capsys):
    assert main([*DECODE, "--out", "x.png"]) == 2
    assert "--out is of pictures" in capsys.readouterr().err


def test_sounds_are_written_one_after_the_other_and_their_figures_printed(capsys, tmp_path):
    model, out = str(write_sounds(tmp_path / "told", n_class=3)), tmp_path / "sounds.wav"
    flags = ["--model", model, "--class", "bell", "--seconds", "0.05", "--out", str(out)]
    table = said(capsys, "compare", *flags, "--preset", "sample", "--preset", "greedy")
    lanes = [row.split("  ")[0] for row in table.splitlines()[1:]]
    assert lanes == ["sample", "greedy", "real sounds"]
    samples, rate = soundfile.read(out)
    assert len(samples) == 3 * 400 + 2 * rate // 4
    table = said(capsys, "decode", *flags, "--strategy", "greedy").splitlines()
    assert "bits_per_sample" in table[0]
    assert np.array_equal(soundfile.read(out)[0], samples[-400:])


def test_sounds_continue_a_file_and_speak_a_text(capsys, tmp_path):
    model, file = str(write_sounds(tmp_path / "speaks", alphabet="four")), tmp_path / "x.flac"
    soundfile.write(file, sounds()[0], 8000)
    flags = ["decode", "--model", model, "--sound", str(file), "--keep-seconds", "0.01",
             "--seconds", "0.05", "--json"]  # fmt: skip
    told = Trace.from_json(said(capsys, *flags, "--say", "four"))
    assert (len(told.prompt), len(told.steps)) == (81, 400)
    assert Trace.from_json(said(capsys, *flags)).tokens != told.tokens


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class", "horn"], "no class 'horn'"),
        (["--regex", "a"], "regex is not for sounds"),
        (["--keep-seconds", "1"], "Name one: --sound FILE"),
        (["--sound", "nowhere.wav"], "There is no file"),
        (["--seconds", "60"], "the length in seconds"),
        (["--seconds", "1", "--max-new-tokens", "8"], "Leave one out"),
        (["--picture", "x.png"], "--picture means nothing"),
        (["--out", "x.png"], "not with '.png'"),
        (["--prompt", "four"], "not with the text"),
    ],
)
def test_a_mistake_with_sounds_is_one_line_and_exit_code_2(capsys, tmp_path, flags, message):
    model = str(write_sounds(tmp_path / "told", n_class=3))
    assert main(["decode", "--model", model, *flags]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert not out
    flags = ["compare", "--model", MODEL, "--preset", "sample"]
    assert main(flags) == 2
    assert "has no preset 'sample'" in capsys.readouterr().err
