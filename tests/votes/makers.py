"""Votes for tests."""

import json

from playground.votes.vote import CRITERIA, Vote, digest


def a_vote(number: int = 0, judge: str = "ab" * 8, **changes) -> Vote:
    """Return a vote on the pair of that number: the first of two lanes won."""
    modality = changes.get("modality", "text")
    told = {
        "pair": digest("pair", number), "judge": judge, "arena": digest("arena"),
        "number": number, "modality": modality, "first_name": "greedy", "second_name": "sample",
        "first_spec": json.dumps({"strategy": "greedy"}),
        "second_spec": json.dumps({"strategy": "sample"}),
        "verdicts": dict.fromkeys(CRITERIA.get(modality, ()), "first"),
        "first_text": "the the the", "second_text": "a brown fox", "prompt": "In",
    }  # fmt: skip
    return Vote(**(told | changes))
