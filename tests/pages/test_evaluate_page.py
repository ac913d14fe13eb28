"""The Evaluate page: what is measured, what is told, and that nothing is computed unasked."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers import ROOT


def page(**query: str | list[str]) -> AppTest:
    shown = AppTest.from_file(str(ROOT / "pages" / "5_Evaluate.py"), default_timeout=60)
    for key, value in query.items():
        shown.query_params[key] = value
    shown.run()
    assert not shown.exception
    return shown


def done(shown: AppTest, key: str):
    """Look again until the job has ended, as the page's own clock does."""
    job = shown.session_state[f"_{key}_job"]
    for _ in range(400):
        if job.going is None:
            break
        shown.run()
        assert not shown.exception
    return job


def messages(shown: AppTest) -> str:
    said = " ".join(e.value for e in [*shown.error, *shown.warning, *shown.info])
    return re.sub(r"\\(\W|_)", r"\1", said)


class TestLikelihood:
    def test_several_models_are_measured_on_the_same_windows(self):
        shown = page(text_models=["kjv-char-ngram", "prose-bpe-draft"], size="2000")
        assert "Press Measure" in messages(shown)
        shown.button(key="evaluate_text_start").click().run()
        job = done(shown, "evaluate_text")
        shown.run()
        assert len(job.found) == job.total
        table = next(d.value for d in shown.dataframe if "bits per character" in d.value)
        assert table["model"].tolist() == ["kjv-char-ngram", "prose-bpe-draft"]
        low, bits, high = (table[c] for c in ("95 % from", "bits per character", "95 % to"))
        assert (low < bits).all()
        assert (bits < high).all()
        assert "the difference is no chance" in messages(shown)

    def test_a_model_that_cannot_read_the_text_is_left_out_and_told(self):
        shown = page(text_models=["kjv-char-ngram", "prose-bpe-draft"], on="your own text")
        shown.text_area(key="evaluate_own").set_value("caf\u00e9 au lait, a cup").run()
        shown.button(key="evaluate_text_start").click().run()
        done(shown, "evaluate_text")
        shown.run()
        assert "kjv-char-ngram** is left out" in messages(shown)
        assert "U+00E9" in messages(shown)
        table = next(d.value for d in shown.dataframe if "bits per character" in d.value)
        assert table["model"].tolist() == ["prose-bpe-draft"]

    def test_pictures_of_other_levels_do_not_compare(self):
        shown = page(
            kind="Pictures", image_models=["digits-transformer-raster", "fashion-gated-8bit"]
        )
        shown.button(key="evaluate_image_start").click().run()
        done(shown, "evaluate_image")
        shown.run()
        assert "fashion-gated-8bit** is left out" in messages(shown)
        table = next(d.value for d in shown.dataframe if "bits per dimension" in d.value)
        assert table["units"].tolist() == [20]

    def test_unknown_models_of_a_link_are_told(self):
        shown = page(text_models=["nobody"])
        assert "“nobody”, which is not here" in messages(shown)


@pytest.mark.parametrize("measure", ["Likelihood"])
def test_every_measure_opens_without_computing(measure):
    shown = page(measure=measure)
    assert not shown.error
