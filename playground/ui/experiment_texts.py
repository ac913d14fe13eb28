"""What is said of every experiment: its question, what the lesson claims, and its limits."""

from __future__ import annotations

from dataclasses import dataclass

BIBLE = "One book of one kind, the King James Bible by characters"
SEEDS = "Intervals are 95 % (Student's t) over the seeds; three seeds make wide ones"


@dataclass(frozen=True)
class Text:
    """What stands around the charts of an experiment."""

    title: str  # short: it stands in the picker and in links
    question: str
    claim: str  # what the lesson says of it; empty if it only asks
    limits: tuple[str, ...]


TEXTS = {
    "families": Text(
        "Families",
        "Counts, a neural n-gram, recurrent networks, a causal convolution and a Transformer read "
        "the same text with about as many parameters. Which predicts unread text best, after how "
        "many tokens and after how many seconds?",
        "LSTM and GRU: better gradient flow, selective memory, improved long-range modeling.",
        (
            f"{BIBLE}, about 200,000 parameters and 1.2 million tokens a run: more of either may "
            "turn the order around.",
            "Each family has one learning rate that suited it in short trials, not a search of its "
            "own; the Transformer and the convolution use Muon, the others AdamW.",
            "Tables of counts have read the whole text once, 3.9 million characters: three times "
            "what a network read here.",
            f"Seconds are one core of one machine; the other sizes have a single seed. {SEEDS}.",
        ),
    ),
    "quality": Text(
        "Quality",
        "The same model continues the same beginnings in many ways. How likely, how varied and how "
        "repetitive is what it writes, beside what people wrote there?",
        "Greedy decoding can lead to repetitive text; beam search to generic, repetitive outputs.",
        (
            "One small model judges its own text: perplexity is that of the model that wrote it.",
            "Intervals are 95 % over prompts; the seeds of a prompt are averaged first. A mean "
            "over prompts hides how much one text differs from another.",
            "Figures are no readers: vote yourself in the Arena of the Evaluate page.",
        ),
    ),
    "scaling": Text(
        "Scaling",
        "Five sizes of one Transformer read three amounts of text. Does the loss fall as a power "
        "law, $L = E + A/N^a + B/D^b$ (Hoffmann et al. 2022), and how should a given amount of "
        "computation be split between parameters $N$ and tokens $D$?",
        "Performance scales predictably; parameters and training tokens grow in equal proportion "
        "(double one, double the other).",
        (
            "Sizes span two orders of magnitude and text one; published laws span far more. "
            "Parameters are counted without the embedding, as Kaplan et al. 2020 did.",
            "Every amount of text is a training of its own with its own decay, but the warm-up is "
            "the same, so the shortest runs spend much of their text on it.",
            "Intervals of the exponents come from drawing whole (N, D) anew, 200 times; the law "
            "itself may be wrong.",
        ),
    ),
    "lengths": Text(
        "Length",
        "How does the loss depend on the position, within the 256 tokens a model was trained on "
        "and beyond them? And what do time and memory of one more token cost after how many?",
        "RNNs have unlimited context; Transformers a flexible one, with quadratic attention.",
        (
            "One shipped model a family and position encoding, so one seed; intervals are a "
            "bootstrap over windows of text.",
            "A rising loss says that positions beyond the trained ones hurt; a flat one does not "
            "say that what stood there is used.",
            "Times are the fastest of several calls on one machine.",
            "The convolution looks 127 places back, but its State keeps all it has read, so that "
            "going back costs nothing.",
        ),
    ),
    "transfer": Text(
        "Transfer",
        "A model of one sort of text reads another: how much dearer is it than for the model that "
        "was trained there, at once and after some steps of fine-tuning?",
        "",
        (
            "All models read bytes, so that all have the same tokens; a German umlaut is two.",
            "The corpora differ in size and difficulty: columns can be compared, rows less so.",
            f"Fine-tuning is AdamW at one constant rate on what is to be read. {SEEDS}.",
        ),
    ),
    "exposure": Text(
        "Exposure bias",
        "A model is trained on true beginnings only. Does its own text drift away from what it "
        "learned, and how long is one wrong token felt?",
        "Training sees true text, generation the model's own: errors accumulate. Scheduled "
        "sampling is a solution.",
        (
            "A 6-gram of counts is no perfect judge: it sees six letters at a time and no sense.",
            "Its own text is sampled without truncation, 111 characters long; slower drift stays "
            "unseen.",
            f"{BIBLE}. {SEEDS}.",
        ),
    ),
    "gradients": Text(
        "Gradients",
        "How much does a prediction's gradient still tell the token so many places back, in a "
        "plain recurrent network, a GRU and an LSTM, before and after training?",
        "RNN: vanishing gradients for long sequences. LSTM and GRU: better gradient flow.",
        (
            "The gradient of one prediction is no measure of what is remembered, only of how a "
            "small change far back would matter.",
            f"One layer and one way to initialise each; sizes differ so that parameters do not. "
            f"{SEEDS}.",
        ),
    ),
    "helps": Text(
        "What helps",
        "Clipping, warm-up, a curriculum by length and scheduled sampling, each on and off with "
        "everything else the same: which of them lowers the loss?",
        "Clipping: a solution to exploding gradients. A curriculum: faster convergence and better "
        "final performance.",
        (
            "Clipping and warm-up are judged at a learning rate set high, where they have "
            "something to do; at the usual rate they may do nothing.",
            "Scheduled sampling is meant to help generation, not this loss: see the exposure bias.",
            f"{BIBLE}; differences are paired over seeds. {SEEDS}.",
        ),
    ),
}
