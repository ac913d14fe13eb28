"""Completion and likelihood on the Image page: what they compute, say and refuse."""

import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from playground.checkpoints import read_config
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.errors import ConfigError
from playground.evaluation.bits_per_dim import bits_of_pictures, percentiles_of
from playground.models.conditioned import as_drawn
from playground.registry import available
from playground.traces import metrics
from playground.ui import image_completion, resources
from playground.ui import image_completion_run as completion
from playground.ui import image_likelihood_data as likelihood
from playground.ui import likelihood_charts as charts
from playground.ui.image_completion_run import Plan
from playground.ui.image_setting import ImageSetting
from playground.ui.picture_input import PictureChoice, examples_of
from tests.helpers import ROOT, shipped_folders
from tests.picture_checkpoints import TOKENIZER, examples, write_checkpoint

IMAGE = str(ROOT / "pages" / "2_Image.py")
SIZE = TOKENIZER.size
ROW = TOKENIZER.width


def setting_of(name: str, label: int | None = None, guidance: float = 1.0, **lane) -> ImageSetting:
    loaded = resources.load_model(available("image")[name])
    model = as_drawn(loaded.model, loaded.tokenizer.bos_token, label, guidance)
    return ImageSetting(loaded, model, label, guidance, Lane(**lane))


def picture(index: int = 4) -> PictureChoice:
    return PictureChoice(examples()[index], "a test", label=index % 4)


def complete(setting: ImageSetting, choice: PictureChoice, plan: Plan) -> completion.Outcome:
    outcome = completion.begin(setting, choice, plan)
    for _ in outcome.run:
        pass
    return outcome


def image_page(**query: str) -> AppTest:
    page = AppTest.from_file(IMAGE, default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def told(page: AppTest) -> str:
    shown = [*page.error, *page.warning, *page.info, *page.caption, *page.markdown]
    return re.sub(r"\\(\W|_)", r"\1", " ".join(e.value for e in shown))


def run_to_end(page: AppTest, button: str = "completion_start") -> completion.Outcome:
    page.button(key=button).click().run()
    for _ in range(300):
        if page.session_state["_completion"].pace == "still":
            break
        page.run()
    assert not page.exception
    return page.session_state["_completion"].outcome


# -- completion ------------------------------------------------------------------------------------


def test_what_is_given_stays_and_every_completion_is_a_whole_picture(house):
    outcome = complete(setting_of("animals", 2), picture(), Plan(3 * ROW, 4, 0))
    given = TOKENIZER.encode(examples()[4])[: 3 * ROW]
    pixels, known = completion.pictures_of(outcome, outcome.traces())
    for trace, drawn, mask in zip(outcome.traces(), pixels, known, strict=True):
        assert trace.tokens[1:][: 3 * ROW] == tuple(given)
        assert len(trace.tokens) == SIZE + 1
        assert np.array_equal(drawn[:3], TOKENIZER.decode(given)[:3])
        assert (mask == 1).all()
    assert len({trace.tokens for trace in outcome.traces()}) == 4


def test_a_completion_is_the_same_alone_and_beside_others(house):
    setting = setting_of("animals", 1, guidance=2.0, seed=5)
    eight = complete(setting, picture(), Plan(2 * ROW, 8, 0)).traces()
    two = complete(setting, picture(), Plan(2 * ROW, 2, 0)).traces()
    assert [t.tokens for t in two] == [t.tokens for t in eight[:2]]
    prompt = (TOKENIZER.bos_token, *TOKENIZER.encode(examples()[4])[: 2 * ROW])
    alone = generate_trace(
        setting.model, "animals", prompt, replace(setting.lane, sample=6),
        max_new_tokens=SIZE - 2 * ROW,
    )  # fmt: skip
    assert alone.tokens == eight[6].tokens


def test_other_noise_draws_others_of_the_same_seed(house):
    setting = setting_of("animals")
    first = complete(setting, picture(), Plan(ROW, 16, 0)).traces()
    other = complete(setting, picture(), Plan(ROW, 16, 1)).traces()
    assert not {t.tokens for t in first} & {t.tokens for t in other}
    assert {t.seed for t in first + other} == {0}


def test_bits_of_a_completion_are_those_of_one_pass_over_it(house):
    setting = setting_of("animals", 3)
    kept = 2 * ROW + 3
    outcome = complete(setting, picture(), Plan(kept, 3, 0))
    whole = torch.tensor([t.tokens for t in outcome.traces()])
    logprobs = setting.model.forward(whole[:, :-1]).double().log_softmax(-1)
    nats = -logprobs.gather(2, whole[:, 1:, None])[:, kept:, 0]
    for trace, own in zip(outcome.traces(), nats, strict=True):
        assert metrics.bits_per_token(trace.steps) == pytest.approx(
            own.mean().item() / math.log(2), abs=1e-4
        )
    original = torch.tensor([[TOKENIZER.bos_token, *TOKENIZER.encode(examples()[4])]])
    logprobs = setting.model.forward(original[:, :-1]).double().log_softmax(-1)
    rest = -logprobs.gather(2, original[:, 1:, None])[0, kept:, 0].mean().item() / math.log(2)
    assert outcome.rest_bits == pytest.approx(rest, abs=1e-4)


def test_disagreement_is_the_standard_deviation_and_nothing_where_all_agree():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    white[0, 0] = 0
    found = completion.disagreement([black, white, black, white])
    assert found.tolist() == [[0, 127.5], [127.5, 127.5]]


def test_too_much_at_once_is_refused_before_any_work(house, monkeypatch):
    monkeypatch.setattr(completion, "MAX_VALUES", 100)
    setting = setting_of("animals")
    with pytest.raises(ConfigError, match=r"5 completions of 42 values each are 210; at most 100"):
        completion.begin(setting, picture(), Plan(0, 5, 0))
    assert completion.begin(setting, picture(), Plan(22, 5, 0)).plan.count == 5


def test_the_page_completes_and_tells_the_original_beside(house):
    page = image_page(model="animals", do="Complete", completion_count="3", completion_rows="4")
    outcome = run_to_end(page)
    assert outcome.plan == Plan(4 * ROW, 3, 0)
    assert f"Completed **{2 * ROW} of {2 * ROW} values**" in told(page)
    assert f"own rest: **{outcome.rest_bits:.3f} bits**" in told(page)
    pixels, _ = completion.pictures_of(outcome, outcome.traces())
    sheet = Image.open(io.BytesIO(image_completion.sheet_png(outcome, pixels)))
    assert sheet.format == "PNG"
    scale = image_completion.SHEET // ROW
    assert sheet.size == (scale * (4 * (ROW + 1) + 1), scale * (TOKENIZER.height + 2))


def test_other_noise_begins_again_and_stands_in_the_field(house):
    page = image_page(model="plain", do="Complete", completion_count="2")
    first = run_to_end(page)
    other = run_to_end(page, "completion_other")
    assert page.number_input(key="completion_noise").value == other.plan.noise == 1
    assert [t.tokens for t in other.traces()] != [t.tokens for t in first.traces()]
    page.number_input(key="completion_noise").set_value(0)
    again = run_to_end(page)
    assert [t.tokens for t in again.traces()] == [t.tokens for t in first.traces()]


def test_nothing_is_decided_between_ticks_and_stop_keeps_what_is_there(house, monkeypatch):
    monkeypatch.setattr(completion, "TICK_S", 0.0)
    monkeypatch.setattr(completion, "FIRST_TICK_S", 0.0)
    page = image_page(model="animals", do="Complete", completion_count="2", completion_rows="1")
    page.button(key="completion_start").click().run()
    outcome = page.session_state["_completion"].outcome
    made = outcome.made
    assert 0 < made < SIZE - ROW
    page.button(key="completion_stop").click().run()
    page.run()
    assert page.session_state["_completion"].outcome.made == made
    assert [len(t.steps) for t in outcome.traces()] == [made, made]
    assert not page.exception


def test_a_change_of_settings_is_told_and_keeps_what_is_there(house):
    page = image_page(model="animals", do="Complete", completion_count="2", completion_rows="5")
    outcome = run_to_end(page)
    assert "Settings have changed" not in told(page)
    page.slider(key="temperature").set_value(0.5).run()
    assert "Settings have changed" in told(page)
    assert page.session_state["_completion"].outcome is outcome


def test_a_part_of_the_canvas_can_be_kept_no_further_than_it_goes(house):
    page = image_page(model="animals")
    for _ in range(ROW + 3):
        page.button(key="step").click().run()
    on_canvas = page.session_state["_image"].stepper.tokens[1:]
    page.get_by_key("do").set_value("Complete").run()
    page.get_by_key("picture_source").set_value("From the canvas").run()
    page.get_by_key("completion_keep").set_value("its first pixels").run()
    assert page.slider(key="completion_pixels").max == ROW + 3
    outcome = run_to_end(page)
    assert outcome.plan.kept == ROW + 3
    assert outcome.rest_bits is None
    for trace in outcome.traces():
        assert trace.tokens[1 : ROW + 4] == on_canvas


def test_links_with_nonsense_open_with_a_note(house):
    page = image_page(
        model="animals", do="Complete", completion_rows="999", completion_count="-1",
        completion_noise="many", picture_source="Telepathy", picture_example="0",
    )  # fmt: skip
    for text in ("completion_noise", "Telepathy"):
        assert text in told(page)
    assert page.slider(key="completion_count").value == 8


# -- likelihood ------------------------------------------------------------------------------------


def test_bits_are_those_of_forward_told_each_class(house):
    setting, choice = setting_of("animals"), picture()
    found = likelihood.judge(setting, choice, 0)
    tokens = torch.tensor([TOKENIZER.encode(choice.pixels)])
    model = setting.loaded.model
    each = [
        bits_of_pictures(model, tokens, TOKENIZER.bos_token, torch.tensor([label])).item()
        for label in range(5)  # the last one stands for no class
    ]
    assert found.by_class == pytest.approx(each[:4], abs=1e-5)
    assert found.bits == pytest.approx(each[0], abs=1e-5)  # picture 4 is a cat, which is told
    weights = 2.0 ** -(SIZE * (np.array(each[:4]) - min(each[:4])))
    assert found.posterior == pytest.approx(weights / weights.sum(), abs=1e-4)
    untold = likelihood.judge(setting, replace(choice, label=None), 0)
    assert untold.told.label is None
    assert untold.bits == pytest.approx(each[4], abs=1e-5)
    sidebar = likelihood.judge(setting_of("animals", 3), choice, 0)
    assert sidebar.bits == pytest.approx(each[3], abs=1e-5)


def test_an_empty_picture_is_judged_and_ranked_beside(house):
    setting, choice = setting_of("plain"), picture()
    many = torch.tensor([TOKENIZER.encode(p) for p in examples()])
    bits = bits_of_pictures(setting.loaded.model, many, TOKENIZER.bos_token)
    setting.loaded.info["test_bits_percentiles"] = percentiles_of(bits)
    found = likelihood.judge(setting, choice, 0)
    blank = torch.zeros(1, SIZE, dtype=torch.int64)
    expected = bits_of_pictures(setting.loaded.model, blank, TOKENIZER.bos_token).item()
    assert found.blank == pytest.approx(expected, abs=1e-5)
    assert found.names == ()
    least = likelihood.judge(setting, picture(int(bits.argmin())), 0)
    most = likelihood.judge(setting, picture(int(bits.argmax())), 0)
    assert least.rank == pytest.approx(1, abs=0.01)
    assert most.rank == pytest.approx(0, abs=0.01)


def test_of_a_part_only_the_part_is_judged(house):
    setting, choice = setting_of("animals"), picture()
    whole = likelihood.judge(setting, choice, 0)
    part = likelihood.judge(setting, replace(choice, decided=20), 0)
    assert part.surprisal == pytest.approx(whole.surprisal[:20], abs=1e-4)
    assert part.blank is None
    assert part.rank is None


def test_rows_of_the_charts_go_from_the_likeliest_class_on():
    rows = charts.class_rows(["a", "b", "b"], [0.5, 0.4, 0.6], [0.1, 0.9, 0.0], true=0)
    assert [row["class"] for row in rows] == ["b", "a", "b #2"]
    assert [row["is"] for row in rows] == ["the model's answer", "another class", "another class"]
    assert rows[1]["true"]
    assert [row["says"] for row in rows] == ["90.0 %", "10.0 %", "< 0.1 %"]
    for make in (charts.bits_by_class_chart, charts.posterior_chart, charts.models_chart):
        assert "data" not in charts.spec_of(make)


def test_the_page_tells_class_rank_and_the_other_models(house):
    page = image_page(model="animals", do="How likely?", picture_example="2 · dog")
    assert page.metric[0].value.endswith(" bits")
    assert "told “dog”, which it is" in told(page)
    assert "As a classifier the model says" in told(page)
    assert "Likely is not good" in told(page)
    page.session_state["likelihood_others"] = True
    page.run()
    assert not page.exception
    table = page.dataframe[0].value
    assert sorted(table["model"]) == ["animals", "plain"]
    assert dict(zip(table["model"], table["told"], strict=True)) == {
        "animals": "told “dog”", "plain": "told no class",
    }  # fmt: skip


def test_a_model_of_other_tokens_is_no_peer(house):
    write_checkpoint(house / "runs" / "more", n_class=4)
    setting = setting_of("animals")
    assert sorted(likelihood.others_of(setting)) == ["more", "plain"]
    config = house / "runs" / "more" / "config.json"
    config.write_text(config.read_text().replace('"type": "image"', '"type": "image", "x": 1'))
    assert likelihood.others_of(setting) == ["plain"]


def test_a_model_that_cannot_be_read_is_told_and_the_others_are_shown(house):
    (house / "runs" / "plain" / "model.safetensors").write_bytes(b"nonsense")
    found = likelihood.judge_by(setting_of("animals"), picture(), "plain")
    assert found.problem
    page = image_page(model="animals", do="How likely?")
    page.session_state["likelihood_others"] = True
    page.run()
    assert not page.exception
    assert "plain: The checkpoint" in told(page)
    assert list(page.dataframe[0].value["model"]) == ["animals"]


@pytest.mark.parametrize("folder", shipped_folders("image"), ids=lambda folder: folder.name)
def test_every_shipped_model_completes_and_judges_its_own_examples(folder):
    card = available("image").get(folder.name)
    if card is None:  # it enlarges, and has a section of its own
        assert read_config(folder)["family"] == "super-resolution"
        return
    setting = setting_of(folder.name)
    tokenizer = setting.loaded.tokenizer
    shown = examples_of(folder, tokenizer)
    found = [
        likelihood.judge(setting, PictureChoice(pixels, "", label=label), 0)
        for pixels, label in zip(shown.pixels[:10], shown.labels[:10], strict=True)
    ]
    assert np.mean([f.bits for f in found]) < 0.75 * math.log2(tokenizer.levels)
    assert all(0 <= f.rank <= 1 for f in found)
    kept = tokenizer.size - tokenizer.width * tokenizer.channels
    outcome = complete(setting, PictureChoice(shown.pixels[0], ""), Plan(kept, 2, 0))
    assert all(len(t.tokens) == tokenizer.size + 1 for t in outcome.traces())


def test_the_shipped_class_conditional_model_names_most_of_its_examples():
    setting = setting_of("fashion-gated-pixelcnn")
    shown = examples_of(setting.loaded.card.folder, setting.loaded.tokenizer)
    found = [
        likelihood.judge(setting, PictureChoice(pixels, ""), 0).by_class.argmin() == label
        for pixels, label in zip(shown.pixels[:10], shown.labels[:10], strict=True)
    ]
    assert sum(found) >= 7
    assert likelihood.judge(setting, PictureChoice(shown.pixels[0], ""), 0).blank_rank == 1.0
