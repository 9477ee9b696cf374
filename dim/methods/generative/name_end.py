"""What ends a name: chosen by what the language model itself finds likelier behind names that are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.prompt import Prompt
from dim.methods.generative.tokenizer import End
from dim.methods.generative.ways import Encoded

NUM_ASKED = 32  #: Mentions of tune.


def likelier_end(
    model: LanguageModel,
    encode: Callable[[list[Prompt]], Encoded],
    prompts: Sequence[Prompt],
    names: Sequence[Sequence[int]],
    decoder: Decoder,
    batch_size: int,
) -> tuple[End, float]:
    """The likelier end behind names, and by how many nats a name it is likelier than the other.

    Args:
        model: The language model; its rules are left as they were.
        encode: Lays prompts out.
        prompts: Of mentions.
        names: The tokens of the name of each mention's gold.
        decoder: Which scores names.
        batch_size: Prompts at once.
    """
    if not names or len(model.line) != 1:
        return "eos", float("nan")
    rules, total = model.rules, {}
    decoder = replace(decoder, length_penalty=0)  # scores are log-likelihoods of a name and its end
    for end in get_args(End):
        model.rules = replace(rules, end=end)
        total[end] = 0.0
        for start in range(0, len(prompts), batch_size):
            part = slice(start, start + batch_size)
            scores = decoder.score(model, encode(list(prompts[part])), [[name] for name in names[part]], batch_size)
            total[end] += float(np.sum(scores))
    model.rules = rules
    gain = (total["line"] - total["eos"]) / len(names)
    return ("line", gain) if gain > 0 else ("eos", -gain)


def end_named(model: LanguageModel, end: End) -> str:
    """What ends a name, in messages."""
    return "a line's end" if end == "line" else f"the end token {model.tokenizer.eos_token}"


def never_ended(model: LanguageModel, never: int, asked: int, longest: int) -> str:
    """What to say where most answers never ended.

    Args:
        model: The language model.
        never: How many of them.
        asked: Mentions that were asked.
        longest: The most tokens of an answer.
    """
    other = "Examples end in a line's end: try --model.end line." if model.rules.end == "eos" else "Give it examples."
    return (
        f"{never:,} of {asked:,} answers never ended: within {longest} tokens the language model did not write "
        f"{end_named(model, model.rules.end)}, and what does not end is no name. {other}"
    )


def name_facts(model: LanguageModel, bos: str, end: str) -> dict[str, Any]:
    """How prompts began and names ended, for metrics.json."""
    tokenizer = model.tokenizer
    return {
        "bos": {"option": bos, "token": tokenizer.bos_token if model.start else None},
        "end": {"option": end, "value": model.rules.end, "token": tokenizer.decode([model.end_token])},
        "name_tokens": model.rules.name_tokens,
    }
