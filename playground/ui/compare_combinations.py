"""What can be set of models that are combined, in the words of the tables of strategies."""

from __future__ import annotations

from playground.decoding.kinds import Parameter

SETTINGS: dict[str, tuple[Parameter, ...]] = {
    "guided": (
        Parameter("guidance_scale", 1.5, 0.0, 20.0, 1.5, 0.1,
                  help="1 is the model itself; above 1 the prompt, or the class, weighs more."),
        Parameter("negative_prompt", "", high=400, kind="text",
                  help="What the text is to lead away from. Empty: from no prompt at all."),
    ),
    "contrastive_decoding": (
        Parameter("alpha", 0.1, 0.0, 1.0, 0.1, 0.05,
                  help="Only tokens at least this many times as likely as the best are kept."),
        Parameter("beta", 0.5, 0.0, 10.0, 0.5, 0.1, help="Weight of the small model; 0: none."),
    ),
    "dola": (
        Parameter("dola_layers", "high", options=("low", "high"),
                  help="Which half of the layers the early one is chosen from."),
        Parameter("relative_top", 0.1, 0.0, 1.0, 0.1, 0.05,
                  help="Only tokens at least this many times as likely as the best are kept."),
    ),
    "ensemble": (
        Parameter("weight", 0.5, 0.0, 1.0, 0.5, 0.05, help="Share of the second model."),
        Parameter("how", "mixture", options=("mixture", "product"),
                  help="Mean of the probabilities, or of their logarithms."),
    ),
}  # fmt: skip

OF_TEXTS = ("negative_prompt",)


def settings_of(combination: str, modality: str) -> tuple[Parameter, ...]:
    """Return what can be set of a combination of models of text or of pictures."""
    found = SETTINGS.get(combination, ())
    return tuple(p for p in found if modality == "text" or p.name not in OF_TEXTS)
