"""Heads left out: how far the next token's distribution moves without each of them."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from playground.inspection.ablation import ablations, all_heads, kl_map
from playground.models.ablation import WithoutHeads
from playground.models.base import device_of
from playground.models.conditioned import without_wrappers
from playground.ui import components, inside_charts, inside_data, views
from playground.ui.controls import plain
from playground.ui.inside_components import head_grid
from playground.ui.inside_data import head_name, looked
from playground.ui.inside_views import Seen, choose_head
from playground.ui.jobs import TICK_S, Job

READ = (64, 128, 256, 512)  # newest tokens that every ablation reads
AT_ONCE = 2_000  # tokens read in all that need no button


def left_out(seen: Seen) -> None:
    """Draw KL of every head as a grid, and the distributions with and without one of them."""
    inner = without_wrappers(seen.model)
    count = inner.n_layer * inner.n_head
    sizes = [n for n in READ if n < len(seen.prefix)] + [min(len(seen.prefix), READ[-1])]
    sizes = sorted(set(sizes))
    read = sizes[0]
    if len(sizes) > 1:
        read = st.segmented_control(
            "Newest tokens that are read", sizes, default=sizes[0], required=True,
            key="inside_read", help=f"Each of the {count} heads costs one pass over them; what "
            "came before is not read, so the distribution may differ from the one above.",
        )  # fmt: skip
    prefix = newest(seen.prefix, read)
    job = looked(seen.session, ("heads", read, seen.step.token), Job)
    if not job.found and job.going is None and count * read <= AT_ONCE:
        begin(job, seen, prefix)
    if job.going is None and len(job.found) < count:
        st.button(f"Leave out each of the {count} heads in turn", type="primary",
                  key="inside_heads_start", on_click=begin, args=(job, seen, prefix))  # fmt: skip

    was_going = job.going is not None

    @st.fragment(run_every=TICK_S + 0.05 if was_going else None)
    def progress() -> None:
        """Go on for a moment, and draw what is known."""
        job.advance()
        if was_going and job.going is None:  # it has come to its end, or Stop was pressed
            st.rerun()  # the button and the files concern the whole page
        if job.problem:
            st.error(plain(job.problem))
        if job.going is not None:
            st.progress(len(job.found) / count, f"{len(job.found)} of {count} heads")
            st.button("Stop", icon=":material/stop:", key="inside_heads_stop",
                      on_click=job.stop)  # fmt: skip
        if job.found:
            _draw(seen, job, prefix)

    progress()
    if job.found and job.going is None:
        _offer(seen, job)


def newest(prefix: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return BOS and the newest of `prefix`, `count` tokens in all."""
    return prefix if len(prefix) <= count else (prefix[0], *prefix[1 - count :])


def begin(job: Job, seen: Seen, prefix: tuple[int, ...]) -> None:
    """Begin to leave out the heads that are not known yet."""
    left = all_heads(seen.model)[len(job.found) :]
    choices = [[at] for at in left]
    job.going, job.problem = ablations(seen.model, prefix, choices, seen.step.token), ""


def _draw(seen: Seen, job: Job, prefix: tuple[int, ...]) -> None:
    inner = without_wrappers(seen.model)
    session = seen.session
    chosen = inside_data.chosen_head(session, inner.n_layer, inner.n_head)
    known = len(job.found)
    bits = np.zeros(inner.n_layer * inner.n_head)
    bits[:known] = [a.kl for a in job.found]
    most = max(job.found, key=lambda a: a.kl)
    (worst,) = most.heads
    so_far = "" if known == len(bits) else f", of {known} of {len(bits)} heads so far"
    left, right = st.columns([2, 3], gap="large")
    with left:
        head_grid(
            key="inside_heads",
            data=inside_data.grid_data(
                inner.n_layer, inner.n_head, bits, inside_data.ablation_tips(job.found, seen.label),
                chosen=chosen, title="How far the distribution moves without each head",
                facts=f"Most without {head_name(worst)}{so_far}: {most.kl:.3g} bits "
                f"(KL divergence). Click a head to see what becomes of the next token.",
                low="0", high=f"{most.kl:.3g} bits", known=known, scale=most.kl,
            ),
            on_head_change=lambda: choose_head(session, "inside_heads"),
        )  # fmt: skip
    if chosen is None and job.going is not None:
        return  # which head changes most is not known yet
    with right:
        head = chosen or worst
        whole = looked(session, ("with", prefix), lambda: logprobs(seen, prefix, ()))
        without = looked(session, ("without", prefix, head),
                         lambda: logprobs(seen, prefix, (head,)))  # fmt: skip
        data = inside_data.before_and_after(whole, without, seen.label, head_name(head),
                                           seen.step.token)  # fmt: skip
        rows = data["rows"]
        components.candidate_bars(
            key="inside_without",
            data=data | {
                "title": f"The next token without {head_name(head)}",
                "facts": f"{rows[0]['name']}: {rows[0]['cells'][0][2]} with all heads, "
                f"{rows[0]['cells'][1][2]} without this one",
                "alt": "The likeliest next tokens with and without a head",
            },
        )  # fmt: skip


@torch.inference_mode()
def logprobs(seen: Seen, prefix: tuple[int, ...], heads: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return log p (V,) of what follows `prefix` without `heads`."""
    tokens = torch.tensor([prefix], device=device_of(without_wrappers(seen.model)))
    logits = WithoutHeads(seen.model, heads).forward(tokens)[0, -1]
    return logits.float().log_softmax(-1).cpu().numpy()


def _offer(seen: Seen, job: Job) -> None:
    inner = without_wrappers(seen.model)
    rows = [
        {
            "layer": layer + 1, "head": head + 1, "kl_bits": a.kl, "token": seen.label(a.token),
            "change_bits": a.change, "likeliest": seen.label(a.top), "probability": a.top_prob,
        }
        for a in job.found
        for layer, head in a.heads
    ]  # fmt: skip

    def chart():
        bits = kl_map(job.found, inner.n_layer, inner.n_head)
        return inside_charts.heads_chart(bits, "Without each head", "KL (bits)")

    files = views.chart_files("Heads", chart)
    files["Heads (CSV)"] = ("heads.csv", lambda: inside_data.table_csv(rows))
    views.offer(files, seen.loaded.card.name)
