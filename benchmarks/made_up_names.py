"""Names of people who do not exist, and a tokenizer for them."""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from dim.demo.vocabulary import GIVEN_NAMES, surnames

END = "<end>"
_NUM_SURNAMES = 250_000
_NUM_FIRSTS = 60_000  # surnames that also stand first, so that names begin in many ways


def made_up_names(count: int, rng: np.random.Generator) -> list[str]:
    """Different names of three parts: half begin with one of the demo world's given names; the rest are its surnames.

    Example:
        >>> made_up_names(2, np.random.default_rng(0))
        ['Fenevivic Talonarez Korimenez', 'Bologudahl Salavodano Lorevagard']
    """
    last = np.array(surnames(_NUM_SURNAMES))
    first = np.concatenate(
        [np.resize(np.array(GIVEN_NAMES), _NUM_FIRSTS), rng.choice(last, _NUM_FIRSTS, replace=False)]
    )
    seen: dict[str, None] = {}
    while len(seen) < count:
        parts = rng.choice(first, count), rng.choice(last, count), rng.choice(last, count)
        seen |= dict.fromkeys(map(" ".join, zip(*parts, strict=True)))
    return list(seen)[:count]


def made_up_tokenizer(vocab_size: int, num_words: int, rng: np.random.Generator) -> Tokenizer:
    """A byte-level BPE tokenizer, trained on lines of given names and `num_words` different surnames, with END as 0."""
    words = rng.choice(np.array(surnames(_NUM_SURNAMES)), num_words, replace=False)
    often = np.concatenate([np.repeat(words, 4), np.resize(np.array(GIVEN_NAMES), num_words // 10)])
    rng.shuffle(often)
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END], initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    lines = (" ".join(often[i : i + 10].tolist()) for i in range(0, len(often), 10))
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer
