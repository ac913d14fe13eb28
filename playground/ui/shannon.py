"""Shannon's game: guess the next letter, grey level or sound level before the model tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from playground.checkpoints import read_config
from playground.errors import PlaygroundError
from playground.evaluation.shannon import bounds
from playground.registry import ModelCard
from playground.tokenizers.text import visible
from playground.ui import evaluate_models as models
from playground.ui import inside_data, shannon_canvas, views
from playground.ui import shannon_charts as charts
from playground.ui import shannon_state as play
from playground.ui.components import candidate_bars
from playground.ui.controls import name_strangers, plain
from playground.ui.resources import Loaded
from playground.ui.shannon_state import Game

NEXT = {"text": "letter", "image": "level", "audio": "level"}
GUESS, BET = "Guess until right", "Bet"
PLAIN, FULL = "letters without case", "every character"
FIRST = {"text": "kjv-char-transformer", "image": "digits-transformer-raster",
         "audio": "speech-wavenet"}  # fmt: skip
HELP = (
    "The numbers of guesses that a reader needs hold the entropy of the text, for an identical "
    "twin could decode them (Shannon 1951, eq. 17). The lower bound assumes that you guess the "
    "likeliest first; both are rough before a hundred symbols, and the upper one too small."
)


def section() -> None:
    """Draw the whole section."""
    st.caption(
        "In 1951 Claude Shannon let people guess a text letter by letter, and computed from their "
        "guesses how much information a letter carries: about 1 bit. Guess, then see what the "
        "model expected. Fewer bits: the better predictor."
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        loaded = _model()
        if loaded is None:
            return
        game = play.game()
        try:
            item = shannon_canvas.choose(loaded)
            if item is None:
                return
            is_text = item.modality == "text"
            plain_letters = is_text and _alphabet() == PLAIN
            symbols = play.symbols_of(loaded.tokenizer, plain=plain_letters)
            identity = (loaded.card.name, item.mark, item.given, plain_letters)
            with st.spinner("The model reads what is given …"):
                play.begin(game, identity, loaded, item.tokens, item.given, symbols)
        except PlaygroundError as error:
            st.error(plain(str(error)))
            return
        names = shown_names(game)
        name_strangers("how", (GUESS, BET))
        how = st.segmented_control(
            "How", (GUESS, BET), default=GUESS, required=True, key="how", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip

    @st.fragment
    def board() -> None:
        """Everything that a guess changes."""
        with left_slot:
            shannon_canvas.draw(game, loaded)
            if game.problem:
                st.error(plain(game.problem))
            _turn(game, loaded, names, how)
        with right_slot:
            _told(game, loaded, names)

    with left:
        left_slot = st.container()
    with right:
        right_slot = st.container()
    board()


def _model() -> Loaded | None:
    """Choose what is guessed and which model guesses too."""
    name_strangers("kind", list(models.KINDS))
    kind = st.segmented_control(
        "What is guessed", list(models.KINDS), default="Text", required=True, key="kind",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    modality = models.KINDS[kind]
    cards = _playable(models.cards_of(modality), modality)
    if not cards:
        st.info("There is no model here whose tokens can be guessed one by one.")
        return None
    first = FIRST[modality]
    ordered = {first: cards[first], **cards} if first in cards else cards
    name = models.model_select(f"shannon_{modality}", ordered, "Model that you play against")
    try:
        return models.load(cards[name])
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return None


def _playable(cards: dict[str, ModelCard], modality: str) -> dict[str, ModelCard]:
    """Return the models whose tokens a person can name: characters, grey or sound levels."""
    wanted = {"text": "characters", "image": "image", "audio": "audio"}[modality]
    return {name: card for name, card in cards.items() if _tokens_of(card) == wanted}


def _tokens_of(card: ModelCard) -> str:
    try:
        told = read_config(card.folder).get("tokenizer")
    except PlaygroundError:
        return ""
    return str(told.get("type")) if isinstance(told, dict) else ""


def _alphabet() -> str:
    name_strangers("alphabet", (PLAIN, FULL))
    return st.segmented_control(
        "Alphabet", (PLAIN, FULL), default=PLAIN, required=True, key="alphabet",
        bind="query-params", help="Without case: 26 letters, the blank (a line break too), and one "
        "sign “.” for all others, about as Shannon had it. The model's probabilities are added up "
        "alike.",
    )  # fmt: skip


def shown_names(game: Game) -> list[str]:
    """Return how each symbol is written on a button."""
    return [visible(name) if len(name) == 1 else name for name in game.symbols.names]


# -- what one can do -------------------------------------------------------------------------------


def _turn(game: Game, loaded: Loaded, names: Sequence[str], how: str) -> None:
    """Draw what the next symbol is guessed or bet with."""
    if game.is_over:
        st.success("All of it is uncovered.", icon=":material/check:")
    elif how == BET:
        _bet(game, names)
    else:
        _guess(game, loaded, names)
    with st.container(horizontal=True):
        if how == GUESS:
            st.button("Give up", icon=":material/visibility:", key="shannon_give_up",
                      on_click=play.give_up, args=(game,), disabled=game.is_over,
                      help="The others are guessed for you, in an order by chance, and each "
                      "counts.")  # fmt: skip
        st.button(f"Skip {play.SKIP}", icon=":material/skip_next:", key="shannon_skip",
                  on_click=play.skip, args=(game,), disabled=game.is_over,
                  help="Uncover some without guessing; they count for nobody.")  # fmt: skip
        st.button("Begin again", icon=":material/restart_alt:", key="shannon_restart",
                  on_click=play.restart, args=(game,))  # fmt: skip


def _guess(game: Game, loaded: Loaded, names: Sequence[str]) -> None:
    """Type or press what comes next; labels stay, so that the cursor stays in the field."""
    typed = "shannon_typed"
    if hasattr(loaded.tokenizer, "symbols"):
        st.text_input(
            "What comes next?", key=typed, on_change=play.type_in, args=(game, typed),
            max_chars=40, placeholder="Type a letter, or several, and press Enter; or press a "
            "button",
        )  # fmt: skip
    elif hasattr(loaded.tokenizer, "height"):
        st.text_input(
            "Which level comes next?", key=typed, on_change=play.type_number, args=(game, typed),
            max_chars=20, placeholder="Type its number and press Enter; or press a level",
        )  # fmt: skip
        shannon_canvas.swatches(game, loaded)
    else:
        st.markdown("In which band is the next sample?")
    with st.container(horizontal=True, gap="xxsmall", key="shannon_symbols"):
        order = list(range(len(names)))
        if hasattr(loaded.tokenizer, "height"):
            order = []  # they are shown as they look
        elif hasattr(loaded.tokenizer, "sample_rate"):
            order.reverse()  # the highest first
        for symbol in order:
            st.button(
                plain(names[symbol]), key=f"shannon_{symbol}", on_click=play.guess,
                args=(game, symbol), disabled=symbol in game.tried,
            )  # fmt: skip
    if game.tried:
        st.caption(f"{len(game.tried)} wrong so far.")


def _bet(game: Game, names: Sequence[str]) -> None:
    key = "shannon_bet"
    with st.form(key, border=True):
        st.markdown("What do you believe comes next, in per cent? The rest is spread over all "
                    "others.")  # fmt: skip
        for i in range(play.BETS):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                st.selectbox(
                    f"Candidate {i + 1}", range(len(names)), index=None,
                    format_func=lambda symbol: names[symbol], key=f"{key}_symbol_{i}",
                )  # fmt: skip
                st.number_input(f"Per cent for {i + 1}", 0, 99, 0, key=f"{key}_share_{i}", step=5)
        st.form_submit_button("Bet", type="primary", icon=":material/casino:", key=f"{key}_go",
                              on_click=play.bet, args=(game, key))  # fmt: skip


# -- what is told ----------------------------------------------------------------------------------


def _told(game: Game, loaded: Loaded, names: Sequence[str]) -> None:
    """Draw the figures so far, the model's distribution, and the charts."""
    if not game.done:
        st.info("The model shows what it expected once you have guessed.",
                icon=":material/visibility_off:")  # fmt: skip
        return
    _figures(game, loaded)
    if game.last is not None:
        candidate_bars(key="shannon_expected", on_take_change=lambda: None,
                       data=charts.distribution(game.last, game.symbols, names))  # fmt: skip
    rows = charts.running_rows(game.done)
    st.vega_lite_chart(
        spec=charts.running_chart(rows).to_dict(), key="shannon_running", width="stretch",
        alt=f"Bits per symbol after {len(game.done)} symbols: "
        + ", ".join(f"{r['who']} {r['bits']:.2f}" for r in rows if r["symbols"] == len(game.done)),
    )  # fmt: skip
    counted = charts.rank_rows(game.done)
    if counted:
        st.vega_lite_chart(
            spec=charts.rank_chart(counted).to_dict(), key="shannon_ranks", width="stretch",
            alt="Guesses until right, yours and the model's",
        )  # fmt: skip
    table = [
        {"symbol": names[one.symbol], "your guesses": one.guesses, "your bits": one.bits,
         "model's rank": one.model_rank, "model's bits": one.model_bits}
        for one in game.done
    ]  # fmt: skip
    with st.expander("As a table"):
        st.dataframe(pd.DataFrame(table), hide_index=True, width="stretch", key="shannon_table")
    views.offer({"Game (CSV)": ("game.csv", lambda: inside_data.table_csv(table))}, "shannon")


def _figures(game: Game, loaded: Loaded) -> None:
    ranks = [one.guesses for one in game.done if one.guesses is not None]
    bets = [one.bits for one in game.done if one.bits is not None]
    own, model = bounds(ranks), float(np.mean([one.model_bits for one in game.done]))
    theirs = bounds([one.model_rank for one in game.done])
    with st.container(horizontal=True, gap="medium"):
        if own is not None:
            enough = own.count >= charts.LEAST
            st.metric(
                "You, by guesses", width="content", help=HELP,
                value=f"{own.lower:.2f} to {own.upper:.2f} bits" if enough
                else f"{own.count} of {charts.LEAST} symbols",
            )  # fmt: skip
        if bets:
            st.metric("You, by bets", f"{np.mean(bets):.2f} bits", width="content",
                      help="The mean of −log₂ of what you believed of what came.")  # fmt: skip
        st.metric(
            plain(loaded.card.name), f"{model:.2f} bits", width="content",
            help="The mean of −log₂ of the probability that it gave to what came; by its numbers "
            f"of guesses alone, {theirs.lower:.2f} to {theirs.upper:.2f}.",
        )  # fmt: skip
    right = sum(rank == 1 for rank in ranks)
    first = sum(one.model_rank == 1 for one in game.done)
    said = f"{right} of {len(ranks)} right at once, " if ranks else ""
    st.caption(
        f"{said}the model {first} of {len(game.done)}; by chance a symbol has "
        f"{np.log2(len(game.symbols.names)):.2f} bits."
    )
