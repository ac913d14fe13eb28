"""The Arena makes blind pairs, keeps a vote once, and reveals who was who only after that."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec, specs_to_text
from playground.ui.arena_pairs import Arena, Pair, name_of
from playground.votes.store import Store
from playground.votes.table import to_csv
from tests.pages.opened import opened
from tests.votes.makers import a_vote

MODEL = "kjv-char-ngram"
TWO = (
    LaneSpec("greedy", "greedy", model=MODEL),
    LaneSpec("hot", processors=(Processor("temperature", 1.5),), model=MODEL),
)
JUDGE = "ab" * 8


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    path = tmp_path / "votes.sqlite3"
    monkeypatch.setenv("PLAYGROUND_VOTES", str(path))
    monkeypatch.delenv("PLAYGROUND_VOTES_REPO", raising=False)
    return Store(path)


def arena_page(**query: str) -> AppTest:
    usual = {"do": "Arena", "tokens": "12", "contestants": specs_to_text(list(TWO))}
    return opened("5_Evaluate", 120, **usual | query)


def session_of(page: AppTest):
    return page.session_state["_arena"]


def make(page: AppTest, button: str = "arena_begin") -> AppTest:
    """Ask for a pair and let the ticks of the fragment pass."""
    page.button(key=button).click().run()
    for _ in range(200):
        assert not page.exception
        if session_of(page).stage != "making":
            return page
        page.run()
    raise AssertionError("the pair is never whole")


def answer(page: AppTest, *verdicts: str) -> AppTest:
    for verdict in verdicts:
        page.button(key=f"arena_{verdict}").click().run()
        assert not page.exception
    return page


def read(page: AppTest) -> str:
    """Everything in the middle of the page, as it is read."""
    kinds = (page.main.markdown, page.main.caption, page.main.subheader, page.main.success,
             page.main.error, page.main.info, page.main.warning)  # fmt: skip
    return re.sub(r"\\(\W|_)", r"\1", " ".join(e.value for kind in kinds for e in kind))


def test_a_pair_is_blind_until_all_three_questions_are_answered_and_the_vote_is_kept(store):
    page = make(arena_page(voter=JUDGE))
    for question in ("Fluency", "Coherence", "Relevance"):
        assert question in page.main.subheader[0].value
        assert "greedy" not in read(page)
        assert "hot" not in read(page).replace("nothing", "")
        assert "bits" not in read(page)
        assert store.count() == 0
        answer(page, "A")
    shown = session_of(page).pair.as_shown(JUDGE)
    assert f"A was {name_of(shown[0].spec)}" in read(page)
    assert f"B was {name_of(shown[1].spec)}" in read(page)
    assert "bits a character" in read(page)
    (vote,) = store.votes()
    assert vote.judge == JUDGE
    assert (vote.first_name, vote.second_name) == tuple(name_of(s.spec) for s in shown)
    assert (vote.first_text, vote.second_text) == tuple(s.content for s in shown)
    assert set(vote.verdicts.values()) == {"first"}


def test_each_question_has_its_answer_and_the_last_can_be_taken_back(store):
    page = answer(make(arena_page()), "tie", "A")
    page.button(key="arena_back").click().run()
    answer(page, "both_bad", "B")
    (vote,) = store.votes()
    assert vote.verdicts == {"fluency": "tie", "coherence": "both bad", "relevance": "second"}


def test_the_same_pair_in_two_tabs_counts_once_and_a_reload_goes_on_behind_it(store):
    first, second = make(arena_page(voter=JUDGE)), make(arena_page(voter=JUDGE))
    answer(first, "A", "A", "A")
    answer(second, "B", "B", "B")
    assert "your first vote counts" in read(second)
    assert [set(v.verdicts.values()) for v in store.votes()] == [{"first"}]
    again = make(arena_page(voter=JUDGE))
    assert session_of(again).pair.number == 1
    answer(again, "A", "A", "A")
    make(again, "arena_next")
    assert session_of(again).pair.number == 2
    assert store.count() == 2


def test_another_judge_gets_the_same_pairs_and_an_id_of_their_own(store):
    pages = [answer(make(arena_page()), "A", "A", "A") for _ in range(2)]
    votes = store.votes()
    assert votes[0].pair == votes[1].pair
    assert votes[0].judge != votes[1].judge
    assert pages[0].query_params["voter"] == votes[0].judge
    assert {votes[0].first, votes[0].second} == {votes[1].first, votes[1].second}


def test_the_order_is_each_judges_own_and_says_nothing():
    """Over many judges either one stands first about half of the time."""
    from playground.registry import available
    from playground.ui.compare_actions import loader

    pair = Pair(Arena("text", TWO, "In", length=4), 0, loader(available("text"), "cpu"))
    while pair.advance():
        pass
    first = [pair.as_shown(f"{i:016x}")[0].spec.label for i in range(200)]
    assert 75 <= first.count("greedy") <= 125
    assert pair.as_shown(JUDGE)[0].spec == pair.as_shown(JUDGE)[0].spec


def test_every_two_meet_once_before_any_two_meet_again():
    three = (*TWO, LaneSpec("sample", model=MODEL))
    arena = Arena("text", three, "In", length=4)
    met = [frozenset(s.label for s in arena.meeting(n)) for n in range(9)]
    for start in (0, 3, 6):
        assert len(set(met[start : start + 3])) == 3


def test_one_contestant_is_no_arena_and_a_prompt_that_cannot_be_read_is_told(store):
    page = arena_page(contestants=specs_to_text([TWO[0]]))
    page.button(key="arena_begin").click().run()
    assert "two different contestants" in read(page)
    page = arena_page(prompt="中文")
    page.button(key="arena_begin").click().run()
    assert session_of(page).stage == "idle"
    assert page.main.error


def test_a_vote_that_cannot_be_kept_is_told_nothing_is_revealed_and_it_can_be_sent_again(
    store, monkeypatch
):
    page = answer(make(arena_page()), "A", "A")
    whole = store.path.read_bytes()
    for beside in store.path.parent.glob("votes.sqlite3-*"):
        beside.unlink()
    store.path.write_bytes(b"this is no database" * 300)
    answer(page, "A")
    assert "damaged" in read(page)
    assert "A was" not in read(page)
    store.path.write_bytes(whole)
    page.button(key="arena_send").click().run()
    assert "Your vote is kept" in read(page)
    assert store.count() == 1


def test_other_settings_put_the_pair_away(store):
    page = make(arena_page())
    page.number_input(key="seed").set_value(7).run()
    assert session_of(page).pair is None
    assert "settings have changed" in read(page)


def test_contestants_are_added_and_removed_and_the_link_carries_them(store):
    page = arena_page()
    page.selectbox(key="arena_add_text").set_value("top-k 20").run()
    assert [s.label for s in session_of(page).contestants["text"]] == ["greedy", "hot", "top-k 20"]
    page.button(key="arena_remove_0").click().run()
    assert [s.label for s in session_of(page).contestants["text"]] == ["hot", "top-k 20"]
    other = arena_page(contestants=page.query_params["contestants"])
    assert session_of(other).contestants["text"] == session_of(page).contestants["text"]


def test_a_broken_link_is_told_and_the_usual_ones_compete(store):
    page = arena_page(contestants="%%%", voter="<script>")
    assert "cannot be used" in read(page)
    assert len(session_of(page).contestants["text"]) >= 2
    assert re.fullmatch("[0-9a-f]{16}", session_of(page).judge)


def test_results_show_ratings_agreement_and_files(store):
    page = answer(make(arena_page()), "A", "A", "B")
    answer(make(page, "arena_next"), "tie", "B", "B")
    other = answer(make(arena_page()), "A", "both_bad", "B")
    other.segmented_control(key="arena_view").set_value("Results").run()
    assert not other.exception
    assert "3 votes on 2 pairs by 2 judges" in read(other)
    (table, told) = (frame.value for frame in other.dataframe)
    assert set(table["contestant"]) == {spec.label for spec in TWO}
    assert f"All are by **{MODEL}**" in read(other)
    assert "over the pairs of each, as there are few judges" in read(other)
    assert all(" to " in span for span in table["95 % interval"])
    assert list(told["shared pairs"]) == [1, 1, 1]
    page = other.segmented_control(key="arena_by_text").set_value("fluency").run()
    assert "3 verdicts are rated" in read(page)


def test_a_data_set_without_a_token_is_told_and_votes_stay_here(store, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_VOTES_REPO", "somebody/votes")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    page = answer(make(arena_page()), "A", "A", "B")
    page.segmented_control(key="arena_view").set_value("Results").run()
    assert not page.exception
    assert store.count() == 1
    assert "Votes stay on this machine" in read(page)
    assert "no token is set in HF_TOKEN" in read(page)


def test_a_file_of_votes_is_compared_and_never_added(store):
    page = arena_page()
    page.segmented_control(key="arena_view").set_value("Results").run()
    assert "no votes on this yet" in read(page)
    votes = [a_vote(i, judge=f"{i % 2:016x}") for i in range(6)]
    page.file_uploader(key="arena_file").upload("v.csv", to_csv(votes).encode(), "text/csv").run()
    assert not page.exception
    assert "6 votes" in read(page)
    assert "the votes set no bound" in read(page)
    assert store.count() == 0


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_pictures_and_sounds_compete_on_quality_coherence_and_fit(store, modality, house):
    if modality == "audio":
        from tests.sound_checkpoints import write_checkpoint

        write_checkpoint(house / "runs" / "words")
    of = {"image": "Pictures", "audio": "Sounds"}[modality]
    page = make(arena_page(of=of, contestants="", seconds="0.05"))
    assert "Quality" in page.main.subheader[0].value
    asked = read(page)
    answer(page, "A", "tie", "B")
    assert ("What was told" if modality == "image" else "Nothing was told") in asked
    (vote,) = store.votes()
    assert list(vote.verdicts) == ["quality", "coherence", "fit"]
    assert vote.modality == modality
    assert vote.first_text == ""
