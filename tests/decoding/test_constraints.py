"""Constraints: what is written satisfies them, whatever the model would rather write."""

import json
import random
import re
import threading
import time

import jsonschema
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.decoding import automaton
from playground.decoding.context import Context
from playground.decoding.processors import Processor, check
from playground.errors import ConfigError
from playground.tokenizers.text import BPETokenizer, CharTokenizer
from tests.helpers import ROOT

TEXT = (
    "the cat sat on the mat; Größe, 日本語 and naïve café. I said: no! 0123456789 "
    '{"name": "ab", "age": 7, "tags": ["x", true, false, null]} +-_/*()[]'
)
CHARS = CharTokenizer.train(TEXT)
PAIRS = BPETokenizer.train([TEXT] * 3, 330)
NO_DIGITS = CharTokenizer.train("abc xyz")
TOKENIZERS = {"characters": CHARS, "pairs": PAIRS}

each_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


def context(tokenizer, *made: list[int], prompt: str = "the ") -> Context:
    start = [tokenizer.bos_token, *tokenizer.encode(prompt)]
    rows = torch.tensor([start + row for row in made])
    return Context(rows, len(start), eos_token=tokenizer.eos_token, tokenizer=tokenizer)


def write(processor: Processor, tokenizer, seed: int, most: int = 200, stop: float = 0.3):
    """Sample from random logits until the text is over; return it, and whether it was."""
    generator = torch.Generator().manual_seed(seed)
    coin = random.Random(seed)
    made: list[int] = []
    for _ in range(most):
        where = context(tokenizer, made)
        if processor.is_over(where)[0]:
            return tokenizer.decode(made), True
        logits = 4 * torch.randn(1, tokenizer.vocab_size, generator=generator)
        probs = processor(logits, where).softmax(-1)
        token = int(torch.multinomial(probs, 1, generator=generator))
        if token == tokenizer.eos_token:
            return tokenizer.decode(made), True
        made.append(token)
        form = automaton.automaton_of(processor.name, processor.value, tokenizer).form(tuple(made))
        if tokenizer.eos_token is None and form.is_complete and coin.random() < stop:
            return tokenizer.decode(made), True
    return tokenizer.decode(made), False


PATTERNS = [
    "[0-9]+",
    "a*",
    "(the|cat|mat)( (sat|on))*",
    "[a-z]{3,8}, [a-z]{2}",
    "(0|1[0-9]{0,2})([.][0-9]{1,4})?",
    "é?Größe(日本|語)+",
    "[äöüß日本語]{2,6}",
    "[^a-z]{1,5}",
    "(?i)NO|yes?",
    "[+-]?[0-9]{1,3}/[0-9]{1,3}",
    "I said: no!|(na(ïve)?){2}",
    r"\d{2}-\d{2}",
    "^no$",
    r"\{\"a\": (true|null)\}",
]


@each_tokenizer
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_written_matches_the_pattern(pattern, name):
    tokenizer, processor = TOKENIZERS[name], Processor("regex", pattern)
    check([processor], tokenizer)
    finished = 0
    for seed in range(25):
        text, is_over = write(processor, tokenizer, seed)
        if is_over:
            assert re.fullmatch(pattern, text), text
            finished += 1
    assert finished > 15


SCHEMAS = [
    {"type": "integer", "minimum": 3, "maximum": 120},
    {"enum": ["cat", "mat", 7, None, True]},
    {"const": {"a": [1, "é"]}},
    {"type": "string", "maxLength": 8},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 5},
            "age": {"type": "integer", "minimum": 0, "maximum": 99},
            "tags": {"type": "array", "items": {"enum": ["x", "b"]}, "maxItems": 2},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"anyOf": [{"type": "null"}, {"type": "number", "minimum": 0, "maximum": 1}]},
]


@each_tokenizer
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: json.dumps(s)[:40])
def test_what_is_written_is_json_of_the_schema(schema, name):
    tokenizer = TOKENIZERS[name]
    processor = Processor("json_schema", json.dumps(schema, ensure_ascii=False))
    check([processor], tokenizer)
    finished = 0
    for seed in range(12):
        text, is_over = write(processor, tokenizer, seed)
        if is_over:
            jsonschema.validate(json.loads(text), schema)
            finished += 1
    assert finished > 8


@each_tokenizer
def test_a_choice_is_one_of_the_choices_and_every_one_can_be(name):
    tokenizer = TOKENIZERS[name]
    lines = ["yes", "no", "not now.", "[no]* + (a)", "日本", "no"]
    lines = [line for line in lines if not (tokenizer is CHARS and set(line) - set(CHARS.symbols))]
    processor = Processor("choice", "\n".join(lines) + "\r\n\n")
    check([processor], tokenizer)
    written = [write(processor, tokenizer, seed, stop=0.5) for seed in range(60)]
    assert all(is_over for _, is_over in written)
    assert {text for text, _ in written} == set(lines)


@each_tokenizer
def test_the_mask_is_what_brute_force_allows(name):
    """A token is allowed if some text of the language begins with what there would be then."""
    tokenizer = TOKENIZERS[name]
    language = {"cat", "cats", "mat", "m日a", "the mat sat"} - {"日" * 9}
    processor = Processor("choice", "\n".join(sorted(language)))
    encoded = [text.encode() for text in language]
    for text in language:
        if tokenizer is CHARS and set(text) - set(CHARS.symbols):
            continue
        made: list[int] = []
        for token in tokenizer.encode(text):
            where = context(tokenizer, made)
            shaped = processor(torch.zeros(1, tokenizer.vocab_size), where)[0]
            so_far = b"".join(map(tokenizer.token_bytes, made))
            for other in range(tokenizer.vocab_size):
                if other == tokenizer.eos_token:
                    is_allowed = so_far in encoded
                else:
                    spelled = tokenizer.token_bytes(other)
                    is_allowed = bool(spelled) and any(
                        e.startswith(so_far + spelled) for e in encoded
                    )
                if not shaped[other].isfinite():
                    # Where only one text remains, only its usual tokens are allowed.
                    only = [e for e in encoded if e.startswith(so_far)]
                    common = min(len(e) for e in only) > len(so_far)
                    assert not is_allowed or (name == "pairs" and common), other
                else:
                    assert is_allowed, other
            assert shaped[token].isfinite()
            made.append(token)


def test_complete_and_final_is_over_complete_and_open_is_not():
    def states(pattern: str, text: str, tokenizer) -> tuple[bool, list[str]]:
        processor, where = Processor("regex", pattern), context(tokenizer, tokenizer.encode(text))
        shaped = processor(torch.zeros(1, tokenizer.vocab_size), where)[0]
        left = [tokenizer.label(i) for i in shaped.isfinite().nonzero().flatten().tolist()]
        return processor.is_over(where)[0], left if len(left) < 9 else ["everything"]

    assert states("a+", "a", CHARS) == (False, ["a"])
    assert states("at?", "a", CHARS) == (False, ["t"])
    assert states("at?", "at", CHARS) == (True, ["everything"])  # nothing to choose: as they are
    assert states("a+", "a", PAIRS) == (False, ["a", "⟨end⟩"])
    assert states("at?", "at", PAIRS) == (True, ["⟨end⟩"])
    assert states("a+", "", PAIRS) == (False, ["a"])


@each_tokenizer
def test_a_forced_token_outside_the_language_ends_it(name):
    tokenizer = TOKENIZERS[name]
    processor, wrong = Processor("regex", "a+"), tokenizer.encode("c")
    where = context(tokenizer, wrong)
    logits = torch.randn(1, tokenizer.vocab_size)
    assert processor.is_over(where) == [True]
    assert torch.equal(processor(logits, where), logits)
    assert processor.is_over(context(tokenizer, [*wrong, *tokenizer.encode("a")])) == [True]
    assert processor.is_over(context(tokenizer, [])) == [False]


def test_after_the_end_token_nothing_follows():
    made = [*PAIRS.encode("a"), PAIRS.eos_token]
    assert Processor("regex", "a+").is_over(context(PAIRS, made)) == [True]


def test_the_special_tokens_are_never_allowed_inside():
    shaped = Processor("regex", "(?s:.*)")(
        torch.zeros(1, PAIRS.vocab_size), context(PAIRS, PAIRS.encode("a"))
    )
    assert shaped[0, PAIRS.bos_token] == -torch.inf
    assert shaped[0, : PAIRS.bos_token].isfinite().sum() > 100
    over_chars = Processor("regex", "(?s:.*)")(
        torch.zeros(1, CHARS.vocab_size), context(CHARS, CHARS.encode("a"))
    )
    assert over_chars.isfinite().sum() == CHARS.vocab_size - 1


def test_rows_go_their_own_ways():
    processor = Processor("choice", "cat\nmat\nsat on")
    made = [CHARS.encode(text) for text in ("ca", "ma", "sa", "xx")]
    logits = torch.randn(4, CHARS.vocab_size)
    together = processor(logits, context(CHARS, *made))
    for row in range(4):
        alone = processor(logits[row : row + 1], context(CHARS, made[row]))
        assert torch.equal(alone[0], together[row])
    assert processor.is_over(context(CHARS, *made)) == [False, False, False, True]


def test_a_constraint_has_the_last_word_over_what_was_removed_before():
    where = context(PAIRS, [])
    logits = torch.randn(1, PAIRS.vocab_size)
    logits[0, PAIRS.encode("x")] = 50.0
    first = Processor("top_k", 1)(logits, where)
    shaped = Processor("choice", "no\nyes")(first, where)
    allowed = Processor("choice", "no\nyes")(logits, where).isfinite()
    assert torch.equal(shaped.isfinite(), allowed)
    assert (shaped[allowed] == 0).all()


def test_going_back_branching_and_asking_out_of_order_give_the_same():
    processor = Processor("regex", "(ab|ba|a[0-9])*")
    rng = random.Random(1)
    texts = ["", "a", "ab", "aba", "abab", "ba", "bab", "a7", "a7a", "a7ba", "abba", "a7a0"]
    expected = {}
    for text in texts:
        automaton._automata.clear()
        where = context(CHARS, CHARS.encode(text))
        expected[text] = processor(torch.zeros(1, CHARS.vocab_size), where)
    automaton._automata.clear()
    for _ in range(100):
        text = rng.choice(texts)
        where = context(CHARS, CHARS.encode(text))
        assert torch.equal(processor(torch.zeros(1, CHARS.vocab_size), where), expected[text])


def test_threads_may_share_a_constraint():
    processor = Processor("json_schema", json.dumps(SCHEMAS[5]))
    expected = [write(processor, PAIRS, seed) for seed in range(6)]
    automaton._automata.clear()
    found, problems = {}, []

    def work(seed: int) -> None:
        try:
            found[seed] = write(processor, PAIRS, seed)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert [found[seed] for seed in range(6)] == expected


def test_the_caches_are_bounded_and_limits_of_an_old_automaton_are_forgotten(monkeypatch):
    monkeypatch.setattr(automaton, "MAX_FORMS", 10)
    monkeypatch.setattr(automaton, "MAX_AUTOMATA", 3)
    for n in range(8):
        processor = Processor("regex", f"[a-c]{{1,{20 + n}}}")
        write(processor, CHARS, n)
    assert len(automaton._automata) <= 4
    assert all(len(a._forms) <= 11 for a in automaton._automata.values())
    monkeypatch.setitem(automaton.LIMITS, "max_lexer_states", 300)
    many = automaton.Automaton("regex", "(a|c)*a(a|c){9}", CHARS)
    generator = random.Random(0)
    for _ in range(60):  # more states than that together, few each
        tokens = tuple(CHARS.encode("".join(generator.choices("ac", k=30))))
        form = many.form(tokens)
        assert not form.problem
        assert form.is_complete == bool(re.fullmatch("(a|c)*a(a|c){9}", CHARS.decode(tokens)))


REFUSED = [
    ("regex", "(a", CHARS, "regex cannot be used: unclosed group. Got '(a'"),
    ("regex", "a\\", CHARS, "regex must not end with a single backslash"),
    ("regex", "(?=a)b", PAIRS, "look-around"),
    (r"regex", r"(a)\1", PAIRS, "backreferences are not supported"),
    ("regex", r"[^\x00-\x{10ffff}]", PAIRS, "regex is impossible: nothing matches it"),
    ("regex", r"[^\x00-\x{10ffff}]", CHARS, "regex cannot be written by this model"),
    ("regex", "[0-9]+", NO_DIGITS, "characters that the model has not seen"),
    ("regex", "abc[0-9]x", NO_DIGITS, "regex cannot be written by this model"),
    ("regex", "(a{1,1000}){1,1000}", CHARS, "regex is too large"),
    ("regex", "(a{1,1000}){1,1000}", PAIRS, "Use smaller repeat counts"),
    ("regex", "((a{1,100}){1,100}){1,100}", PAIRS, "regex is too large"),
    ("regex", "(?:a?){5000}a{5000}", CHARS, "regex is too large"),
    ("regex", "a{1000000}", PAIRS, "regex is too large"),
    ("regex", "(" * 9000 + ")" * 9000, PAIRS, "maximum number of nested parentheses"),
    ("choice", "cat\n€5", CHARS, "choice cannot use '€5'. This model has never seen € "),
    ("json_schema", "{", PAIRS, "json_schema must be a JSON object"),
    ("json_schema", "[]", PAIRS, "json_schema must be a JSON object"),
    ("json_schema", "[" * 20_000, PAIRS, "recursion limit"),
    ("json_schema", '{"type": "foo"}', PAIRS, "Invalid type: foo"),
    ("json_schema", '{"not": {}}', PAIRS, "Unimplemented keys"),
    ("json_schema", '{"enum": []}', PAIRS, "Unsatisfiable schema"),
    ("json_schema", '{"$ref": "#"}', PAIRS, "nothing matches it"),
    ("json_schema", '{"$ref": "https://example.org/x"}', PAIRS, "not present in a registry"),
    ("json_schema", '{"type": "integer"}', NO_DIGITS, "json_schema cannot be written"),
    ("json_schema", "{}", CharTokenizer.train('[]{}": ,abfl019'), "json_schema cannot be written"),
]


@pytest.mark.parametrize(
    ("kind", "text", "tokenizer", "message"), REFUSED, ids=lambda v: str(v)[:25]
)
def test_what_cannot_be_is_refused_before_work_starts(kind, text, tokenizer, message):
    start = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        check([Processor(kind, text)], tokenizer)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.perf_counter() - start < 5  # a bound against explosion, no figure of speed


def test_a_character_the_model_lacks_is_no_way_to_begin():
    """Of `aa|bQ` only the first can be written without Q, so b may not be chosen."""
    processor, letters = Processor("regex", "aa|bQ"), CharTokenizer('ab"')
    check([processor], letters)
    shaped = processor(torch.zeros(1, letters.vocab_size), context(letters, [], prompt=""))
    assert shaped[0].isfinite().tolist() == [True, False, False, False]


def test_a_schema_that_gets_stuck_is_over_and_not_complete():
    letters = CharTokenizer('ab"')
    stuck = automaton.automaton_of("json_schema", '{"const": "aQ"}', letters)
    with pytest.raises(ConfigError, match="behind '\"a', nothing can follow"):
        stuck.check()
    form = stuck.form(tuple(letters.encode('"a')))
    assert form.is_over
    assert not form.is_complete
    assert not form.mask.any()


PARTS = [
    "(a|b)", "[a-c]", "{2,5}", "{3,}", "*", "+", "?", "|", "(?:", "(?i)", ")", "(", ".", r"\d",
    r"\b", r"\p{L}", "[^", "]", "a", "é", "日", "&", "~", "/", "\\", "^", "$", r"\x{41}", "--",
    "{1000}", '"', "\n", "#",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=20).map("".join))
@each_tokenizer
def test_any_pattern_works_or_is_refused(name, pattern):
    processor = Processor("regex", pattern)
    try:
        check([processor], TOKENIZERS[name])
    except ConfigError:
        return
    shaped = processor(torch.zeros(1, TOKENIZERS[name].vocab_size), context(TOKENIZERS[name], []))
    assert shaped.isfinite().any()


def test_a_large_choice_is_accepted():
    lines = [f"the {i} cat" for i in range(1500)]
    processor = Processor("choice", "\n".join(lines))
    check([processor], CHARS)
    text, is_over = write(processor, CHARS, 0)
    assert is_over
    assert text in lines


def test_what_is_no_text_cannot_be_constrained():
    class Pixels:
        vocab_size, bos_token, eos_token = 5, 4, None

    for tokenizer in (None, Pixels()):
        with pytest.raises(ConfigError, match="regex needs a model of text"):
            check([Processor("regex", "a")], tokenizer)


def test_the_library_is_loaded_only_when_it_is_needed():
    for path in (ROOT / "playground" / "decoding").glob("*.py"):
        assert not re.search(r"^(import|from) llguidance", path.read_text("utf-8"), re.MULTILINE)
