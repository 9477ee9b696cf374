"""What the demo's small language model reads, in tokens: its tokenizer, its documents and their batches."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dim.demo.documents import Question
from dim.errors import ConfigError
from dim.methods.generative.prompt import IGNORED, ask

END, PAD = "<|endoftext|>", "<|pad|>"
MIN_VOCABULARY = 300  #: 256 bytes, the special tokens, the prompt's own words.
#: Documents grow, as short ones teach a fact in less time: share of all questions → questions a document (None: as
#: many as the context holds).
GROWTH: tuple[tuple[float, int | None], ...] = ((0.15, 1), (0.15, 4), (0.7, None))
BUCKET = 16  #: Batches whose documents are sorted by length together.

Targeted = tuple[list[int], list[int]]  # tokens, and for each the token that shall follow, or IGNORED


def train_tokenizer(questions: Sequence[Question], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that knows every text; a name has the same tokens wherever an answer begins.

    Each fixed part of the prompt is one token, so that a small context holds many questions.

    Args:
        questions: The texts from which it learns its words.
        vocabulary: How many tokens it has.
        context: The most tokens of a text.
    """
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    # A part's last space belongs to the name behind it, which then looks as it does within a sentence.
    fixed = [part.rstrip(" ") for part in re.split("[\0\1]", ask("\0", "\1"))]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(fixed),
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(
        (text for q in questions for text in (q.looks, q.context, f" {q.mention}", q.name)), trainer
    )
    raw.add_tokens([AddedToken(part, normalized=False) for part in fixed])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token=END, pad_token=PAD, model_max_length=context, padding_side="left"
    )


def _prompt(question: Question) -> str:
    return question.looks + ask(question.mention, question.context)


def encode(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast
) -> tuple[list[list[int]], list[list[int]]]:
    """The tokens of prompts and of names.

    Raises:
        ConfigError: A question with its answer is longer than the context.
    """
    prompts = _tokens(tokenizer, [_prompt(question) for question in questions])
    names = _tokens(tokenizer, [question.name for question in questions])
    longest = 1 + max((len(prompt) + len(name) for prompt, name in zip(prompts, names, strict=True)), default=0)
    if longest > tokenizer.model_max_length:
        raise ConfigError(
            f"a context of at least {longest} tokens, which a question needs",
            str(tokenizer.model_max_length),
            "Raise --size.context or --size.vocabulary.",
        )
    return prompts, names


def _tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    tokens: list[list[int]] = tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
    return tokens


def make_batches(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast, batch_size: int, seed: int
) -> Iterator[list[Targeted]]:
    """Batches of about `batch_size` questions, of documents of like length; the documents grow (GROWTH)."""
    order = random.Random(seed)
    start, share_before = 0, 0.0
    for share, most in GROWTH:
        share_before += share
        end = round(share_before * len(questions))
        found = list(documents(questions[start:end], tokenizer, most))
        a_batch = max(1, batch_size * len(found) // max(1, end - start))
        for i in range(0, len(found), BUCKET * a_batch):
            bucket = sorted(found[i : i + BUCKET * a_batch], key=lambda document: len(document[0]))
            batches = [bucket[j : j + a_batch] for j in range(0, len(bucket), a_batch)]
            order.shuffle(batches)
            yield from batches
        start = end


def documents(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast, most: int | None
) -> Iterator[Targeted]:
    """Questions with their answers, one after the other, and what the model shall say behind each token.

    An answer is followed by a line's end, as in a prompt's examples. What the model shall learn to say there is the end
    token: then each question teaches what the last one is asked. Other tokens are not learnt.

    Args:
        questions: In the order of the documents.
        tokenizer: As `train_tokenizer` makes it.
        most: Most questions of a document; None: as many as the context holds.

    Raises:
        ConfigError: The context holds not even one question.
    """
    prompts, names = encode(questions, tokenizer)
    line_end = _tokens(tokenizer, ["\n"])[0]
    tokens: list[int] = []
    targets: list[int] = []
    held = 0
    for prompt, name in zip(prompts, names, strict=True):
        added = [*prompt, *name, *line_end]
        if held and (held == most or len(tokens) + len(added) > tokenizer.model_max_length):
            yield tokens, targets
            tokens, targets, held = [], [], 0
        tokens = tokens + added
        targets = targets + [IGNORED] * (len(prompt) - 1) + name + [tokenizer.eos_token_id] + [IGNORED] * len(line_end)
        held += 1
    if held:
        yield tokens, targets


def pad_right(batch: list[Targeted], pad: int) -> tuple[Tensor, Tensor]:
    """Tokens and targets, both [documents, longest] int64."""
    longest = max(len(tokens) for tokens, _ in batch)
    tokens = torch.full((len(batch), longest), pad)
    targets = torch.full((len(batch), longest), IGNORED)
    for i, (ids, wanted) in enumerate(batch):
        tokens[i, : len(ids)], targets[i, : len(wanted)] = torch.tensor(ids), torch.tensor(wanted)
    return tokens, targets
