"""Watch an autoregressive model choose: models, decoding and traces for sequences of any sense."""
