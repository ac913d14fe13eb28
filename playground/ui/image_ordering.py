"""Does the order of the pixels matter? The experiment's result, drawn inside the Image page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from PIL import Image

from playground.errors import DataError
from playground.experiments.ordering import Ordered, Ordering, load_ordering
from playground.registry import ROOT
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS
from playground.ui import controls, ordering_charts, state
from playground.ui.image_controls import MODES

SIDE = 8


@dataclass(frozen=True)
class Panel:
    """What is drawn of one order; the charts as they are sent."""

    ordered: Ordered
    decided: dict  # when each pixel is decided
    bits: dict  # how many bits each pixel costs


@dataclass(frozen=True)
class Telling:
    """What the section tells; made once for all sessions."""

    found: Ordering
    bits: dict
    curves: dict
    panels: tuple[Panel, ...]


def section() -> None:
    """Draw question, finding, charts, one column an order, limits and the command."""
    try:
        told = _telling()
    except DataError as error:
        st.error(controls.plain(str(error)))
        return
    found = told.found
    seeds = len(found.orders[0].trained)
    st.subheader("Does the order of the pixels matter?", anchor=False)
    st.markdown(
        "By the chain rule every order gives the same joint probability, "
        "$p(x) = \\prod_t p(x_{o(t)} \\mid x_{o(1)}, \\ldots, x_{o(t-1)})$ for any permutation "
        "$o$: a model that knew the truth would need the same bits in all of them. A small "
        "Transformer that has to *learn* the factors meets easier ones in some orders than in "
        "others. So: the same network, the same pictures, four orders (the question of Larochelle "
        "& Murray 2011, NADE)."
    )
    st.info(controls.plain(found.finding()), icon=":material/science:")
    left, right = st.columns(2, gap="large")
    with left:
        _bits(told, seeds)
    with right:
        _curves(told)
    _panels(told)
    _limits(found, seeds)


@st.cache_resource(max_entries=1)
def _telling() -> Telling:
    found = load_ordering()
    most = max(max(ordered.pixel_bits) for ordered in found.orders)
    panels = []
    for ordered in found.orders:
        pixels = ImageTokenizer(SIDE, SIDE, 1, found.levels, ordered.order).pixels_in_order
        decided = ordering_charts.grid_chart(
            ordering_charts.when_decided(pixels), SIDE, of="decided as number",
            top=SIDE * SIDE - 1, figures="d", scheme="blues",
        ).to_dict()  # fmt: skip
        bits = ordering_charts.grid_chart(
            ordered.pixel_bits, SIDE, of="bits", top=most, figures=".1f", scheme="oranges"
        ).to_dict()
        panels.append(Panel(ordered, decided, bits))
    curves = ordering_charts.curve_chart(found).to_dict()
    return Telling(found, ordering_charts.bits_chart(found).to_dict(), curves, tuple(panels))


def _bits(told: Telling, seeds: int) -> None:
    found = told.found
    st.markdown("**Bits per dimension on pictures that no model has seen**")
    st.caption(
        f"A point a seed ({seeds}), a tick for the mean, a bar for its 95 % interval. "
        f"For scale: {found.baselines['uniform']:.3f} bits for who knows nothing (log₂ "
        f"{found.levels}), {found.baselines['independent pixels']:.3f} for a histogram a pixel, "
        "which looks at no other pixel."
    )
    alt = "; ".join(
        f"{o.order}: {o.bits_per_dim.mean:.3f} plus or minus {o.bits_per_dim.half_width:.3f}"
        for o in found.best_first
    )
    st.vega_lite_chart(spec=told.bits, key="ordering_bits", width="stretch",
                       alt=f"Bits per dimension by order. {alt}")  # fmt: skip


def _curves(told: Telling) -> None:
    st.markdown("**While they learn**")
    st.caption("The mean of the seeds, and a band from the least to the greatest.")
    st.vega_lite_chart(
        spec=told.curves, key="ordering_curves", width="stretch",
        alt="Bits per dimension of the test pictures against optimizer steps, a line an order",
    )  # fmt: skip


def _panels(told: Telling) -> None:
    """Draw a column an order: when pixels are decided, what they cost, what the model draws."""
    st.markdown("**Each order: when a pixel is decided, the bits it costs there, and samples**")
    for column, panel in zip(st.columns(len(told.panels), gap="medium"), told.panels, strict=True):
        order = panel.ordered.order
        with column:
            st.markdown(f"**{order}**")
            st.caption(ORDERS[order])
            st.vega_lite_chart(
                spec=panel.decided, key=f"ordering_when_{order}", width="stretch",
                alt=f"When each of the 64 pixels is decided, {ORDERS[order]}",
            )  # fmt: skip
            st.vega_lite_chart(
                spec=panel.bits, key=f"ordering_cost_{order}", width="stretch",
                alt=f"Bits of each pixel in the order {order}, dark where there are many",
            )  # fmt: skip
            st.caption(f"{sum(panel.ordered.pixel_bits):.1f} bits a picture")
            _samples(order)


def _samples(order: str) -> None:
    """Show what the order's shipped model drew, and offer to step through it."""
    name = f"digits-transformer-{order}"
    folder = _folder(name)
    if not (folder / "samples.png").is_file():
        st.caption(f"The checkpoint {name} is not here.")
        return
    st.image(_folded(folder / "samples.png"), width="stretch", alt=f"20 digits drawn by {name}")
    st.button(
        "Step through it", icon=":material/grid_on:", key=f"ordering_go_{order}",
        on_click=_step_through, args=(name,), help=f"Take {name} and watch it draw.",
    )  # fmt: skip


def _folded(sheet: Path) -> Image.Image:
    """Return a contact sheet of two long rows as four short ones, which a column can show."""
    with Image.open(sheet) as image:
        border = image.width // (10 * (SIDE + 1) + 1)  # as wide as a pixel of the pictures
        half = (image.width + border) // 2
        folded = Image.new(image.mode, (half, 2 * image.height - border))
        folded.paste(image, (0, 0))
        folded.paste(image.crop((half - border, 0, image.width, image.height)),
                     (0, image.height - border))  # fmt: skip
    return folded


def _folder(name: str) -> Path:
    return ROOT / "checkpoints" / name


def _step_through(name: str) -> None:
    state.set_widget("model", name)
    state.set_widget("do", MODES[0])


def _limits(found: Ordering, seeds: int) -> None:
    runs = seeds * len(found.orders)
    with st.expander("Limits, and how to make it again", key="ordering_limits"):
        st.markdown(
            f"- One size of one family ({found.parameters:,} parameters, {found.steps:,} steps), "
            f"{found.train_pictures:,} pictures of 8x8 pixels to learn from and "
            f"{found.test_pictures} to judge by: a larger model or more data may close the gap, "
            "another family may turn it around.\n"
            "- The order *random* is one permutation; another one need not cost the same.\n"
            f"- {seeds} seeds say little of the spread; that is why the intervals are wide. The "
            "same seed gives every order the same initial weights, batches and dropout, so "
            "differences are judged pair by pair.\n"
            "- The number of steps was set by looking at test curves of two pilot runs (raster and "
            "random, another seed); nothing was chosen by order."
        )
        st.code(found.command, language="bash")
        st.caption(
            f"{runs} runs, about 100 seconds of a core each ({controls.plain(found.machine)}); "
            "their commands stand in `playground/experiments/ordering.json`."
        )
