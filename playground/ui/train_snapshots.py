"""One prompt's next token before, during and after a training, from the copies that it kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from playground.checkpoints import load
from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.errors import CheckpointError, PlaygroundError
from playground.running import trainings
from playground.running.snapshots import snapshots
from playground.running.trainings import Training
from playground.traces.trace import Step
from playground.ui import charts, components, state, train_charts
from playground.ui.controls import plain
from playground.ui.resources import turn

PROMPTS = {  # by the corpus that was learned
    "king-james": "And God said, ", "moby-dick": "the White Whale ", "prose": "the people of ",
    "state-of-the-union": "the people of the United ", "python-source": "def __init__(self, ",
    "german": "Die Regierung ",
}  # fmt: skip
OWN_PROMPT = 24  # characters of the beginning of another text
MAX_CHARACTERS = 100


@dataclass(frozen=True)
class Knowledge:
    """What a snapshot makes of a prompt."""

    next: Step  # the decision about what follows
    bits: tuple[float, ...]  # surprisal of each token of the prompt
    labels: tuple[str, ...]  # of them
    names: dict[int, str]  # of the candidates
    left_out: int  # tokens of the beginning for which there is no room


@st.cache_resource(max_entries=400, show_spinner=False)
def _knowledge(folder: str, written: int, prompt: str) -> Knowledge:
    """Load a snapshot, ask it, and let go of it again."""
    model, tokenizer = load(Path(folder))
    told = tokenizer.encode(prompt)
    read = told[-(model.context_length - 1) :] if model.context_length else told
    tokens = [tokenizer.bos_token, *read]
    stepper = Stepper(model, Path(folder).name, tokens, n_candidates=charts.SHOWN)
    decision = stepper.peek(Lane(Greedy()))
    label = tokenizer.label
    listed = {decision.token, *(candidate.token for candidate in decision.candidates)}
    return Knowledge(
        decision,
        tuple(step.surprisal for step in stepper.prompt_steps),
        tuple(label(token) for token in tokens[1:]),
        {token: label(token) for token in listed},
        len(told) - len(read),
    )


def section(training: Training) -> None:
    """Draw a slider over the saved steps, the distribution there, and surprisal at all of them."""
    run = training.folder
    kept = snapshots(run)
    if len(kept) < 2:
        return
    st.subheader("What it knew when", anchor=False)
    st.caption(
        "The run kept copies of itself before, during and after training. Each reads the same "
        "prompt; the slider chooses whose next token is drawn."
    )
    prompt = st.text_input("Prompt", _first_prompt(training), key=f"train_prompt_{run.name}",
                           max_chars=MAX_CHARACTERS)  # fmt: skip
    steps = list(kept)
    # Whoever looks at the last step goes on to each new one; whoever looks back stays there.
    key = f"train_at_{run.name}"
    before = state.value(f"{key}_{len(steps) - 1}")
    begin = before if before in steps and before != steps[-2] else steps[-1]
    step = st.select_slider(
        "After so many optimizer steps", steps, begin, key=f"{key}_{len(steps)}",
        format_func=lambda step: f"{step:,}" if step else "0 (before training)",
    )  # fmt: skip
    known: dict[int, Knowledge] = {}
    problem = ""
    try:
        with turn():
            for at in steps:
                try:
                    known[at] = _ask(kept[at], prompt)
                except CheckpointError as error:  # of a run that diverged: the others can be asked
                    if at == step:
                        problem = f"{error} Or move the slider to another step."
    except PlaygroundError as error:
        problem = str(error)
    if step not in known:
        st.error(plain(problem))
        return
    if known[step].left_out:
        st.caption(f"The prompt is longer than what the model sees at once: its first "
                   f"{known[step].left_out} tokens are left out.")  # fmt: skip
    _next(known[step], step)
    if known[step].bits:
        _prompt(known, step)


def _first_prompt(training: Training) -> str:
    """Return a prompt of which every character is in the text that was learned."""
    known = PROMPTS.get(training.flag("--data"))
    if known is not None:
        return known
    try:
        with open(training.folder / trainings.CORPUS, encoding="utf-8") as file:
            return " ".join(file.read(OWN_PROMPT).split())
    except (OSError, UnicodeDecodeError):
        return ""  # it is asked what it begins with


def _ask(folder: Path, prompt: str) -> Knowledge:
    return _knowledge(str(folder), (folder / "config.json").stat().st_mtime_ns, prompt)


def _next(known: Knowledge, step: int) -> None:
    decision, label = known.next, known.names.__getitem__
    rows = [row | {"sid": ""} for row in charts.candidate_rows(decision, label)]
    data = charts.candidate_bars(rows, decision.stages) | {
        "title": f"What can come next, after {step:,} steps",
        "facts": f"{label(decision.token)} is the likeliest: probability "
        f"{math.exp(decision.logprob):.2%}\nentropy {decision.entropy_bits:.2f} bits",
        "alt": f"Probabilities of the next token after {step} steps; the most likely is "
        f"{rows[0]['name']}, {rows[0]['probability']:.0%}",
    }
    components.candidate_bars(key="train_next", data=data, on_take_change=lambda: None)


def _prompt(known: dict[int, Knowledge], step: int) -> None:
    """Draw how surprising the prompt itself was, as a whole and token by token."""
    labels, bits = known[step].labels, [what.bits for what in known.values()]
    rows = train_charts.mean_rows(list(known), bits, step)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown("**How surprising the prompt is**")
        st.vega_lite_chart(
            spec=train_charts.mean_chart(rows).to_dict(), key="train_mean", width="stretch",
            alt=f"Mean surprisal of the prompt: {rows[0]['bits']:.2f} bits before training, "
            f"{rows[-1]['bits']:.2f} at the end",
        )  # fmt: skip
    with right:
        st.markdown("**Token by token**")
        cells = train_charts.surprisal_rows(list(known), bits, labels)
        st.vega_lite_chart(
            spec=train_charts.surprisal_chart(cells, labels, step).to_dict(), key="train_cells",
            width="stretch", alt="Surprisal of each token of the prompt after each number of steps",
        )  # fmt: skip
