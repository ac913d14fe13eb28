"""The Audio page: every setting, every section, every bad link, without a browser."""

import io
import re

import numpy as np
import pytest
import soundfile
import torch
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.checkpoints import load, save
from playground.data.sounds import read_examples
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.strategies import Sample
from playground.evaluation.bits_per_sample import surprisal_of_sound
from playground.registry import available
from playground.ui.audio_link import pack_forced, unpack_forced
from playground.ui.kept_link import pack_tokens
from tests.helpers import ROOT
from tests.sound_checkpoints import ALPHABET, CLASSES, TOKENIZER, sound_model, write_checkpoint

AUDIO = str(ROOT / "pages" / "3_Audio.py")
QUARTER = 2000  # samples: the shortest duration of the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of three classes, one that is told words, and one that is told nothing."""
    folder = tmp_path_factory.mktemp("sounds")
    write_checkpoint(folder / "runs" / "drums", n_class=3)
    write_checkpoint(folder / "runs" / "speaker", alphabet=ALPHABET)
    write_checkpoint(folder / "runs" / "tiers", "samplernn")
    sizes = {"vocab_size": 257, "context_length": 64, "n_layer": 1, "n_head": 2, "n_embd": 16}
    write_checkpoint(folder / "runs" / "reader", "transformer", **sizes)
    return folder


@pytest.fixture
def sounds(folder, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", folder)
    monkeypatch.setattr(registry, "MODELS", ())
    return folder


def audio_page(**query: str) -> AppTest:
    page = AppTest.from_file(AUDIO, default_timeout=120)
    for key, value in {"model": "drums", "seconds": "0.25", **query}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def session_of(page: AppTest):
    return page.session_state["_audio"]


def stepper_of(page: AppTest):
    return session_of(page).stepper


def press(page: AppTest, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.button(key=key).click().run()
        assert not page.exception


def settle(page: AppTest) -> tuple[int, ...]:
    """Let what plays or runs come to its end; return the tokens."""
    for _ in range(300):
        if session_of(page).pace == "still":
            break
        page.run()
    assert not page.exception
    assert session_of(page).pace == "still"
    return stepper_of(page).tokens


def run_to_end(page: AppTest) -> tuple[int, ...]:
    press(page, "run")
    settle(page)
    assert stepper_of(page).has_ended
    return stepper_of(page).tokens


def example(folder, index: int) -> list[int]:
    """Return the tokens of a held-out sound of a checkpoint."""
    return TOKENIZER.encode(read_examples(folder / "runs" / "drums", TOKENIZER)[index])


def finish(page: AppTest, section: str):
    """Let what grows side by side come to its end; return it."""
    session = page.session_state[f"_voices_{section}"]
    for _ in range(100):
        if session.pace == "still":
            break
        page.run()
    assert not page.exception
    assert session.voices.is_done
    return session.voices


def link_of(page: AppTest) -> dict[str, str]:
    return {key: page.query_params[key] for key in page.query_params}


def messages(page: AppTest) -> str:
    shown = " ".join(e.value for e in [*page.error, *page.warning, *page.info])
    return re.sub(r"\\(\W|_)", r"\1", shown)


@pytest.mark.parametrize("name", list(available("audio")))
def test_every_model_that_is_here_steps_a_sample_and_ten_milliseconds(name):
    page = audio_page(model=name)
    press(page, "step")
    press(page, "step_burst")
    assert len(stepper_of(page).branch.trace.steps) == 81


@pytest.mark.parametrize("model", ["drums", "speaker", "tiers"])
def test_a_sound_grows_by_a_sample_by_ten_milliseconds_and_to_its_end(sounds, model):
    page = audio_page(model=model)
    press(page, "step", 2)
    assert stepper_of(page).cursor == 3
    press(page, "step_burst")
    assert stepper_of(page).cursor == 3 + 80
    press(page, "back")
    assert stepper_of(page).cursor == 82
    assert len(stepper_of(page).tokens) == 83
    tokens = run_to_end(page)
    assert len(tokens) == 1 + QUARTER
    assert TOKENIZER.bos_token not in tokens[1:]
    assert page.subheader[0].value == "The sound is complete"
    told = {metric.label: metric.value for metric in page.metric}
    steps = stepper_of(page).branch.trace.steps
    bits = sum(step.surprisal for step in steps)
    assert told == {"bits per sample": f"{bits / QUARTER:.3f}", "bits": f"{bits:,.0f}"}


def test_steps_and_bursts_give_the_same_sound_as_a_run(sounds):
    whole = run_to_end(audio_page(seed="4"))
    page = audio_page(seed="4")
    press(page, "step", 3)
    press(page, "step_burst", 2)
    press(page, "play")
    page.run()
    assert stepper_of(page).tokens == whole[: len(stepper_of(page).tokens)]
    assert len(stepper_of(page).tokens) > 1 + 163


def test_play_decides_a_fifth_of_a_second_in_a_second(sounds):
    page = audio_page()
    press(page, "play")  # a tick comes at once, three more in the same second
    assert stepper_of(page).cursor - 1 == 1600 // 4
    press(page, "play")
    assert session_of(page).pace == "still"


def test_what_is_heard_is_the_sound(sounds):
    page = audio_page(seed="2")
    press(page, "step_burst")
    heard, rate = soundfile.read(io.BytesIO(session_of(page).heard.wav))
    assert rate == TOKENIZER.sample_rate
    assert np.abs(heard - TOKENIZER.decode(stepper_of(page).tokens[1:])).max() < 1e-4
    press(page, "reset")
    assert stepper_of(page).tokens == (TOKENIZER.bos_token,)
    assert session_of(page).heard.wav == b""


def test_the_link_gives_the_same_sound_with_what_was_chosen_by_hand(sounds):
    page = audio_page(seed="7", temperature="0.8", **{"class": "bell", "guidance": "1.5"})
    press(page, "step_burst")
    first = stepper_of(page).tokens
    stepper_of(page).go_to(30)
    other = (first[30] + 100) % 256
    session_of(page).pace = "still"
    stepper_of(page).take(other, Lane(Sample(), (Processor("temperature", 0.8),), seed=7))
    page.run()
    press(page, "step_burst")
    drawn = stepper_of(page).tokens
    assert drawn[30] == other
    assert len(drawn) == 31 + 80
    stepper_of(page).go_to(50)
    page.run()
    link = link_of(page)
    assert link["samples"] == "110"
    assert link["at"] == "49"
    assert link["forced"] == pack_forced({30: other}, TOKENIZER)
    assert "kept" not in link
    again = audio_page(**link)
    assert settle(again) == drawn
    again.run()
    assert stepper_of(again).cursor == 50
    assert link_of(again) == link
    for key in ("seed", "forced"):
        assert settle(audio_page(**{k: v for k, v in link.items() if k != key})) != drawn


def test_the_link_keeps_what_other_settings_drew(sounds):
    page = audio_page(seed="3")
    press(page, "step_burst")
    begun = stepper_of(page).tokens
    page.slider(key="temperature").set_value(0.5).run()
    assert page.query_params["kept"] == pack_tokens(begun[1:], TOKENIZER)
    press(page, "step_burst")
    drawn = stepper_of(page).tokens
    assert drawn[:81] == begun
    assert page.query_params["kept"] == pack_tokens(begun[1:], TOKENIZER)
    link = link_of(page) | {"temperature": "0.5"}  # a browser binds it; AppTest does not
    assert settle(audio_page(**link)) == drawn


def test_a_sound_that_no_link_holds_is_told(sounds):
    page = audio_page(seed="3")
    run_to_end(page)
    page.slider(key="temperature").set_value(0.5).run()
    page.session_state["downloads_open"] = True
    page.run()
    assert "The link does not keep this sound" in " ".join(c.value for c in page.caption)
    assert "samples" not in page.query_params


def test_another_class_or_seed_begins_afresh_and_nothing_runs_by_itself(sounds):
    page = audio_page(seed="3", samples="160")
    assert len(settle(page)) == 161
    page.selectbox(key="class").set_value("kick").run()
    assert stepper_of(page).tokens == (TOKENIZER.bos_token,)
    assert session_of(page).pace == "still"


def test_class_and_text_are_told_to_models_that_know_them(sounds):
    page = audio_page()
    assert list(page.selectbox(key="class").options) == ["any", *CLASSES]
    untold = run_to_end(page)
    assert run_to_end(audio_page(**{"class": "kick"})) != untold
    page = audio_page(model="speaker", say="Four")
    assert not [s for s in page.selectbox if s.key == "class"]
    four = run_to_end(page)
    assert run_to_end(audio_page(model="speaker", say="four")) == four
    assert run_to_end(audio_page(model="speaker", say="five")) != four
    assert run_to_end(audio_page(model="speaker", say="four", guidance="3")) != four


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "gpt-9"}, "names the model “gpt-9”"),
        ({"class": "<b>gong</b>"}, "names the class"),
        ({"class": "kick", "guidance": "nan"}, "sets guidance"),
        ({"seconds": "3600"}, "sets seconds"),
        ({"strip": "colour"}, "names the strip"),
        ({"fed_by": "magic"}, "names the fed_by"),
        ({"do": "dance"}, "names the do"),
        ({"regex": "[0-9]+"}, "sets regex, which does nothing here"),
        ({"kept": "x" * 100_000}, "cannot be read"),
        ({"kept": "abcdef.3.AAAA"}, "another kind of sound"),
        ({"forced": "<script>"}, "cannot be read"),
        ({"forced": "abcdef.AAAAAQ"}, "another kind of sound"),
        ({"samples": "-1"}, "sets samples"),
        ({"samples": "9999999999999"}, "sets samples"),
        ({"samples": "2001"}, "sets samples"),
        ({"at": "1e9"}, "sets at"),
    ],
)
def test_a_link_that_means_nothing_says_so_and_the_page_stays(sounds, query, says):
    page = audio_page(**query)
    assert says in messages(page)
    press(page, "step")
    assert len(stepper_of(page).branch.trace.steps) == 1
    assert says not in messages(page)


@pytest.mark.parametrize(
    ("text", "says"), [("fünf", "has ü"), ("12", "has 1 2"), ("a" * 1000, "has 1000 characters")]
)
def test_a_text_that_cannot_be_spoken_is_a_message(sounds, text, says):
    page = audio_page(model="speaker", say=text)
    assert says in messages(page)
    page.text_input(key="say").set_value("four").run()
    press(page, "step")


@pytest.mark.parametrize("fed_by", ["none", "gradient", "receptive field"])
@pytest.mark.parametrize("model", ["drums", "speaker"])
def test_what_fed_a_sample_is_marked_at_the_start_in_the_middle_and_at_the_end(
    sounds, model, fed_by
):
    page = audio_page(model=model, fed_by=fed_by)
    page.session_state["heat_open"] = page.session_state["tree_open"] = True
    page.run()
    press(page, "step_burst", 2)
    run_to_end(page)
    press(page, "back")
    assert session_of(page).read[1].shape == (121, 256)


def test_the_heat_map_tells_what_every_decision_was_made_from(sounds):
    page = audio_page(temperature="0.7")
    page.session_state["heat_open"] = True
    page.run()
    press(page, "step_burst")
    prefix, logprobs = session_of(page).read
    assert prefix == stepper_of(page).tokens
    steps = stepper_of(page).branch.trace.steps
    taken = [row[step.token] for row, step in zip(logprobs, steps, strict=False)]
    assert np.allclose(taken, [step.logprob for step in steps], atol=1e-4)
    assert len(logprobs) == 81


def test_a_transformer_reads_a_window_that_slides_and_its_attention_is_marked(sounds):
    page = audio_page(model="reader", fed_by="attention")
    page.session_state["heat_open"] = True
    page.run()
    press(page, "step_burst")
    _, weights = session_of(page).looked
    assert weights.shape == (81,)
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    logprobs = session_of(page).read[1]
    steps = stepper_of(page).branch.trace.steps
    last = len(logprobs) - 1  # the newest row is of what comes next
    assert 0 < last < 64
    taken = [row[step.token] for row, step in zip(logprobs, steps[-last:], strict=False)]
    assert np.allclose(taken, [step.logprob for step in steps[-last:]], atol=1e-4)
    page.segmented_control(key="do").set_value("How likely?").run()
    assert "hears 64 tokens at once" in " ".join(m.value for m in page.markdown)


def test_a_link_that_runs_can_be_stopped_and_gone_on_with(sounds):
    page = audio_page(samples="1900", seed="6", strategy="sample", top_k="50")
    assert session_of(page).pace == "run"
    press(page, "run")  # stops
    assert session_of(page).pace == "still"
    assert session_of(page).goal is None
    assert len(run_to_end(page)) == 1 + QUARTER
    press(page, "reset")
    assert "samples" not in page.query_params


def test_branches_can_be_heard_and_gone_on_with(sounds):
    page = audio_page()
    page.session_state["branches_open"] = True
    press(page, "step_burst")
    first = stepper_of(page).tokens
    stepper_of(page).go_to(20)
    page.slider(key="temperature").set_value(2.0).run()
    press(page, "step_burst")
    assert len(stepper_of(page).branches) == 2
    page.selectbox(key="branch").set_value("branch 1").run()
    assert not page.exception
    assert stepper_of(page).tokens == first


@pytest.mark.parametrize("processor", ["top_k=5", "min_p=0.1", "typical_p=0.5"])
def test_processors_shape_the_distribution(sounds, processor):
    name, value = processor.split("=")
    page = audio_page(**{name: value})
    press(page, "step_burst")
    steps = stepper_of(page).branch.trace.steps
    assert steps[-1].stages[1].startswith(name)
    assert steps[-1].kept < 256


def test_greedy_and_sampling_grow_side_by_side_and_are_explained(sounds):
    page = audio_page(do="Why greedy is silent", seed="5")
    press(page, "greedy_start")
    voices = finish(page, "greedy")
    greedy, between, sampled = (stepper.tokens for stepper in voices.steppers)
    assert greedy == run_to_end(audio_page(strategy="greedy"))
    assert between == run_to_end(audio_page(seed="5", temperature="0.6"))
    assert sampled == run_to_end(audio_page(seed="5"))
    assert all(step.rank == 1 for step in voices.steps(0))
    said = " ".join(m.value for m in page.markdown)
    assert "Likely is not typical" in said
    page.slider(key="between").set_value(0.3).run()
    assert "Settings have changed" in messages(page)


def test_continuations_go_on_from_what_is_kept_and_differ(sounds):
    page = audio_page(do="Continue a sound", seed="5", continuation_ms="50", continuation_count="3")
    press(page, "continuation_start")
    voices = finish(page, "continuation")
    kept = example(sounds, 0)[:400]
    sounds_made = [stepper.tokens[1:] for stepper in voices.steppers]
    assert all(tokens[:400] == tuple(kept) for tokens in sounds_made)
    assert all(len(tokens) == 400 + QUARTER for tokens in sounds_made)
    assert len(set(sounds_made)) == 3
    assert "own rest" in " ".join(c.value for c in page.caption)
    page = audio_page(seed="5", kept=pack_tokens(kept, TOKENIZER), seconds="0.5")
    tokens = run_to_end(page)[1:]
    assert tokens[: 400 + QUARTER] == sounds_made[0]  # the first is what step by step goes on with


def test_other_noise_gives_other_continuations_and_too_many_are_refused(sounds):
    page = audio_page(do="Continue a sound", continuation_count="1")
    press(page, "continuation_start")
    first = finish(page, "continuation").steppers[0].tokens
    press(page, "continuation_other")
    assert finish(page, "continuation").steppers[0].tokens != first
    page = audio_page(do="Continue a sound", continuation_count="8", seconds="4")
    press(page, "continuation_start")
    assert "at most 100,000 are decided at once" in messages(page)


def test_of_a_shorter_sound_half_is_kept_where_more_was_kept_than_it_has(sounds, caplog):
    page = audio_page(do="Continue a sound")
    page.slider(key="continuation_ms").set_value(150).run()
    page.selectbox(key="sound_example").set_value("2 · snare").run()
    assert not page.exception
    assert page.slider(key="continuation_ms").value == 50  # of 100
    assert "Session State API" not in caplog.text  # Streamlit's warning of a value set twice


def test_an_upload_is_made_to_fit_and_what_is_no_sound_is_told(sounds):
    page = audio_page(do="Continue a sound", sound_source="Upload")
    assert "first 4 seconds are read" in " ".join(c.value for c in page.caption)
    loud = np.stack([np.sin(np.arange(48_000) / 9), np.zeros(48_000)], axis=1)
    file = io.BytesIO()
    soundfile.write(file, loud, 48_000, format="WAV", subtype="FLOAT")
    page.file_uploader(key="sound_file").set_value(("two.wav", file.getvalue(), "audio/wav")).run()
    assert not page.exception
    told = " ".join(c.value for c in page.caption)
    assert "Mixed from 2 channels" in told
    assert "Resampled from 48" in told
    page.file_uploader(key="sound_file").set_value(("x.wav", b"RIFFnonsense", "audio/wav")).run()
    assert "whatever its name says" in messages(page)
    assert not page.exception


@pytest.mark.parametrize("model", ["drums", "speaker", "tiers"])
def test_how_likely_a_sound_is_by_the_chain_rule(sounds, model):
    page = audio_page(do="How likely?", model=model, seed="1")
    told = {metric.label: metric.value for metric in page.metric}
    loaded, tokenizer = load(sounds / "runs" / model)
    tokens = example(sounds, 0)
    condition = {"drums": 0, "speaker": "kick", "tiers": None}[model]  # of the first example
    rows = torch.tensor([[tokenizer.bos_token, *tokens[:-1]]])
    logprobs = loaded.forward(rows, condition)[0].double().log_softmax(-1)
    bits = -logprobs.gather(1, torch.tensor(tokens)[:, None]).mean().item() / np.log(2)
    assert float(told["This sound"].removesuffix(" bits")) == pytest.approx(bits, rel=1e-4)
    assert told["Likelier than … of tests"] == f"{max(0.0, 1 - bits / 10):.0%}"
    headers = [header.value for header in page.subheader]
    assert ("Which class is it?" in headers) == (model == "drums")


def test_the_class_of_a_sound_is_found_by_bayes(sounds):
    page = audio_page(do="How likely?", sound_example="3 · bell")
    said = next(m.value for m in page.markdown if "As a classifier" in m.value)
    loaded, tokenizer = load(sounds / "runs" / "drums")
    tokens = torch.tensor(example(sounds, 2))
    bits = [surprisal_of_sound(loaded, tokens, tokenizer.bos_token, c).sum() for c in range(3)]
    best = int(np.argmin(bits))
    assert f"**{CLASSES[best]}**" in said
    assert ("which is right" in said) == (best == 2)


def test_a_sound_made_step_by_step_can_be_judged(sounds):
    page = audio_page(seed="2")
    press(page, "step_burst")
    steps = stepper_of(page).branch.trace.steps
    page.segmented_control(key="do").set_value("How likely?").run()
    page.segmented_control(key="sound_source").set_value("Step by step").run()
    assert not page.exception
    told = {metric.label: metric.value for metric in page.metric}
    bits = np.mean([step.surprisal for step in steps])
    assert float(told["This sound"].split()[0]) == pytest.approx(bits, abs=2e-3)


MODES = ("Continue a sound", "How likely?", "Why greedy is silent", "Compress", "Step by step")


@pytest.mark.parametrize("mode", MODES)
def test_every_thing_to_do_opens_by_link_and_comes_back(sounds, mode):
    page = audio_page(do=mode)
    page.segmented_control(key="do").set_value("Step by step").run()
    assert not page.exception
    press(page, "step")


def test_a_damaged_model_is_a_message(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    write_checkpoint(tmp_path / "runs" / "drums", n_class=3)
    (tmp_path / "runs" / "drums" / "model.safetensors").write_bytes(b"nothing")
    assert "'drums' cannot be used" in messages(audio_page())


@pytest.mark.parametrize(
    "info", [["classes"], {"classes": 7, "test_bits_percentiles_without_class": [10**400]}]
)
def test_what_a_model_tells_of_itself_may_be_anything(info, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    save(tmp_path / "runs" / "drums", sound_model(n_class=3), TOKENIZER, info=info)
    page = audio_page()
    assert page.selectbox(key="class").options == ["any", "class 0", "class 1", "class 2"]
    press(page, "step_burst")
    page.segmented_control(key="do").set_value("How likely?").run()
    page.segmented_control(key="sound_source").set_value("Step by step").run()
    assert not page.exception
    assert ("101 ascending numbers" in messages(page)) == isinstance(info, dict)


def test_a_sound_goes_on_when_a_longer_one_is_wanted(sounds):
    page = audio_page()
    run_to_end(page)
    page.slider(key="seconds").set_value(0.5).run()
    press(page, "step_burst")
    assert not page.exception
    assert session_of(page).record(0).length == QUARTER + 80


def test_without_models_the_page_says_how_to_train_one(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    assert "train.audio" in messages(audio_page())


def test_forced_samples_come_back_from_a_link():
    forced = {1: 0, 77: 255, 31_999: 128}
    assert unpack_forced(pack_forced(forced, TOKENIZER), TOKENIZER, 32_000) == forced
    assert unpack_forced("", TOKENIZER, 32_000) == {}
