"""The families of text models that `train.text` can train, each built from its flags."""

from playground.errors import ConfigError
from playground.models import (
    LSTM,
    CausalConv,
    CausalConvConfig,
    LSTMConfig,
    NeuralNGram,
    NeuralNGramConfig,
    Recurrent,
    RecurrentConfig,
    Transformer,
    TransformerConfig,
)

FAMILIES = ("transformer", "causal-conv", "lstm", "gru", "rnn", "neural-ngram", "ngram")
RECURRENT = ("lstm", "gru", "rnn")


def build(config, vocab_size: int):
    """Return the model that `config` (of `train.text`) asks for, with fresh weights.

    Raises:
        ConfigError: there is no such family, or it has no such option.
    """
    c, family = config, config.family
    has_helps = c.layer_norm or c.connection != "plain"
    if has_helps and family not in RECURRENT:
        raise ConfigError(
            f"--layer-norm and --connection are for {', '.join(RECURRENT)}, and --family is "
            f"{family!r}. Leave them out."
        )
    if family == "transformer":
        return Transformer(
            TransformerConfig(
                vocab_size, c.context_length, c.n_layer, c.n_head, c.n_embd, c.positions, c.dropout
            )
        )
    if family == "causal-conv":
        return CausalConv(
            CausalConvConfig(
                vocab_size, c.n_embd, c.n_layer, c.kernel_size, c.dilation_cycle, c.dropout
            )
        )
    if family == "neural-ngram":
        sizes = {"order": c.order, "n_embd": c.n_embd, "n_hidden": c.n_hidden}
        return NeuralNGram(NeuralNGramConfig(vocab_size, **sizes, dropout=c.dropout))
    if family == "lstm" and not has_helps:  # it has a kernel
        return LSTM(LSTMConfig(vocab_size, c.n_layer, c.n_embd, c.n_hidden, c.dropout))
    if family in RECURRENT:
        helps = {"layer_norm": c.layer_norm, "connection": c.connection, "dropout": c.dropout}
        sizes = {"n_layer": c.n_layer, "n_embd": c.n_embd, "n_hidden": c.n_hidden}
        return Recurrent(RecurrentConfig(vocab_size, family, **sizes, **helps))
    raise ConfigError(f"--family must be one of {', '.join(FAMILIES)}, got {family!r}.")
