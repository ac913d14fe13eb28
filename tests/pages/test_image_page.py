"""The Image page: every setting, every processor, every bad link, without a browser."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.decoding.offered import PICTURES
from playground.decoding.processors import PROCESSORS
from playground.registry import available
from playground.ui.kept_link import pack_tokens
from playground.ui.kept_state import Record
from playground.ui.lane_controls import key_of
from tests.helpers import ROOT
from tests.picture_checkpoints import CLASSES, TOKENIZER

IMAGE = str(ROOT / "pages" / "2_Image.py")
SIZE = TOKENIZER.size  # 42: six rows of seven pixels


def image_page(**query: str) -> AppTest:
    page = AppTest.from_file(IMAGE, default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def stepper_of(page: AppTest):
    return page.session_state["_image"].stepper


def press(page: AppTest, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.button(key=key).click().run()
        assert not page.exception


def run_to_end(page: AppTest) -> tuple[int, ...]:
    press(page, "run")
    for _ in range(200):
        if page.session_state["_image"].pace == "still":
            break
        page.run()
    assert not page.exception
    assert stepper_of(page).has_ended
    return stepper_of(page).tokens


def messages(page: AppTest) -> str:
    shown = " ".join(e.value for e in [*page.error, *page.warning, *page.info])
    return re.sub(r"\\(\W|_)", r"\1", shown)


@pytest.mark.parametrize("name", list(available("image")))
def test_every_model_that_is_here_steps_a_value_and_a_row(name):
    page = image_page(model=name)
    press(page, "step", 2)
    assert len(stepper_of(page).branch.trace.steps) == 2
    press(page, "step_row")
    tokenizer = stepper_of(page).tokenizer
    assert len(stepper_of(page).branch.trace.steps) == tokenizer.width * tokenizer.channels


def test_a_row_ends_at_its_end_wherever_it_was_begun(house):
    page = image_page(model="animals")
    press(page, "step", 3)
    press(page, "step_row")
    assert stepper_of(page).cursor == 1 + 7
    press(page, "step_row", 5)
    assert stepper_of(page).has_ended
    assert page.button(key="step").disabled
    assert page.button(key="step_row").disabled


def test_back_stays_in_the_branch_and_reset_forgets_it(house):
    page = image_page(model="animals")
    press(page, "step", 3)
    press(page, "back")
    assert stepper_of(page).cursor == 3
    assert len(stepper_of(page).tokens) == 4
    press(page, "reset")
    assert stepper_of(page).branch.trace.steps == ()


def test_a_finished_picture_is_told_in_bits_per_dimension(house):
    page = image_page(model="animals", seed="2")
    run_to_end(page)
    assert page.subheader[0].value == "The picture is complete"
    told = {metric.label: metric.value for metric in page.metric}
    steps = stepper_of(page).branch.trace.steps
    bits = sum(step.surprisal for step in steps)
    assert told == {"bits per dimension": f"{bits / SIZE:.3f}", "bits": f"{bits:.1f}"}
    press(page, "run")  # nothing is left to run
    press(page, "play")
    assert stepper_of(page).branch.trace.steps == steps


def test_the_link_sets_everything_and_gives_the_same_picture(house):
    query = {"model": "animals", "class": "dog", "guidance": "2.5", "strategy": "sample",
             "temperature": "0.9", "top_k": "4", "min_p": "0.05", "seed": "11"}  # fmt: skip
    first, second = image_page(**query), image_page(**query)
    assert run_to_end(first) == run_to_end(second)
    trace = stepper_of(first).branch.trace
    assert (trace.model, trace.seed, trace.settings["strategy"]) == ("animals", 11, "sample")
    names = [name for name, _ in trace.settings["processors"]]
    assert names == ["temperature", "top_k", "min_p"]
    for other in ({"class": "cat"}, {"guidance": "1"}, {"seed": "12"}, {"class": "any"}):
        assert run_to_end(image_page(**query | other)) != run_to_end(first)


def test_guidance_is_only_offered_with_a_class(house):
    page = image_page(model="animals")
    assert list(page.selectbox(key="class").options) == ["any", *CLASSES]
    assert not [s for s in page.slider if s.key == "guidance"]
    page.selectbox(key="class").set_value("bird").run()
    assert page.slider(key="guidance").value == 1.0
    page.selectbox(key="model").set_value("plain").run()
    assert not page.exception
    assert not [s for s in page.selectbox if s.key == "class"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "gpt-9"}, "names the model “gpt-9”"),
        ({"class": "<b>unicorn</b>"}, "names the class"),
        ({"class": "dog", "guidance": "99"}, "sets guidance"),
        ({"class": "dog", "guidance": "nan"}, "sets guidance"),
        ({"seed": "-4"}, "sets seed"),
        ({"top_k": "99999"}, "sets top_k"),
        ({"strategy": "beam_search"}, "names the strategy"),
        ({"strategy": "contrastive_search"}, "names the strategy"),
        ({"overlay": "x-ray"}, "names the overlay"),
        ({"zoom": "huge"}, "names the zoom"),
        ({"do": "dance"}, "names the do"),
        ({"regex": "[0-9]+"}, "sets regex, which does nothing here"),
        ({"min_length": "5"}, "sets min_length, which does nothing here"),
        ({"kept": "zzz"}, "cannot be read"),
        ({"kept": "x" * 100_000}, "cannot be read"),
        ({"kept": "abcdef.3.AAAA"}, "another kind of picture"),
    ],
)
def test_a_link_that_means_nothing_says_so_and_the_page_stays(house, query, says):
    page = image_page(**{"model": "animals"} | query)
    assert says in messages(page)
    press(page, "step")
    assert len(stepper_of(page).branch.trace.steps) == 1
    assert says not in messages(page)
    assert "kept" not in page.query_params


def test_what_a_link_keeps_comes_back_and_the_rest_is_drawn_by_the_same_noise(house):
    whole = run_to_end(image_page(model="animals", seed="3"))
    page = image_page(model="animals", seed="3", kept=pack_tokens(whole[1:11], TOKENIZER))
    assert stepper_of(page).tokens == whole[:11]
    assert run_to_end(page) == whole


def test_the_link_can_be_told_to_keep_the_pixels_and_to_forget_them(house):
    page = image_page(model="animals", seed="3")
    page.session_state["downloads_open"] = True
    page.run()
    press(page, "step_row")
    row = stepper_of(page).tokens
    press(page, "keep_all")
    assert page.query_params["kept"] == pack_tokens(row[1:], TOKENIZER)
    assert stepper_of(page).branch.trace.prompt == row[:1]  # nothing began afresh
    page.selectbox(key="class").set_value("fish").run()
    assert stepper_of(page).branch.trace.prompt == row  # another class goes on from there
    press(page, "step")
    press(page, "reset")
    assert stepper_of(page).tokens == row
    press(page, "begin_empty")
    assert stepper_of(page).tokens == row[:1]
    assert "kept" not in page.query_params


def test_another_level_of_an_earlier_pixel_leaves_the_old_picture_as_a_branch(house):
    page = image_page(model="animals", seed="5")
    before = run_to_end(page)
    stepper_of(page).go_to(9)
    page.slider(key="temperature").set_value(2.0).run()
    after = run_to_end(page)
    stepper = stepper_of(page)
    assert after != before
    assert after[:9] == before[:9]
    assert [branch.trace.tokens for branch in stepper.branches.values()] == [before, after]


def test_the_link_follows_a_branch_that_begins_by_going_back_and_on(house):
    page = image_page(model="animals", seed="5")
    drawn = [run_to_end(page)]
    for at, temperature in ((9, 2.0), (5, 0.3)):
        stepper_of(page).go_to(at)
        page.slider(key="temperature").set_value(temperature).run()
        drawn.append(run_to_end(page))
        forked_at = stepper_of(page).branch.forked_at
        kept = page.query_params["kept"]
        assert kept == pack_tokens(drawn[-1][1:forked_at], TOKENIZER)
        link = {"model": "animals", "seed": "5", "temperature": str(temperature), "kept": kept}
        assert run_to_end(image_page(**link)) == drawn[-1]
    assert len(set(drawn)) == 3


def test_the_link_keeps_what_was_drawn_under_other_settings(house):
    page = image_page(model="animals", seed="5")
    press(page, "step_row", 2)
    begun = stepper_of(page).tokens
    page.slider(key="temperature").set_value(2.0).run()
    drawn = run_to_end(page)
    assert drawn[: len(begun)] == begun
    kept = page.query_params["kept"]
    assert kept == pack_tokens(begun[1:], TOKENIZER)
    link = {"model": "animals", "seed": "5", "temperature": "2.0", "kept": kept}
    assert run_to_end(image_page(**link)) == drawn
    assert run_to_end(image_page(**link | {"kept": ""})) != drawn


OFFERED = [name for name in PICTURES.processors if name not in ("temperature", "top_k", "top_p")]


@pytest.mark.parametrize("name", OFFERED)
def test_every_processor_that_is_offered_works_on_pictures(house, name):
    kind = PROCESSORS[name]
    page = image_page(model="animals", **{key_of(name, kind.parameters[0]): str(kind.start)})
    assert page.multiselect(key="more").value == [name]
    assert not page.text_area  # what is text is asked for text only
    press(page, "step_row")
    steps = stepper_of(page).branch.trace.steps
    assert steps[-1].stages[1].startswith(name)


def test_what_needs_text_or_an_end_is_not_offered(house):
    page = image_page(model="animals")
    assert [o.split(" ")[0] for o in page.multiselect(key="more").options] == OFFERED
    assert set(page.pills[0].options) == {"sample", "greedy"}


@pytest.mark.parametrize("overlay", ["none", "surprisal", "entropy", "gradient", "receptive field"])
@pytest.mark.parametrize("model", ["animals", "plain"])
def test_every_map_is_drawn_at_the_start_in_the_middle_and_at_the_end(house, model, overlay):
    page = image_page(model=model, overlay=overlay)
    press(page, "step_row", 2)
    run_to_end(page)
    press(page, "back")
    says = " ".join(c.value for c in page.caption)
    assert ("blind spot of PixelCNN" in says) == (model == "plain" and overlay == "receptive field")
    assert ("no blind spot" in says) == (model == "animals" and overlay == "receptive field")


def test_attention_is_offered_where_there_is_some(house):
    options = image_page(model="animals").segmented_control(key="overlay").options
    assert "attention" not in options
    assert "gradient" in options


def test_attention_of_a_transformer_is_drawn_by_head():
    page = image_page(model="digits-transformer-raster", overlay="attention")
    press(page, "step", 2)
    heads = page.selectbox(key="head")
    heads.set_value(heads.options[-1]).run()
    assert not page.exception
    page.selectbox(key="model").set_value("digits-transformer-spiral").run()
    assert not page.exception


@pytest.mark.parametrize(
    "mode",
    ["Complete", "How likely?", "Super-resolution", "Order of pixels", "Compress", "Step through"],
)
def test_every_thing_to_do_opens_by_link_and_comes_back(house, mode):
    page = image_page(model="animals", do=mode)
    page.segmented_control(key="do").set_value("Step through").run()
    assert not page.exception
    press(page, "step")


def test_a_damaged_model_is_a_message(house):
    (house / "runs" / "animals" / "model.safetensors").write_bytes(b"nothing")
    page = image_page(model="animals")
    assert "'animals' cannot be used" in messages(page)


def test_without_models_the_page_says_how_to_train_one(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    assert "train.image" in messages(image_page())


def test_a_record_that_grows_is_the_one_that_is_read_at_once(house):
    page = image_page(model="animals", seed="1")
    run_to_end(page)
    steps = list(stepper_of(page).branch.trace.steps)
    growing = Record(SIZE)
    for end in (0, 1, 5, 5, SIZE):
        growing.update(steps[:end])
        assert growing.surprisal.tolist() == [step.surprisal for step in steps[:end]]
        assert growing.entropy.tolist() == [step.entropy_bits for step in steps[:end]]
        assert growing.rank.tolist() == [step.rank for step in steps[:end]]
    page = image_page(model="animals", seed="2")
    run_to_end(page)
    other = list(stepper_of(page).branch.trace.steps)  # another branch of the same name
    assert growing.update(other).surprisal.tolist() == [step.surprisal for step in other]
