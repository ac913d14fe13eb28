"""Small tasks that a prompt can explain by examples, as data."""

from __future__ import annotations

from dataclasses import dataclass

from playground.errors import ConfigError

MAX_PAIRS, MAX_CHARACTERS = 200, 500
QUESTION = "{question}"


@dataclass(frozen=True)
class Task:
    """Pairs of question and answer, and how they are written.

    `template` holds {question} and ends where the answer begins; the answer brings its own blank
    along, since tokenizers of words begin a word with one. `end` separates the examples.

    Raises:
        ConfigError: fewer than two pairs, too many or too long ones, or no place for the question.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    template: str = "{question}:"
    end: str = "\n"

    def __post_init__(self):
        if not 2 <= len(self.pairs) <= MAX_PAIRS:
            raise ConfigError(
                f"A task needs 2 to {MAX_PAIRS} pairs of question and answer, got "
                f"{len(self.pairs)}. Write one pair a line."
            )
        if QUESTION not in self.template:
            raise ConfigError(
                f"The template must hold {QUESTION}, got {self.template!r:.80}. Put it where the "
                "question goes."
            )
        longest = max(len(text) for pair in self.pairs for text in (*pair, self.template, self.end))
        if longest > MAX_CHARACTERS:
            raise ConfigError(
                f"A question, an answer and the template may each have {MAX_CHARACTERS} "
                f"characters, got one with {longest}. Shorten it."
            )
        for question, answer in self.pairs:
            if not question.strip() or not answer.strip():
                raise ConfigError(
                    f"A question or its answer is empty: {question!r:.40}, {answer!r:.40}. Give "
                    "both, or leave the pair out."
                )

    def asked(self, question: str) -> str:
        """Return the question as it is written, up to where the answer begins."""
        return self.template.replace(QUESTION, question)

    def solved(self, question: str, answer: str) -> str:
        """Return an example with its answer."""
        return self.asked(question) + answer + self.end


def task_from_text(text: str, name: str = "own", template: str = "{question}:") -> Task:
    """Return the task of which `text` has a pair on each line, "question = answer".

    Raises:
        ConfigError: a line has no =, or the task is none.
    """
    pairs = []
    for number, line in enumerate(text.splitlines()[: 2 * MAX_PAIRS], start=1):
        if not line.strip():
            continue
        question, equals, answer = line.partition("=")
        if not equals:
            raise ConfigError(
                f"Line {number} has no =, got {line!r:.60}. Write “question = answer” on each line."
            )
        pairs.append((question.strip(), f" {answer.strip()}" if answer.strip() else ""))
    return Task(name, tuple(pairs), template)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of "a b, c d": question and answer, which begins with a blank."""
    pairs = (item.split() for item in text.split(","))
    return tuple((question, f" {answer}") for question, answer in pairs)


_WORDS = "house tree river stone bread light water night king son earth city gate field horse sword"
_LETTERS = "abcdefghijklmnopqrstuvw"
_SPOKEN = "man son lord god earth people children land father hand heart word house day city king"

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "capitals",
            _pairs(
                "France Paris, Germany Berlin, Italy Rome, Spain Madrid, Japan Tokyo, "
                "China Beijing, Russia Moscow, Egypt Cairo, Greece Athens, Austria Vienna, "
                "Poland Warsaw, Portugal Lisbon, Ireland Dublin, Norway Oslo, Sweden Stockholm, "
                "Cuba Havana"
            ),
        ),
        Task(
            "antonyms",
            _pairs(
                "hot cold, big small, good bad, up down, left right, day night, black white, "
                "old young, rich poor, fast slow, high low, open closed, happy sad, wet dry, "
                "hard soft, light dark"
            ),
        ),
        Task(
            "plural",
            _pairs(
                "house houses, tree trees, king kings, son sons, river rivers, stone stones, "
                "day days, year years, hand hands, word words, city cities, man men, foot feet, "
                "child children, field fields, gate gates"
            ),
        ),
        Task("copying", tuple((word, f" {word}") for word in _WORDS.split())),
        Task("uppercase", tuple((word, f" {word.upper()}") for word in _SPOKEN.split())),
        Task(
            "letter sequence",
            tuple(
                (" ".join(_LETTERS[i : i + 3]), f" {_LETTERS[i + 3]}")
                for i in range(len(_LETTERS) - 3)
            ),
        ),
    )
}
