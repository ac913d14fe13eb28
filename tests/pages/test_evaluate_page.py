"""The Evaluate page: what is measured, what is told, and that nothing is computed unasked."""

import math

import pytest
from streamlit.testing.v1 import AppTest

from playground.checkpoints import load
from playground.data.text import Corpus
from playground.errors import DataError
from playground.evaluation.judge import judge
from playground.ui import evaluate_memory, evaluate_metrics
from tests.helpers import ROOT
from tests.pages.opened import done, messages, opened, press


def page(**query: str | list[str]) -> AppTest:
    return opened("5_Evaluate", **query)


def made(shown: AppTest, section: str):
    """Press a section's button, wait for its job, and draw what it found; return the job."""
    press(shown, f"{section}_start")
    job = done(shown, section)
    shown.run()
    return job


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
        for bits, span in zip(table["bits per character"], table["95 % interval"], strict=True):
            low, high = span.split(" to ")
            assert float(low) < float(bits) < float(high)
        assert list(table["more than the best"] == "") == [True, False]
        assert "On the same windows of the text" in messages(shown)
        assert "more than chance explains" in messages(shown)

    def test_a_model_that_cannot_read_the_text_is_left_out_and_told(self):
        shown = page(text_models=["kjv-char-ngram", "prose-bpe-draft"], on="your own text")
        shown.text_area(key="evaluate_own").set_value("caf\u00e9 au lait, a cup").run()
        made(shown, "evaluate_text")
        assert "kjv-char-ngram** is left out" in messages(shown)
        assert "U+00E9" in messages(shown)
        table = next(d.value for d in shown.dataframe if "bits per character" in d.value)
        assert table["model"].tolist() == ["prose-bpe-draft"]

    def test_pictures_of_other_levels_do_not_compare(self):
        shown = page(
            kind="Pictures", image_models=["digits-transformer-raster", "fashion-gated-8bit"]
        )
        made(shown, "evaluate_image")
        assert "fashion-gated-8bit** is left out" in messages(shown)
        table = next(d.value for d in shown.dataframe if "bits per dimension" in d.value)
        assert table["model"].tolist() == ["digits-transformer-raster"]
        assert "20 held-out pictures" in " ".join(c.value for c in shown.caption)

    def test_of_a_single_picture_the_interval_is_over_its_rows(self):
        shown = page(
            kind="Pictures",
            image_models=["digits-transformer-raster"],
            image_on="One of your choice",
        )
        assert made(shown, "evaluate_image").total == 8
        assert "over the 8 rows of the picture" in " ".join(c.value for c in shown.caption)

    def test_what_no_model_can_read_is_told_once(self):
        shown = page(text_models=["kjv-char-ngram", "kjv-char-lstm"], on="your own text")
        shown.text_area(key="evaluate_own").set_value("\u4f60").run()
        made(shown, "evaluate_text")
        assert len(shown.warning) == 1
        assert "kjv-char-ngram**, **kjv-char-lstm** are left out" in messages(shown)

    def test_unknown_models_of_a_link_are_told(self):
        shown = page(text_models=["nobody"])
        assert "“nobody”, which is not here" in messages(shown)


def figures(shown: AppTest):
    """The table of Variety, by the names of its figures."""
    table = shown.table[0].value
    return table.set_index(table["figure"].str.split("**", regex=False).str[1])


class TestTexts:
    def test_bleu_shows_what_is_clipped(self):
        shown = page(measure="BLEU and chrF")
        assert float(shown.metric[0].value) < 5  # the paraphrase
        assert "words, not meaning" in messages(shown)
        shown.button(key="bleu_example_2").click().run()
        orders, grams = (d.value for d in shown.dataframe)
        assert orders["in a reference"][0] == 7
        assert orders["after clipping"][0] == 2
        assert grams["n-gram"].tolist() == ["the"]
        shown.text_area(key="references").set_value(" ").run()
        assert "1 to 8 references, got 0" in messages(shown)

    def test_the_same_text_twice_has_no_variety(self):
        shown = page(measure="Variety", variety_from="Pasted")
        text = "the dog and the cat and the dog"
        shown.text_area(key="variety_pasted").set_value(f"{text}\n\n{text}").run()
        assert not shown.exception
        table = figures(shown)
        assert table["pasted"]["self-BLEU"] == "100.0"
        assert table["pasted"]["distinct-1"] == "0.250"  # 4 of 16
        assert table["people's text"]["texts"] == "2"
        shown.text_area(key="variety_pasted").set_value("one").run()
        assert figures(shown)["pasted"]["distinct-2"] == ""  # there is no pair

    def test_samples_that_are_written_now_are_looked_at(self):
        shown = page(
            measure="Variety", variety_model="kjv-char-ngram", variety_samples="3",
            variety_length="40", variety_way="greedy",
        )  # fmt: skip
        shown.button(key="variety_write_start").click().run()
        done(shown, "variety_texts")
        shown.run()
        table = figures(shown)
        assert table["kjv\\-char\\-ngram"]["texts"] == "3"
        assert table["kjv\\-char\\-ngram"]["self-BLEU"] == "100.0"  # greedy: all the same

    def test_predictions_are_compared_with_what_came(self):
        shown = page(measure="Calibration", calibration_models=["kjv-char-ngram"])
        shown.button(key="calibration_start").click().run()
        done(shown, "calibration")
        shown.run()
        table = shown.dataframe[0].value
        assert table["model"].tolist() == ["kjv-char-ngram"]
        assert table["predictions"][0] > 7000
        assert 0 < table["expected calibration error"][0] < 20

    def test_copies_are_found_where_the_corpus_is_here(self, monkeypatch):
        text = "And it came to pass in those days, that there went out a decree. " * 40
        corpus = Corpus("King James Bible", (text + "z" * 206_892,), "", "")
        monkeypatch.setattr(evaluate_memory, "load_corpus", lambda name: corpus)
        shown = page(measure="Memorisation", memory_from="Pasted")
        shown.text_area(key="memory_pasted").set_value("Lo! in those days, that there was").run()
        shown.button(key="memorisation_start").click().run()
        done(shown, "memorisation")
        shown.run()
        assert shown.code[0].value == " in those days, that there w"
        assert shown.metric[0].value == "28 characters"

    def test_a_corpus_that_is_not_installed_is_told(self, monkeypatch):
        def missing(name):
            raise DataError("The King James text is not installed. Install it.")

        monkeypatch.setattr(evaluate_memory, "load_corpus", missing)
        shown = page(measure="Memorisation", memory_from="Pasted")
        shown.text_area(key="memory_pasted").set_value("in those days").run()
        shown.button(key="memorisation_start").click().run()
        assert "not installed" in messages(shown)


class TestShannon:
    def opened(self, **query: str) -> AppTest:
        return page(**{"do": "Shannon's game", **query})

    def test_a_letter_is_guessed_until_it_is_right(self):
        shown = self.opened(shannon_text="kjv-char-ngram")
        game = shown.session_state["_shannon"]
        known = shown.code[0].value
        assert not shown.metric  # nothing is told before a guess
        wanted = game.wanted
        wrong = (wanted + 1) % len(game.symbols.names)
        shown.button(key=f"shannon_{wrong}").click().run()
        assert shown.button(key=f"shannon_{wrong}").disabled
        assert not shown.metric
        shown.button(key=f"shannon_{wanted}").click().run()
        assert not shown.exception
        (one,) = game.done
        assert (one.symbol, one.guesses) == (wanted, 2)
        assert len(shown.code[0].value) == len(known) + 1
        assert 1 <= one.model_rank <= 28
        assert shown.metric[1].value == f"{one.model_bits:.2f} bits"

    def test_letters_can_be_typed_on_until_one_is_wrong(self):
        shown = self.opened(shannon_text="kjv-char-ngram")
        game = shown.session_state["_shannon"]
        names = game.symbols.names
        right = [names[game.symbols.of_token[t]] for t in game.truth[game.place :][:3]]
        wrong = next(n for n in names if n not in (right[2], "."))
        shown.text_input(key="shannon_typed").set_value(right[0] + right[1] + wrong + "x").run()
        assert [one.guesses for one in game.done] == [1, 1]
        assert game.tried == [names.index(wrong)]
        assert shown.text_input(key="shannon_typed").value == ""

    def test_a_bet_costs_what_was_not_believed(self):
        shown = self.opened(shannon_text="kjv-char-ngram", how="Bet")
        game = shown.session_state["_shannon"]
        wanted = game.wanted
        shown.selectbox(key="shannon_bet_symbol_0").set_value(wanted)
        shown.number_input(key="shannon_bet_share_0").set_value(25)
        shown.button(key="shannon_bet_go").click().run()
        assert not shown.exception
        assert game.done[0].bits == pytest.approx(2.0)
        assert shown.metric[0].value == "2.00 bits"
        assert shown.selectbox(key="shannon_bet_symbol_0").value is None  # for the next symbol
        shown.button(key="shannon_bet_go").click().run()
        assert "Nothing is bet" in messages(shown)
        assert len(game.done) == 1

    def test_the_model_is_asked_behind_the_truth(self):
        """What it is said to have expected is what `judge` says of the text."""
        shown = self.opened(shannon_text="kjv-char-ngram", alphabet="every character")
        game = shown.session_state["_shannon"]
        shown.button(key="shannon_skip").click().run()
        for _ in range(2):
            shown.button(key=f"shannon_{game.wanted}").click().run()
        model, tokenizer = load(ROOT / "checkpoints" / "kjv-char-ngram")
        tokens = [tokenizer.bos_token, *game.truth[: game.place]]
        (logprobs,) = judge(model, [tokens], len(tokens) - 2).logprobs
        assert [one.model_bits for one in game.done] == pytest.approx(
            [-p / math.log(2) for p in logprobs], rel=1e-4
        )

    def test_grey_levels_and_bands_of_sound_are_guessed(self):
        shown = self.opened(kind="Pictures", shannon_image="digits-transformer-raster")
        game = shown.session_state["_shannon"]
        assert len(game.symbols.names) == 17
        shown.text_input(key="shannon_typed").set_value(game.symbols.names[game.wanted]).run()
        assert [one.guesses for one in game.done] == [1]
        shown.segmented_control(key="kind").set_value("Sounds").run()
        assert not shown.exception
        game = shown.session_state["_shannon"]
        assert len(game.symbols.names) == 8
        assert not game.done
        for _ in range(12):
            shown.button(key="shannon_give_up").click().run()
        guesses = [one.guesses for one in game.done]
        assert min(guesses) >= 1
        assert max(guesses) <= 8
        assert len(set(guesses)) > 3  # by chance: giving up is worth no bits

    def test_the_link_tells_the_number_of_a_passage_alone(self):
        shown = self.opened(shannon_text="kjv-char-ngram", passage="7")
        game = shown.session_state["_shannon"]
        assert game.identity[1] == 7
        assert set(shown.query_params) == {"do", "shannon_text", "passage"}


@pytest.mark.parametrize("measure", list(evaluate_metrics.MEASURES))
def test_every_measure_opens_without_computing(measure):
    shown = page(measure=measure)
    assert not shown.error
