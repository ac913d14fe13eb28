"""Home: what this is, and one card per page."""

import streamlit as st

from playground.registry import available
from playground.ui import controls

controls.page_setup("Home")
st.title("Watch a generative model choose")
st.markdown(
    "Text, pictures and sound are all sequences. An **autoregressive model** writes them one "
    "piece at a time: it gives every possible next piece a probability, one is chosen, and the "
    "choice becomes part of what the next one depends on."
)
st.latex(r"p(x) = \prod_{t=1}^{T} p(x_t \mid x_1, \dots, x_{t-1})")
st.markdown("Here every one of these decisions can be seen, questioned and made differently.")

with st.container(border=True):
    st.page_link("pages/1_Text.py", label="**Text, one token at a time**", icon=":material/notes:")
    st.markdown(
        "Step through the writing of a language model: the probabilities of every token before "
        "and after temperature, top-k and top-p, how surprising each choice was, where attention "
        "looked. Take another token than the model would, and compare where it leads."
    )
    titles = [controls.plain(card.title) for card in available("text").values()]
    st.caption(", ".join(titles))

with st.container(border=True):
    st.page_link("pages/2_Image.py", label="**Pictures, one pixel at a time**",
                 icon=":material/grid_on:")  # fmt: skip
    st.markdown(
        "Watch a picture grow and see what every pixel could have been, where the model looked, "
        "and what surprised it. Take another level, let it complete half a picture, ask how likely "
        "your own picture is, or what a tiny one shows in detail."
    )
    titles = [controls.plain(card.title) for card in available("image").values()]
    st.caption(", ".join(titles))

with st.container(border=True):
    st.page_link("pages/3_Audio.py", label="**Sound, one sample at a time**",
                 icon=":material/graphic_eq:")  # fmt: skip
    st.markdown(
        "Watch a waveform grow and hear it at any time: which of 256 levels every sample could "
        "have had, which past samples fed it, and why the likeliest sound of all is silence. Take "
        "another level, tell the model a class or a few words, and hear what changes."
    )
    titles = [controls.plain(card.title) for card in available("audio").values()]
    st.caption(", ".join(titles))

with st.container(border=True):
    st.page_link(
        "pages/4_Compare.py", label="**Many ways to decode, side by side**",
        icon=":material/view_column:",
    )  # fmt: skip
    st.markdown(
        "Run greedy decoding, sampling, nucleus, beams, contrastive search, drafts and more on one "
        "prompt, picture or sound at once. See what every filter removed and every beam gave up, "
        "and which results are likely, varied or repetitive."
    )

with st.container(border=True):
    st.page_link("pages/5_Evaluate.py", label="**How good is it?**",
                 icon=":material/straighten:")  # fmt: skip
    st.markdown(
        "Measure several models on the same text, pictures or sounds, with intervals. Take BLEU "
        "apart, ask whether a model knows what it knows and what it copied, judge blind pairs, "
        "and guess the next letter against a model as Shannon did."
    )

with st.container(border=True):
    st.page_link("pages/6_Experiments.py", label="**What experiments found**",
                 icon=":material/science:")  # fmt: skip
    st.markdown(
        "Families of models on one text, ways to decode beside what people wrote, scaling laws, "
        "long sequences, transfer, exposure bias, gradients: each with charts, intervals, limits, "
        "and the finding in two sentences, also where it contradicts the textbook."
    )

with st.container(border=True):
    st.page_link("pages/7_Train.py", label="**Train a model of your own**",
                 icon=":material/model_training:")  # fmt: skip
    st.markdown(
        "Choose a family, a size, a text and some minutes, and watch noise turn into words: loss, "
        "gradients, samples, and what one prompt meant to it before, during and after training."
    )

st.caption(
    "The models are small and were trained for this page on old books and speeches, on small "
    "pictures of clothes, digits and emoji, and on short sounds: drums, instruments and spoken "
    "prompts. What they make is neither true nor meant; it shows how the making works."
)
