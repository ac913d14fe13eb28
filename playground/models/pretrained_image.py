"""ImageGPT: GPT-2 over pixels. p(x) = prod_t p(x_t | x_<t), x_t one of 512 colours, row by row.

Chen et al. 2020, "Generative Pretraining from Pixels". Its start token is read and never
predicted: the output layer is one narrower than the embedding, and so the start has a logit of
-inf, as it has in what draws (`conditioned.as_drawn`). Everything else is a language model's, so
`PretrainedLM` reads it; here is only what makes it one of pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playground.errors import CheckpointError
from playground.models.pretrained import PretrainedLM

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILIES = ("imagegpt",)  # values of `model_type`


def pretrained_image(inner: PreTrainedModel) -> PretrainedLM:
    """Return `inner` as an ARModel of pictures; its start token is the last, `vocab_size - 1`.

    Raises:
        CheckpointError: it is another kind of model, or predicts its start token.
    """
    kind = getattr(inner.config, "model_type", None)
    if kind not in FAMILIES:
        raise CheckpointError(
            f"Models of pictures of the kind {kind!r} are not read; these are: "
            f"{', '.join(FAMILIES)}. Choose another model."
        )
    n_output = inner.get_output_embeddings().weight.shape[0]
    if n_output != inner.config.vocab_size - 1:
        raise CheckpointError(
            f"The model predicts {n_output} tokens and reads {inner.config.vocab_size}; it must "
            "predict one less, for its pictures begin with the last. Choose another model."
        )
    return PretrainedLM(inner)
