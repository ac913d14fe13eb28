"""Compression: pack what stands on a page into a file by what the model expects, and unpack it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from playground.compression.codec import Packing, Unpacking
from playground.compression.container import MAX_FILE_BYTES, SUFFIX
from playground.compression.content import Content, of_tokens, take_apart
from playground.compression.prediction import Condition
from playground.compression.report import png_of
from playground.models.base import ARModel
from playground.tokenizers.audio import to_wav
from playground.tokenizers.clusters import ClusterTokenizer
from playground.ui import compression_charts as charts
from playground.ui import compression_run as run
from playground.ui import picture_components, picture_input
from playground.ui.compression_run import CompressionSession
from playground.ui.controls import plain
from playground.ui.image_setting import ImageSetting
from playground.ui.resources import Loaded
from playground.ui.state import Session

NOUNS = {"text": "text", "image": "picture", "audio": "sound"}
UNITS = {"text": "token", "image": "value", "audio": "sample"}
UPLOAD = "A file of yours"
SHOWN = 3_000  # characters of an unpacked text
ACROSS = 168  # screen pixels of an unpacked picture
MAX_MB = 20  # of an upload that is packed


def compression_section(
    model_name: str,
    model: ARModel,
    tokenizer: Any,
    modality: str,
    default_object: Any,
    key: str,
    *,
    condition: Condition = None,
    default_name: str = "",
    upload: bool = True,
) -> None:
    """Draw the whole section.

    Args:
        model: the trained model itself, without guidance or processors.
        modality: text, image or audio.
        default_object: what the page has to pack (see `take_apart`, or a Content), or what makes
            it when it is asked for; None: nothing.
        key: begins the keys of all widgets.
        condition: what the model is told.
        default_name: of `default_object`, in a sentence.
        upload: whether a file can be packed too.
    """
    session = run.compression_session(key, (model_name, id(model), condition))
    st.caption(
        "A model that expects well packs well: an arithmetic coder spends −log₂ p bits on every "
        f"{UNITS[modality]}, so the file is as long as the model finds the {NOUNS[modality]} "
        "surprising. Whoever unpacks it needs the very same model, which asks it the same "
        "questions in the same order. Nothing is lost"
        + ("." if modality == "text" else " of what the model sees: its levels.")
    )
    pack = partial(Packing, model, tokenizer, model_name=model_name, condition=condition)
    unpack = partial(Unpacking, model, tokenizer, model_name=model_name)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Pack", anchor=False)
        _pack(session, tokenizer, modality, default_object, key, pack, default_name, upload)
    with right:
        st.subheader("Unpack", anchor=False)
        _unpack(session, key, unpack)
    every = run.interval(session)

    @st.fragment(run_every=every)
    def going() -> None:
        """Everything that moves while it goes on."""
        run.tick(session, tokenizer)
        if run.interval(session) != every:
            st.rerun()  # buttons and results are the page's
        if session.job is not None:
            done, total = session.job.done, session.job.total
            share = done / total if total else 1.0
            verb = "Packing" if isinstance(session.job, Packing) else "Unpacking"
            st.progress(share, f"{verb} {plain(session.name)}: {done:,} of {total:,}")

    going()
    if session.problem:
        st.error(plain(session.problem))
    if session.unpacked is not None:
        _show_unpacked(session, tokenizer, key)
    if session.packed is not None:
        _show_packed(session, key, unpack)


def text_section(session: Session, loaded: Loaded) -> None:
    """Draw the section of the Text page, about the text as it stands there."""
    if loaded.card.remote is not None:
        return  # it needs the same numbers to the last bit
    with st.expander("Compress: pack the text into a file", key="compression_open",
                     on_change="rerun") as part:  # fmt: skip
        if not part.open:
            return

        def text() -> bytes:
            tokens = session.stepper.tokens[1:]
            return b"".join(map(loaded.tokenizer.token_bytes, tokens))

        compression_section(
            loaded.card.name, loaded.model, loaded.tokenizer, "text", text, "text",
            default_name="the text above",
        )  # fmt: skip


def image_section(setting: ImageSetting, canvas: tuple[int, ...] | None = None) -> None:
    """Draw the section of the Image page; `canvas` are the tokens that stand on its canvas."""
    loaded = setting.loaded
    tokenizer = loaded.tokenizer
    if isinstance(tokenizer, ClusterTokenizer):
        st.info(
            "Only models of brightness levels pack pictures into files: a colour out of "
            f"{tokenizer.levels} is no byte. Choose another model."
        )
        return
    choice = picture_input.choose(tokenizer, "picture", loaded.card.folder, canvas)
    thing = None
    if choice is not None:
        thing = of_tokens(tokenizer, tokenizer.encode(choice.pixels)[: choice.decided])
    compression_section(
        loaded.card.name, loaded.model, tokenizer, "image", thing, "image",
        condition=setting.label, default_name=choice.source if choice else "", upload=False,
    )  # fmt: skip


# -- inside ----------------------------------------------------------------------------------------


def _pack(
    session: CompressionSession,
    tokenizer: Any,
    modality: str,
    default_object: Any,
    key: str,
    pack: Callable[[Content], Packing],
    default_name: str,
    upload: bool,
) -> None:
    """Choose what to pack, and begin or stop."""
    own = default_name or f"the {NOUNS[modality]} on the page"
    options = [own[:1].upper() + own[1:]] if default_object is not None else []
    options += [UPLOAD] if upload else []
    if not options:
        st.info(f"Choose a {NOUNS[modality]} first.")
        return
    chosen = options[0]
    if len(options) > 1:
        chosen = st.segmented_control(
            "What to pack", options, default=options[0], required=True, key=f"{key}_pack_what",
            label_visibility="collapsed",
        )  # fmt: skip
    name, file = own, None
    if chosen == UPLOAD:
        file = st.file_uploader(
            f"A {NOUNS[modality]} to pack", key=f"{key}_pack_file", max_upload_size=MAX_MB,
            label_visibility="collapsed",
        )  # fmt: skip
        name = file.name[:60] if file is not None else ""

    def make() -> Packing:
        if file is not None:
            return pack(_content_of_file(tokenizer, modality, file.getvalue()))
        thing = default_object() if callable(default_object) else default_object
        return pack(thing if isinstance(thing, Content) else take_apart(tokenizer, thing))

    with st.container(horizontal=True, vertical_alignment="center"):
        if session.job is not None:
            st.button("Stop", type="primary", icon=":material/stop:", key=f"{key}_pack_stop",
                      on_click=run.stop, args=(session,))  # fmt: skip
        else:
            st.button("Pack", type="primary", icon=":material/compress:", key=f"{key}_pack",
                      disabled=chosen == UPLOAD and file is None,
                      on_click=run.start, args=(session, name, make))  # fmt: skip
        if len(options) == 1:
            st.caption(plain(chosen))


def _content_of_file(tokenizer: Any, modality: str, data: bytes) -> Content:
    if modality == "text":
        return take_apart(tokenizer, data)
    prepared = tokenizer.prepare(data)
    return take_apart(tokenizer, prepared.pixels if modality == "image" else prepared.samples)


def _unpack(session: CompressionSession, key: str, unpack: Callable[[bytes], Unpacking]) -> None:
    """Choose a packed file, and begin."""
    file = st.file_uploader(
        f"A packed file ({SUFFIX})", key=f"{key}_unpack_file", label_visibility="collapsed",
        max_upload_size=MAX_FILE_BYTES >> 20,
    )  # fmt: skip
    st.button(
        "Unpack", icon=":material/expand:", key=f"{key}_unpack",
        disabled=file is None or session.job is not None, on_click=run.start,
        args=(session, file.name[:60] if file is not None else "",
              lambda: unpack(file.getvalue())),
    )  # fmt: skip


def _show_packed(
    session: CompressionSession, key: str, unpack: Callable[[bytes], Unpacking]
) -> None:
    """Tell the sizes, and offer the file."""
    packed = session.packed
    header = packed.header
    unit = UNITS[header.modality]
    st.subheader(f"Sizes: {plain(session.packed_name)}, {header.count:,} {unit}s", anchor=False)
    with st.container(horizontal=True):
        st.download_button(
            f"Packed file ({len(packed.data):,} bytes)", packed.data,
            f"{header.model}-{NOUNS[header.modality]}{SUFFIX}", key=f"{key}_get_packed",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        st.button(
            "Unpack it again", icon=":material/expand:", key=f"{key}_check",
            disabled=session.job is not None, on_click=run.start,
            args=(session, session.packed_name, lambda: unpack(packed.data)),
            help="Read the file alone, and compare with what was packed.",
        )  # fmt: skip
    rows = charts.size_rows(session.rows)
    st.vega_lite_chart(
        pd.DataFrame(rows), charts.sizes_spec(), key=f"{key}_sizes", width="stretch",
        alt="Sizes: " + ", ".join(f"{row['form']} {row['says']}" for row in rows),
    )  # fmt: skip
    per_unit = f"bits per {unit}"
    st.dataframe(
        pd.DataFrame(
            {
                "form": [row.name for row in session.rows],
                "bytes": [round(row.bytes, 1) for row in session.rows],
                per_unit: [row.bits_per_token for row in session.rows],
                "note": [row.note for row in session.rows],
            }
        ),
        hide_index=True, width="stretch", key=f"{key}_sizes_table",
        column_config={
            "bytes": st.column_config.NumberColumn(format="localized"),
            per_unit: st.column_config.NumberColumn(format="%.3f"),
        },
    )  # fmt: skip
    st.caption(
        "Both sides also need the model, which is far larger than any of these: what is small is "
        "the message to somebody who has it. The others pack anything without one."
    )


def _show_unpacked(session: CompressionSession, tokenizer: Any, key: str) -> None:
    """Show what came out of a file, and offer it."""
    unpacked = session.unpacked
    header, name = unpacked.header, plain(session.unpacked_name)
    st.subheader(f"Unpacked: {name}", anchor=False)
    told = f"{header.count:,} {UNITS[header.modality]}s, checksum {zlib.crc32(unpacked.raw):08x}"
    same = session.packed is not None and session.packed.content.raw == unpacked.raw
    st.success(
        f"{told}: as it was packed" + (", and the same bit for bit as below." if same else "."),
        icon=":material/check:",
    )
    if header.modality == "text":
        text = unpacked.raw.decode("utf-8", "replace")
        st.code(text[:SHOWN] + ("…" if len(text) > SHOWN else ""), language=None, wrap_lines=True)
        data, file_name = unpacked.raw, "unpacked.txt"
    elif header.modality == "image":
        pixels = tokenizer.decode(unpacked.tokens)
        picture_components.picture_sheet(
            key=f"{key}_unpacked",
            data=picture_components.sheet_data(
                [pixels], [picture_input.known_after(tokenizer, header.count)],
                scale=max(1, ACROSS // tokenizer.width),
            ),
        )  # fmt: skip
        data, file_name = png_of(pixels), "unpacked.png"
    else:
        data = to_wav(tokenizer.decode(unpacked.tokens), tokenizer.sample_rate)
        file_name = "unpacked.wav"
        st.audio(data, format="audio/wav")
    st.download_button("What was unpacked", data, file_name, key=f"{key}_get_unpacked",
                       icon=":material/download:", on_click="ignore")  # fmt: skip
