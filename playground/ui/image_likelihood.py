"""Likelihood: how likely a picture is under the model, where it surprises, which class it is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import streamlit as st

from playground.errors import PlaygroundError
from playground.ui import image_likelihood_data as data
from playground.ui import likelihood_charts as charts
from playground.ui import picture_components as components
from playground.ui import picture_input
from playground.ui.controls import plain
from playground.ui.image_likelihood_data import Judged, Likelihood
from playground.ui.image_setting import ImageSetting
from playground.ui.picture_input import PictureChoice, known_after, per_pixel

LARGE = 336  # screen pixels across
SMALL = 112


def section(setting: ImageSetting, canvas: tuple[int, ...] | None = None) -> None:
    """Draw the whole section; `canvas` are the tokens, without BOS, of Step-through."""
    loaded = setting.loaded
    tokenizer, folder = loaded.tokenizer, loaded.card.folder
    st.caption(
        "The chain rule gives the exact probability of any picture: the product of what the model "
        "thought of every value, given those before it. In bits for each value, fewer is likelier. "
        "It is the trained model itself that is asked: guidance, temperature and the other "
        "processors have no say."
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        choice = picture_input.choose(tokenizer, "picture", folder, canvas)
        if choice is not None:
            as_seen(setting, choice)
    with right:
        if choice is None:
            st.info("Choose a picture first.", icon=":material/image:")
            return
        try:
            found = data.judge(setting, choice, picture_input.background(tokenizer, folder))
        except PlaygroundError as error:
            st.error(plain(str(error)))
            return
        figures(setting, choice, found)
        surprising(setting, choice, found)
    if found.names:
        classifier(setting, choice, found)
    remarks(setting, choice, found)
    others(setting, choice, found)


def as_seen(setting: ImageSetting, choice: PictureChoice) -> None:
    """Show the picture before and after it is reduced to the model's levels."""
    tokenizer = setting.loaded.tokenizer
    whole = None if choice.decided is None else known_after(tokenizer, choice.decided)
    seen = tokenizer.decode(tokenizer.encode(choice.pixels))
    components.picture_sheet(
        key="likelihood_seen",
        data=components.sheet_data(
            [choice.pixels, seen], [whole, whole],
            captions=["as given", f"as the model sees it: {tokenizer.levels} levels"],
            scale=max(1, SMALL // tokenizer.width),
        ),
    )  # fmt: skip


def figures(setting: ImageSetting, choice: PictureChoice, found: Likelihood) -> None:
    """Tell the bits per dimension, the rank, and how an empty picture compares."""
    total = float(found.surprisal.sum())
    known = len(found.surprisal)
    with st.container(horizontal=True, gap="medium"):
        st.metric(
            "This picture", f"{found.bits:.3f} bits", width="content",
            help=f"Per dimension: {total:,.1f} bits in all, for {known:,} values. Choosing each "
            f"level by chance needs {math.log2(setting.loaded.tokenizer.levels):.3g} bits.",
        )  # fmt: skip
        if found.rank is not None:
            count = setting.loaded.info.get("test_pictures")
            of = f"the {count:,} " if isinstance(count, int) else ""
            st.metric(
                "Likelier than … of tests", f"{found.rank:.0%}", width="content",
                help=f"Among {of}real pictures that the model has not seen, each told its own "
                "class where the model knows classes.",
            )  # fmt: skip
        if found.blank is not None:
            st.metric(
                "An empty picture", f"{found.blank:.3f} bits", width="content",
                help="Nothing but background, computed just now under the same class.",
            )  # fmt: skip
    st.caption(
        f"{plain(choice.source[:1].upper() + choice.source[1:])}, {plain(found.told.reason)}."
    )
    if choice.decided is not None:
        st.info(
            f"Not whole yet: judged are its first {known:,} values, which no rank compares with.",
            icon=":material/hourglass:",
        )


def surprising(setting: ImageSetting, choice: PictureChoice, found: Likelihood) -> None:
    """Draw which pixels are surprising; pointing at one tells its bits."""
    tokenizer = setting.loaded.tokenizer
    bits = per_pixel(tokenizer, found.surprisal)
    seen = tokenizer.decode(tokenizer.encode(choice.pixels))
    most = tokenizer.channels * math.log2(tokenizer.levels)
    ordered = np.sort(found.surprisal)[::-1]
    few = max(1, len(ordered) // 10)
    share = ordered[:few].sum() / max(1e-12, ordered.sum())
    facts = f"a tenth of the values, the most surprising ones, make up {share:.0%} of all bits"
    components.picture_canvas(
        key="likelihood_map",
        data=components.canvas_data(
            seen, known_after(tokenizer, len(found.surprisal)),
            scale=max(1, LARGE // tokenizer.width),
            overlay=components.overlay(
                bits, "surprisal", most, title="surprisal", low="0",
                high=f"{most:.3g} bits or more: as by chance",
            ),
            figures={"surprisal (bits)": bits}, title="Where it surprises", facts=facts,
            alt=f"The surprisal of every pixel: {found.bits:.3f} bits per dimension, {facts}.",
        ),
    )  # fmt: skip


def classifier(setting: ImageSetting, choice: PictureChoice, found: Likelihood) -> None:
    """Draw the bits under every class, and what Bayes makes of them."""
    st.subheader("Which class is it?", anchor=False)
    true = data.own_label(setting.loaded, choice)
    best = int(found.by_class.argmin())
    verdict = f"As a classifier the model says **{plain(found.names[best])}**, with probability "
    verdict += f"**{charts.percent(found.posterior[best])}**"
    if true is not None and true < len(found.names):
        right = "which is right" if true == best else f"but it is {plain(found.names[true])}"
        verdict += f", {right}"
    st.markdown(
        f"{verdict}. By Bayes p(class | picture) ∝ p(picture | class), all classes being equally "
        "likely beforehand. A small difference a value, times hundreds of values, makes it sure of "
        "itself."
    )
    if len(found.names) == data.MAX_CLASSES:
        st.caption(f"Only the first {data.MAX_CLASSES} classes are judged.")
    rows = charts.class_rows(found.names, found.by_class, found.posterior, true)
    frame = pd.DataFrame(rows)
    left, right = st.columns(2)
    alt = f"Bits per dimension under each class; the fewest under {found.names[best]}"
    left.vega_lite_chart(frame, charts.spec_of(charts.bits_by_class_chart),
                         key="likelihood_classes", width="stretch", alt=alt)  # fmt: skip
    right.vega_lite_chart(frame, charts.spec_of(charts.posterior_chart),
                          key="likelihood_posterior", width="stretch",
                          alt=f"Probability of each class: {verdict}")  # fmt: skip


def remarks(setting: ImageSetting, choice: PictureChoice, found: Likelihood) -> None:
    """Say what the figure does not mean."""
    told = []
    levels = setting.loaded.tokenizer.levels
    if found.blank is not None:
        ranked = (
            f", likelier than {found.blank_rank:.0%} of the test pictures"
            if found.blank_rank is not None
            else ""
        )
        told.append(
            f"**Likely is not good.** A picture of nothing but background needs {found.blank:.3f} "
            f"bits{ranked}; this one {found.bits:.3f}. "
            + (
                "Simple pictures are cheap to tell, however unlike the training data they are"
                if found.blank < found.bits
                else "Here it does not win; of many models it does, for simple pictures are cheap "
                "to tell, however unlike the training data they are"
            )
            + " (Nalisnick et al. 2019, arXiv:1810.09136)."
        )
    if levels < 256:
        told.append(
            f"**It is judged as the model sees it**: reduced to {levels} levels of 256 first. Bits "
            "of models with other levels or sizes do not compare."
        )
    told.append(
        "**One number for all of it.** A picture that no person finds odd can have a few values "
        "that cost a lot: the map shows where."
    )
    with st.expander("What this number does not mean", expanded=True):
        st.markdown("\n".join(f"- {line}" for line in told))


def others(setting: ImageSetting, choice: PictureChoice, found: Likelihood) -> None:
    """Compare with other models of the same tokens, once somebody asks."""
    names = data.others_of(setting)
    if not names:
        return
    title = f"Under the other models of the same pixels ({len(names)})"
    with st.expander(title, key="likelihood_others", on_change="rerun") as part:
        if not part.open:
            return
        own = data.judged(setting.loaded, setting, choice)
        with st.spinner("Reading and asking them …"):
            judged = [own, *(data.judge_by(setting, choice, name) for name in names)]
        for one in judged:
            if one.problem:
                st.warning(plain(f"{one.model}: {one.problem}"))
        models([one for one in judged if not one.problem], own)


def models(judged: list[Judged], own: Judged) -> None:
    rows = [
        {
            "model": one.model, "bits": round(one.bits, 5), "usual": one.usual, "told": one.told,
            "is": "the chosen model" if one is own else "another model",
        }
        for one in sorted(judged, key=lambda one: one.bits)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    st.vega_lite_chart(
        frame, charts.spec_of(charts.models_chart), key="likelihood_models", width="stretch",
        alt=f"Bits per dimension by model; the fewest by {rows[0]['model']}",
    )  # fmt: skip
    st.caption("The grey mark is what the model's test pictures need on average.")
    st.dataframe(
        frame.drop(columns="is").rename(
            columns={"bits": "bits per dimension", "usual": "test pictures", "told": "told"}
        ),
        hide_index=True, width="stretch", key="likelihood_models_table",
    )  # fmt: skip
