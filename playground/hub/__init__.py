"""Models of the Hugging Face Hub: found, looked at before they are fetched, fetched, loaded.

    from playground.hub import from_hub
    model, tokenizer = from_hub("owner/name")

No code of a repository is ever run: its weights are safetensors, its architecture is one that
`transformers` or this package brings, and every file is compared with its hash.
"""

from __future__ import annotations

from typing import Any

from playground.models.base import ARModel


def from_hub(address: str, device: str = "cpu") -> tuple[ARModel, Any]:
    """Return the model and the tokenizer of "owner/name" or "owner/name@revision".

    Raises:
        DataError: it cannot be found or fetched.
        CheckpointError: it cannot be used.
    """
    from playground.hub.fetch import fetch  # here, so that they do not stand for their modules
    from playground.hub.load import load
    from playground.hub.plan import plan

    return load(fetch(plan(address)), device)
