"""Autoregressive models, one file per family; `FAMILIES` is the only list of them."""

from playground.models.base import ARModel as ARModel
from playground.models.base import State as State
from playground.models.causal_conv import CausalConv, CausalConvConfig
from playground.models.neural_ngram import NeuralNGram, NeuralNGramConfig
from playground.models.ngram import NGram, NGramConfig
from playground.models.pixelcnn import (
    GatedPixelCNN,
    GatedPixelCNNConfig,
    PixelCNN,
    PixelCNNConfig,
)
from playground.models.pixelrnn import (
    DiagonalBiLSTM,
    DiagonalBiLSTMConfig,
    RowLSTM,
    RowLSTMConfig,
)
from playground.models.recurrent import Recurrent, RecurrentConfig
from playground.models.rnn import LSTM, LSTMConfig
from playground.models.samplernn import SampleRNN, SampleRNNConfig
from playground.models.super_resolution import SuperResolution, SuperResolutionConfig
from playground.models.transformer import Transformer, TransformerConfig
from playground.models.wavenet import WaveNet, WaveNetConfig

FAMILIES = {  # name in config.json: (config class, model class)
    "ngram": (NGramConfig, NGram),
    "neural-ngram": (NeuralNGramConfig, NeuralNGram),
    "recurrent": (RecurrentConfig, Recurrent),
    "lstm": (LSTMConfig, LSTM),
    "causal-conv": (CausalConvConfig, CausalConv),
    "transformer": (TransformerConfig, Transformer),
    "pixelcnn": (PixelCNNConfig, PixelCNN),
    "gated-pixelcnn": (GatedPixelCNNConfig, GatedPixelCNN),
    "row-lstm": (RowLSTMConfig, RowLSTM),
    "diagonal-bilstm": (DiagonalBiLSTMConfig, DiagonalBiLSTM),
    "samplernn": (SampleRNNConfig, SampleRNN),
    "super-resolution": (SuperResolutionConfig, SuperResolution),
    "wavenet": (WaveNetConfig, WaveNet),
}
