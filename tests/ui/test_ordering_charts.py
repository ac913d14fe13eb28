"""Charts and section of the ordering experiment, from the shipped result."""

import re

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from playground.experiments.ordering import load_ordering
from playground.registry import ROOT
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS
from playground.ui import image_ordering, ordering_charts


def test_every_run_is_a_point_and_every_order_an_interval():
    found = load_ordering()
    rows = ordering_charts.bits_rows(found)
    assert sorted(row["bits"] for row in rows if row["kind"] == "seed") == sorted(
        run.bits_per_dim for ordered in found.orders for run in ordered.trained
    )
    for row, ordered in zip(
        (row for row in rows if row["kind"] == "mean"), found.best_first, strict=True
    ):
        told = ordered.bits_per_dim
        assert (row["order"], row["bits"]) == (ordered.order, round(told.mean, 4))
        if len(ordered.trained) > 1:
            assert row["high"] - row["bits"] == pytest.approx(told.half_width, abs=2e-4)
            assert row["bits"] - row["low"] == pytest.approx(told.half_width, abs=2e-4)
        else:
            assert "low" not in row
    spec = ordering_charts.bits_chart(found).to_dict()
    assert len(spec["layer"]) == 4
    assert "bits per dimension" in str(spec)


def test_learning_curves_end_at_the_mean_of_the_runs():
    found = load_ordering()
    rows = ordering_charts.curve_rows(found)
    for ordered in found.orders:
        mine = [row for row in rows if row["order"] == ordered.order]
        assert len(mine) == len(ordered.trained[0].curve)
        assert mine[-1]["step"] == found.steps
        assert mine[-1]["bits"] == pytest.approx(ordered.bits_per_dim.mean, abs=2e-3)
        assert mine[-1]["low"] <= mine[-1]["bits"] <= mine[-1]["high"]
    assert "optimizer steps" in str(ordering_charts.curve_chart(found).to_dict())


def test_a_grid_says_of_each_pixel_when_it_is_decided():
    tokenizer = ImageTokenizer(3, 4, order="spiral")
    when = ordering_charts.when_decided(tokenizer.pixels_in_order)
    assert when == [0, 1, 2, 3, 9, 10, 11, 4, 8, 7, 6, 5]
    rows = ordering_charts.grid_rows(when, 4)
    assert rows[4] == {"row": 1, "column": 0, "value": 9}
    chart = ordering_charts.grid_chart(when, 4, of="step", top=11, figures="d", scheme="blues")
    assert chart.to_dict()["height"] == 3 * 27


@pytest.mark.parametrize("order", ORDERS)
def test_a_folded_contact_sheet_shows_the_same_twenty_digits(order):
    path = ROOT / "checkpoints" / f"digits-transformer-{order}" / "samples.png"
    with Image.open(path) as sheet:
        before = np.asarray(sheet)
    after = np.asarray(image_ordering._folded(path))
    assert after.shape == (8 * (4 * 9 + 1), 8 * (5 * 9 + 1))
    cells = [before[8 + 72 * y :, 8 + 72 * x :][:64, :64] for y in (0, 1) for x in range(10)]
    found = [after[8 + 72 * y :, 8 + 72 * x :][:64, :64] for y in range(4) for x in range(5)]
    order_of_rows = [0, 2, 1, 3]  # the left half of both rows, then the right half
    for row, part in enumerate(order_of_rows):
        for column in range(5):
            assert (found[5 * row + column] == cells[5 * part + column]).all()
    assert (after[:8] == 128).all()
    assert (after[:, -8:] == 128).all()


def section_alone() -> None:
    from playground.ui import image_ordering

    image_ordering.section()


def plain(text: str) -> str:
    return re.sub(r"\\(\W|_)", r"\1", text)


def test_the_section_tells_finding_baselines_limits_and_command():
    page = AppTest.from_function(section_alone, default_timeout=60).run()
    assert not page.exception
    found = load_ordering()
    assert plain(page.info[0].value) == found.finding()
    told = " ".join(c.value for c in page.caption)
    assert f"{found.baselines['independent pixels']:.3f}" in told
    assert f"{found.baselines['uniform']:.3f} bits for who knows nothing" in told
    for ordered in found.orders:
        assert ORDERS[ordered.order] in told
        assert f"{sum(ordered.pixel_bits):.1f} bits a picture" in told
    assert "chain rule" in page.markdown[0].value
    assert page.code[0].value == found.command
    assert len(page.get("vega_lite_chart")) == 2 + 2 * len(ORDERS)
    assert len(page.get("image")) == len(ORDERS)


@pytest.mark.parametrize("order", ["spiral", "random"])
def test_a_button_takes_the_model_of_an_order_to_be_stepped_through(order):
    page = AppTest.from_function(section_alone, default_timeout=60).run()
    page.button(f"ordering_go_{order}").click().run()
    assert not page.exception
    assert page.session_state["model"] == f"digits-transformer-{order}"
    assert page.session_state["do"] == "Step through"
    assert (ROOT / "checkpoints" / page.session_state["model"] / "config.json").is_file()


def test_without_the_checkpoints_the_section_says_so_and_stands(tmp_path, monkeypatch):
    monkeypatch.setattr(image_ordering, "ROOT", tmp_path)
    page = AppTest.from_function(section_alone, default_timeout=60).run()
    assert not page.exception
    assert not page.button
    assert "digits-transformer-spiral is not here" in " ".join(c.value for c in page.caption)
