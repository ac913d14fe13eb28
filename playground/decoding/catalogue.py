"""Every kind of processor: name, parameters, ranges, effect and source.

The order is that in which transformers applies them; where it has none, the place is llama.cpp's
or that of its nearest kin.
"""

from __future__ import annotations

from playground.decoding import adaptive, bias, constraints, grammars, penalties, truncation
from playground.decoding.kinds import Parameter, ProcessorKind

BREAKERS = '"\\n"\n:\n"\\""\n*'
Kind, P = ProcessorKind, Parameter

PROCESSORS: dict[str, ProcessorKind] = {
    "logit_bias": Kind(
        bias.logit_bias, "bias",
        (P("logit_bias", "", start="the: -2", kind="tokens", parse=bias.read_biases),),
        "Adds a number from -100 to 100 to the logit of a token: one line each, such as “the: -2”. "
        "Empty: off.",
        "OpenAI API; sequence_bias in transformers",
        check=bias.check_bias,
    ),
    "repetition_penalty": Kind(
        penalties.repetition_penalty, "penalties",
        (
            P("repetition_penalty", 1.0, 0.5, 3.0, 1.2, 0.05, help="Strength. 1: off."),
            P("penalty_last_n", -1, -1, 4096, 64, 1, help="How far back to look. -1: all."),
        ),
        "Makes every token that already occurred less likely (above 1) or more (below 1). 1: off.",
        "Keskar et al. 2019, arXiv:1909.05858",
    ),
    "presence_penalty": Kind(
        penalties.presence_penalty, "penalties",
        (P("presence_penalty", 0.0, -2.0, 2.0, 0.5, 0.05),),
        "Lowers the logit of every token made since the prompt by this much, once. 0: off.",
        "OpenAI API, vLLM",
    ),
    "frequency_penalty": Kind(
        penalties.frequency_penalty, "penalties",
        (P("frequency_penalty", 0.0, -2.0, 2.0, 0.3, 0.05),),
        "Lowers the logit of a token by this much for each time it was made since the prompt. "
        "0: off.",
        "OpenAI API, vLLM",
    ),
    "dry": Kind(
        penalties.dry, "penalties",
        (
            P("dry_multiplier", 0.0, 0.0, 5.0, 0.8, 0.05, help="Strength of the penalty. 0: off."),
            P("dry_base", 1.75, 1.0, 4.0, 1.75, 0.05, help="Growth with each further token."),
            P("dry_allowed_length", 2, 1, 20, 2, 1, help="The shortest repeat that is punished."),
            P("dry_penalty_last_n", 64, -1, 4096, 64, 1, help="How far back to look. -1: all."),
            P("dry_sequence_breakers", BREAKERS, high=1000, start=BREAKERS, kind="tokens",
              help="A repeat does not reach back over these, one a line."),
        ),
        "Don't Repeat Yourself: punishes the token that would go on repeating an earlier passage, "
        "the more the longer the repeat. 0: off.",
        "p-e-w 2024, text-generation-webui pull request 5677; llama.cpp",
    ),
    "no_repeat_ngram_size": Kind(
        penalties.no_repeat_ngram_size, "penalties",
        (P("no_repeat_ngram_size", 0, 0, 20, 3, 1),),
        "Forbids to repeat any run of this many tokens. 0: off.",
        "Paulus et al. 2017, arXiv:1705.04304",
    ),
    "bad_words": Kind(
        bias.bad_words, "bias",
        (P("bad_words", "", start=" the", kind="tokens", parse=bias.read_words),),
        "Forbids pieces of text, one a line, as they are split into tokens. Empty: off.",
        "bad_words_ids in transformers",
        check=bias.check_bad_words,
    ),
    "min_length": Kind(
        bias.min_length, "bias",
        (P("min_length", 0, 0, 4096, 50, 1),),
        "Forbids the end before prompt and continuation have this many tokens. 0: off.",
        "transformers",
    ),
    "min_new_tokens": Kind(
        bias.min_new_tokens, "bias",
        (P("min_new_tokens", 0, 0, 4096, 20, 1),),
        "Forbids the end before this many tokens were made. 0: off.",
        "transformers",
    ),
    "choice": Kind(
        constraints.choice, "constraint",
        (P("choice", "", start="yes\nno", kind="text", parse=grammars.read_choices),),
        "The continuation is exactly one of these texts, one a line. Empty: off.",
        "llguidance; structured_outputs in vLLM",
        check=constraints.check_choice, is_over=constraints.choice_is_over,
    ),
    "regex": Kind(
        constraints.regex, "constraint",
        (P("regex", "", start="[A-Z][a-z]+( [a-z]+)*[.]", kind="text"),),
        "The whole continuation matches this regular expression (no look-around, no back "
        "references). Empty: off.",
        "llguidance; structured_outputs in vLLM",
        check=constraints.check_regex, is_over=constraints.regex_is_over,
    ),
    "json_schema": Kind(
        constraints.json_schema, "constraint",
        (P("json_schema", "", start='{"type": "integer"}', kind="text"),),
        "The continuation is JSON that this schema allows, written as Python's json.dumps does. "
        "Empty: off.",
        "llguidance; structured_outputs in vLLM",
        check=constraints.check_json_schema, is_over=constraints.json_schema_is_over,
    ),
    "exponential_decay_length_penalty": Kind(
        bias.exponential_decay, "bias",
        (
            P("decay_factor", 1.0, 1.0, 2.0, 1.05, help="Growth with each token. 1: off."),
            P("start_index", 0, 0, 4096, 20, 1, help="So many tokens go free."),
        ),
        "Makes the end likelier with every token, ever faster. 1: off.",
        "transformers",
    ),
    "suppress_tokens": Kind(
        bias.suppress_tokens, "bias",
        (P("suppress_tokens", "", start="e", kind="tokens", parse=bias.read_words),),
        "Forbids single tokens, one a line: the text of each, or its number as “#17”. Empty: off.",
        "transformers",
        check=bias.check_suppressed,
    ),
    "smoothing": Kind(
        adaptive.smoothing, "temperature",
        (
            P("smoothing_factor", 0.0, 0.0, 5.0, 0.3, 0.05, help="Strength. 0: off."),
            P("smoothing_curve", 1.0, 1.0, 3.0, 1.0, 0.05, help="From the square to the cube."),
        ),
        "Quadratic sampling: brings the best few tokens together and drives the others away. "
        "0: off.",
        "kalomaze 2024; text-generation-webui",
    ),
    "temperature": Kind(
        adaptive.temperature, "temperature",
        (P("temperature", 1.0, 0.05, 5.0, 0.8, 0.05),),
        "Below 1 sharpens the distribution, above 1 flattens it. 1: off.",
        "Ackley et al. 1985",
        only_divides=True,
    ),
    "dynatemp": Kind(
        adaptive.dynatemp, "temperature",
        (
            P("dynatemp_range", 0.0, 0.0, 5.0, 0.5, 0.05, help="How far it moves. 0: off."),
            P("dynatemp_exponent", 1.0, 0.1, 5.0, 1.0, 0.1, help="Above 1: stays cool longer."),
            P("temperature", 1.0, 0.05, 5.0, 1.0, 0.05, help="The middle of the range."),
        ),
        "A temperature that follows the model: low where it is sure, high where it is not. 0: off.",
        "kalomaze 2023; llama.cpp",
    ),
    "top_n_sigma": Kind(
        truncation.top_n_sigma, "truncation",
        (P("top_n_sigma", 0.0, 0.0, 10.0, 1.0, 0.05),),
        "Keeps tokens whose logit is at most this many standard deviations below the best; no "
        "temperature changes which. 0: off.",
        "Tang et al. 2024, arXiv:2411.07641",
    ),
    "top_h": Kind(
        truncation.top_h, "truncation",
        (P("top_h", 0.0, 0.0, 1.0, 0.4),),
        "Keeps the likeliest tokens until they hold this share of the entropy of the best 100. "
        "0: off.",
        "Potraghloo et al. 2025, arXiv:2509.02510",
    ),
    "top_k": Kind(
        truncation.top_k, "truncation",
        (P("top_k", 0, 0, 1000, 20, 1),),
        "Keeps the k most likely tokens. 0: off.",
        "Fan et al. 2018, arXiv:1805.04833",
    ),
    "top_p": Kind(
        truncation.top_p, "truncation",
        (P("top_p", 1.0, 0.01, 1.0, 0.9),),
        "Keeps the smallest set of most likely tokens that holds this probability. 1: off.",
        "Holtzman et al. 2020, arXiv:1904.09751",
    ),
    "min_p": Kind(
        truncation.min_p, "truncation",
        (P("min_p", 0.0, 0.0, 1.0, 0.1),),
        "Keeps tokens at least this many times as likely as the best one. 0: off.",
        "Nguyen et al. 2024, arXiv:2407.01082",
    ),
    "typical_p": Kind(
        truncation.typical_p, "truncation",
        (P("typical_p", 1.0, 0.01, 1.0, 0.9),),
        "Keeps tokens about as surprising as the average, up to this probability. 1: off.",
        "Meister et al. 2022, arXiv:2202.00666",
    ),
    "epsilon_cutoff": Kind(
        truncation.epsilon_cutoff, "truncation",
        (P("epsilon_cutoff", 0.0, 0.0, 0.9, 0.01, 0.001),),
        "Keeps tokens of at least this probability, and always the best. 0: off.",
        "Hewitt et al. 2022, arXiv:2210.15191",
    ),
    "eta_cutoff": Kind(
        truncation.eta_cutoff, "truncation",
        (P("eta_cutoff", 0.0, 0.0, 0.9, 0.01, 0.001),),
        "As epsilon_cutoff, but the bound sinks where the model is undecided. 0: off.",
        "Hewitt et al. 2022, arXiv:2210.15191",
    ),
    "top_a": Kind(
        truncation.top_a, "truncation",
        (P("top_a", 0.0, 0.0, 1.0, 0.2),),
        "Keeps tokens of at least this many times the squared probability of the best. 0: off.",
        "BlinkDL, RWKV-LM; KoboldAI",
    ),
    "tfs_z": Kind(
        truncation.tfs_z, "truncation",
        (P("tfs_z", 1.0, 0.01, 1.0, 0.95),),
        "Tail-free: removes the tail behind the bend of the sorted probabilities. 1: off.",
        "Bricken 2019, trentonbricken.com/Tail-Free-Sampling",
    ),
    "xtc": Kind(
        truncation.xtc, "truncation",
        (
            P("xtc_probability", 0.0, 0.0, 1.0, 0.5, help="How often it strikes. 0: off."),
            P("xtc_threshold", 0.1, 0.0, 0.5, 0.1, help="From which probability a token is “top”."),
        ),
        "Exclude Top Choices: now and then removes all likely tokens except the least likely of "
        "them. 0: off.",
        "p-e-w 2024, text-generation-webui pull request 6335; llama.cpp",
    ),
    "mirostat": Kind(
        adaptive.mirostat, "truncation",
        (
            P("mirostat_tau", 0.0, 0.0, 10.0, 3.0, 0.1, help="The surprise aimed at, in bits."),
            P("mirostat_eta", 0.1, 0.0, 1.0, 0.1, help="How fast it corrects itself."),
        ),
        "Steers the mean surprise of what is drawn towards tau bits, by removing what would "
        "surprise too much. 0: off.",
        "Basu et al. 2021, arXiv:2007.14966 (mirostat 2.0: llama.cpp)",
    ),
}  # fmt: skip

TRANSFORMERS_ORDER = tuple(PROCESSORS)
LLAMA_CPP_ORDER = (  # its grammar sees the logits before all samplers; temperature comes last
    "logit_bias", "bad_words", "suppress_tokens", "min_length", "min_new_tokens",
    "exponential_decay_length_penalty", "choice", "regex", "json_schema",
    "repetition_penalty", "presence_penalty", "frequency_penalty", "no_repeat_ngram_size",
    "dry", "top_n_sigma", "top_k", "tfs_z", "typical_p", "top_p", "min_p", "top_a", "top_h",
    "epsilon_cutoff", "eta_cutoff", "xtc", "smoothing", "temperature", "dynatemp", "mirostat",
)  # fmt: skip
