"""What units hold, against stepping; and which of them track a property of the text."""

import numpy as np
import pytest
import torch

from playground.checkpoints import load
from playground.errors import ConfigError, PromptError
from playground.inspection import recurrent as module
from playground.inspection.recurrent import PROPERTIES, at_tokens, internals, trackers
from playground.inspection.tokenization import ends_of
from playground.models.recurrent import Recurrent, RecurrentConfig
from tests.helpers import ROOT, lstm, random_tokens, transformer

PREFIX = tuple(random_tokens(15).tolist())
KINDS = {
    "rnn": ["hidden"],
    "gru": ["hidden", "reset gate", "update gate"],
    "lstm": ["hidden", "cell", "input gate", "forget gate", "output gate"],
}


def recurrent(cell: str, layer_norm: bool, connection: str) -> Recurrent:
    torch.manual_seed(0)
    config = RecurrentConfig(97, cell, 2, 20, 20, layer_norm, connection)
    return Recurrent(config).eval()


def test_outputs_and_cells_are_those_of_the_states_on_the_way():
    model = lstm()
    values = internals(model, PREFIX).values
    state = model.initial_state(1)
    for t, token in enumerate(PREFIX):
        _, state = model.step(torch.tensor([[token]]), state)
        np.testing.assert_allclose(values["hidden"][:, t], state.h[:, 0], atol=1e-5)
        np.testing.assert_allclose(values["cell"][:, t], state.c[:, 0], rtol=1e-4, atol=1e-5)


def test_gates_are_what_makes_a_cell_of_the_one_before():
    values = internals(lstm(), PREFIX).values
    assert values["hidden"] == pytest.approx(
        values["output gate"] * np.tanh(values["cell"]), abs=1e-5
    )
    new = values["cell"][:, 1:] - values["forget gate"][:, 1:] * values["cell"][:, :-1]
    assert (np.abs(new) <= values["input gate"][:, 1:] + 1e-5).all()  # its tanh is in -1..1
    for gate in ("input gate", "forget gate", "output gate"):
        assert 0 <= values[gate].min() < values[gate].max() <= 1


@pytest.mark.parametrize("connection", ["plain", "highway"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_cells_side_by_side_tell_their_states_and_the_gates_they_have(cell, layer_norm, connection):
    model = recurrent(cell, layer_norm, connection)
    told = internals(model, PREFIX).values
    assert list(told) == KINDS[cell]
    state = model.initial_state(1)
    for t, token in enumerate(PREFIX):
        _, state = model.step(torch.tensor([[token]]), state)
        np.testing.assert_allclose(told["hidden"][:, t], state.h[:, 0], atol=1e-5)
        if cell == "lstm":
            np.testing.assert_allclose(told["cell"][:, t], state.c[:, 0], rtol=1e-4, atol=1e-5)
    h = told["hidden"]
    if cell == "lstm":
        assert h == pytest.approx(told["output gate"] * np.tanh(told["cell"]), abs=1e-5)
    if cell == "gru":  # between the output before and a new one in -1..1, as the gate says
        new = h[:, 1:] - told["update gate"][:, 1:] * h[:, :-1]
        assert (np.abs(new) <= 1 - told["update gate"][:, 1:] + 1e-5).all()
    for gate in KINDS[cell][2 if cell == "lstm" else 1 :]:
        assert 0 <= told[gate].min() < told[gate].max() <= 1


@pytest.mark.parametrize(("gate", "is_open"), [("reset gate", 0.0), ("update gate", 1.0)])
def test_a_gate_of_a_gru_has_the_name_of_what_it_does(gate, is_open):
    """A reset gate that is shut hides the past from what is new; an update gate keeps it."""
    model = recurrent("gru", False, "plain")
    names = list(KINDS["gru"][1:])
    at = names.index(gate) * 20
    with torch.no_grad():
        for cell in model.cells:
            cell.bias_ih[at : at + 20] = 100.0 * (2 * is_open - 1)
    told = internals(model, PREFIX).values
    assert told[gate] == pytest.approx(np.full_like(told[gate], is_open), abs=1e-5)
    if gate == "update gate":
        assert told["hidden"] == pytest.approx(np.zeros_like(told["hidden"]), abs=1e-5)
    else:  # then a new value is of the input alone, so equal tokens bring equal new values
        held = internals(model, [PREFIX[0], *[PREFIX[1]] * 6]).values
        kept = held["update gate"][0, 2:]
        new = (held["hidden"][0, 2:] - kept * held["hidden"][0, 1:-1]) / (1 - kept)
        assert new == pytest.approx(np.broadcast_to(new[:1], new.shape), abs=1e-4)


def test_the_newest_are_told_as_if_all_were(monkeypatch):
    model = lstm()
    whole, newest = internals(model, PREFIX), internals(model, PREFIX, newest=4)
    assert newest.first == 11
    for name, values in newest.values.items():
        np.testing.assert_allclose(values, whole.values[name][:, 11:], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(module, "MAX_VALUES", 2 * 20 * 3)
    assert internals(model, PREFIX).values["cell"].shape == (2, 3, 20)


def test_a_unit_that_follows_is_found_among_noise_and_noise_is_not_beyond_chance():
    generator = np.random.default_rng(0)
    wanted = PROPERTIES["position in the word"]("the cat sat on the mattress " * 20)
    noise = generator.normal(size=(2, len(wanted), 40)).astype(np.float32)
    values = noise.copy()
    values[1, :, 7] -= 2 * wanted
    found = trackers(values, wanted)
    assert (found.units[0].layer, found.units[0].unit) == (1, 7)
    expected = np.corrcoef(values[1, :, 7], wanted)[0, 1]
    assert found.units[0].correlation == pytest.approx(expected, abs=1e-4)
    assert expected < -0.9
    unlike = generator.normal(size=len(wanted))
    by_chance = trackers(noise, unlike)
    assert 0.05 < by_chance.chance.mean() < 0.25
    assert abs(by_chance.units[0].correlation) < 1.5 * by_chance.chance.mean()
    assert not trackers(np.zeros_like(values), wanted).is_beyond_chance  # dead units


def test_an_lstm_that_reads_scripture_has_a_unit_for_the_place_in_a_word():
    model, tokenizer = load(ROOT / "checkpoints" / "kjv-char-lstm")
    text = (ROOT / "tests" / "data" / "king_james_tail.txt").read_text(encoding="utf-8")[:600]
    seen = internals(model, [tokenizer.bos_token, *tokenizer.encode(text)])
    wanted = at_tokens(PROPERTIES["position in the word"](text), ends_of(tokenizer, text))
    found = trackers(seen.values["cell"], wanted)
    assert found.is_beyond_chance
    assert abs(found.units[0].correlation) > 0.6


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside quotes", 'a "b" “c” d', [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0]),
        ("position in the line", "ab\ncd", [1, 2, 0, 1, 2]),
        ("position in the word", "ab, c", [1, 2, 0, 0, 1]),
        ("position in the sentence", "A. B", [1, 0, 1, 2]),
        ("bracket depth", "(a[b])c)", [1, 1, 2, 2, 1, 0, 0, 0]),
        ("a word has just ended", "ab, c.", [0, 0, 1, 0, 0, 1]),
        ("capital letter", "aBc", [0, 1, 0]),
    ],
)
def test_properties_say_what_they_are_named_after(name, text, expected):
    assert PROPERTIES[name](text).tolist() == expected


def test_a_property_of_characters_is_one_of_tokens_behind_each():
    assert at_tokens(np.array([1.0, 2.0, 3.0]), [0, 2, 3]).tolist() == [0, 2, 3]


def test_what_cannot_be_told_is_said():
    with pytest.raises(ConfigError, match="Transformer has no recurrent units"):
        internals(transformer(), PREFIX)
    values = np.zeros((1, 30, 4), np.float32)
    with pytest.raises(PromptError, match="the same at every token"):
        trackers(values, np.ones(30))
    with pytest.raises(PromptError, match="over 10 tokens says nothing"):
        trackers(values[:, :10], np.arange(10))
