"""What the language model reads of a mention, as released (HITsz-TMG/GEMEL at 906a221, `utils.py` and `model.py`).

A prompt is a row of parts, the in-context examples and then the question; before the tokens of each stand the prefix
vectors of its image. `Prompts` makes them so that none is longer than the model can read, `pad_left` lays a batch out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.errors import ConfigError, DataError

Ints = NDArray[np.int64]
END_OF_QUESTION = "?\n[Answer]"  #: What an entity's name follows on.
COUNTED = "mentions", "too_few_examples", "examples_left_out", "text_cut"  #: What is counted of prompts.
IGNORED = -100  #: The label of a position without loss, as in PyTorch and Transformers.


def ask(mention: str, context: str) -> str:
    r"""The question about a mention; the entity's name follows without a space.

    Example:
        >>> ask("Leto", "Leto sings.")
        '[Text]Leto sings.\n[Question]What does Leto mentioned in the text refer to?\n[Answer]'
    """
    return f"[Text]{context}\n[Question]What does {mention} mentioned in the text refer to{END_OF_QUESTION}"


def answer(mention: str, context: str, name: str) -> str:
    """An in-context example: the question, the name of its gold entity, and a line's end."""
    return f"{ask(mention, context)}{name}\n"


def window(mention: str, context: str, span: tuple[int, int] | None, width: int) -> str:
    """`width` characters of the context around the mention, or around its first occurrence, or the first ones.

    Args:
        mention: The mention.
        context: The text.
        span: First character of the mention and one past its last; None where that is not known.
        width: At most the context's length.

    Example:
        >>> window("Leto", "So Leto sings.", None, 6)
        ' Leto '
    """
    start, end = span or (context.find(mention), context.find(mention) + len(mention))
    middle = (start + end) // 2 if start >= 0 else 0
    first = min(max(0, middle - width // 2), len(context) - width)
    return context[first : first + width]


@dataclass(frozen=True, eq=False)
class Prompt:
    """What stands before an answer.

    Attributes:
        images: [num_parts] int64, the mention whose image stands before each part; -1: no image, and no prefix vectors.
        tokens: The tokens of each part, int64; the last part is the question, the first may be a start token alone.
    """

    images: Ints
    tokens: tuple[Ints, ...]

    def length(self, prefix_length: int) -> int:
        """Positions that it takes, with `prefix_length` vectors an image."""
        return sum(map(len, self.tokens)) + prefix_length * int((self.images >= 0).sum())


class Prompts:
    """Makes the prompt of any mention, and counts what had to be left out.

    Where a prompt would be too long, the least similar examples go first. Where the question alone is too long, its
    text is cut to a window around the mention; the question itself stays whole.

    Args:
        mentions: The dataset's mentions.
        names: The answer to each mention, None where there is none; every example needs one.
        tokenize: Texts → their tokens, without special ones.
        examples: [num_mentions, num_examples] int64, rows of mentions, the most similar last; -1: none.
        has_image: [num_mentions], whether prefix vectors stand for the mention's image.
        prefix_length: Vectors an image.
        max_tokens: Positions that a prompt may take, prefix vectors included, the answer not.
        start: Tokens that every prompt begins with, before the first image.
        tokenize_answers: Names → the tokens that follow a question in an example, those of the name's end among them;
            None: an example is tokenised as one text.
    """

    def __init__(
        self,
        mentions: pd.DataFrame,
        names: Sequence[str | None],
        tokenize: Callable[[list[str]], list[list[int]]],
        examples: Ints,
        has_image: NDArray[np.bool_],
        prefix_length: int,
        max_tokens: int,
        start: Sequence[int] = (),
        tokenize_answers: Callable[[list[str]], list[list[int]]] | None = None,
    ) -> None:
        self.mentions, self.contexts = _texts(mentions["mention"]), _texts(mentions["context"])
        self.spans = _spans(mentions, self.contexts)
        self.names, self.tokenize, self.examples = names, tokenize, examples
        self.has_image, self.prefix_length, self.max_tokens = has_image, prefix_length, max_tokens - len(start)
        self.start, self.tokenize_answers = np.array(start, np.int64), tokenize_answers
        self._questions: dict[int, Ints] = {}
        self._answers: dict[int, Ints] = {}
        self._cut: set[int] = set()
        self._with_fewer: set[int] = set()
        self._with_dropped: set[int] = set()

    def counts(self, rows: Ints) -> dict[str, int]:
        """Of mentions [n] that were asked: how many, with too few examples to choose from, not all fitted, text cut."""
        asked = rows.tolist()
        kinds = (self._with_fewer, self._with_dropped, self._cut)
        return dict(zip(COUNTED, [len(asked), *(sum(row in kind for row in asked) for kind in kinds)], strict=True))

    def of(self, rows: Ints) -> list[Prompt]:
        """The prompts of mentions [n].

        Raises:
            ConfigError: A question is too long even without a text.
            DataError: An example has no answer.
        """
        shown = self.examples[rows]
        self._learn_questions(list(dict.fromkeys(rows.tolist())))
        self._learn_answers(np.unique(shown[shown >= 0]).tolist())
        return [self._assemble(row, of_row[of_row >= 0]) for row, of_row in zip(rows.tolist(), shown, strict=True)]

    def _assemble(self, row: int, examples: Ints) -> Prompt:
        parts, tokens = [row], [self._questions[row]]
        left = self.max_tokens - self._size(row, tokens[0])
        for example in reversed(examples.tolist()):
            left -= self._size(example, self._answers[example])
            if left < 0:
                self._with_dropped.add(row)
                break
            parts.append(example)
            tokens.append(self._answers[example])
        if len(examples) < self.examples.shape[1]:
            self._with_fewer.add(row)
        shown = np.array(parts[::-1], np.int64)
        images = np.where(self.has_image[shown], shown, -1)
        if len(self.start):
            return Prompt(np.append(_NO_IMAGE, images), (self.start, *tokens[::-1]))
        return Prompt(images, tuple(tokens[::-1]))

    def _size(self, row: int, tokens: Ints) -> int:
        return len(tokens) + self.prefix_length * bool(self.has_image[row])

    def _learn_answers(self, rows: list[int]) -> None:
        new = [row for row in rows if row not in self._answers]
        names = []
        for row in new:
            name = self.names[row]
            if name is None:
                raise DataError(
                    "an answer to every in-context example",
                    f"none to '{self.mentions[row]}' (row {row})",
                    "Choose examples among the training mentions that have a gold entity.",
                )
            names.append(name)
        asked = zip(new, names, strict=True)
        if self.tokenize_answers is None:
            texts = [answer(self.mentions[row], self.contexts[row], name) for row, name in asked]
            self._answers.update(zip(new, self._tokens(texts), strict=True))
            return
        questions = self._tokens([ask(self.mentions[row], self.contexts[row]) for row in new])
        answers = self.tokenize_answers(names)
        self._answers |= {
            row: np.append(question, np.array(tokens, np.int64))
            for row, question, tokens in zip(new, questions, answers, strict=True)
        }

    def _learn_questions(self, rows: list[int]) -> None:
        new = [row for row in rows if row not in self._questions]
        found = dict(zip(new, self._tokens([ask(self.mentions[row], self.contexts[row]) for row in new]), strict=True))
        too_long = [row for row, tokens in found.items() if self._size(row, tokens) > self.max_tokens]
        self._questions |= found | self._shortened(too_long)
        self._cut.update(too_long)

    def _shortened(self, rows: list[int]) -> dict[int, Ints]:
        """The questions with as much of their texts as fits: by bisection, since only the tokenizer can tell."""
        best = dict(zip(rows, self._tokens([ask(self.mentions[row], "") for row in rows]), strict=True))
        for row, tokens in best.items():
            self._check(row, tokens)
        fitting, beyond = dict.fromkeys(rows, 0), {row: len(self.contexts[row]) for row in rows}
        while rows := [row for row in rows if beyond[row] - fitting[row] > 1]:
            widths = [(fitting[row] + beyond[row]) // 2 for row in rows]
            for row, width, tokens in zip(
                rows, widths, self._tokens(list(map(self._windowed, rows, widths))), strict=True
            ):
                if self._size(row, tokens) <= self.max_tokens:
                    fitting[row], best[row] = width, tokens
                else:
                    beyond[row] = width
        return best

    def _windowed(self, row: int, width: int) -> str:
        mention = self.mentions[row]
        return ask(mention, window(mention, self.contexts[row], self.spans[row], width))

    def _check(self, row: int, tokens: Ints) -> None:
        size = self._size(row, tokens)
        if size > self.max_tokens:
            raise ConfigError(
                f"prompts of at most {self.max_tokens} tokens, which the language model's context leaves room for",
                f"{size} for the question about '{self.mentions[row][:80]}' without its text, "
                f"{size - len(tokens)} of them for its image",
                "Choose a language model with a longer context, or fewer prefix tokens.",
            )

    def _tokens(self, texts: list[str]) -> list[Ints]:
        return [np.array(tokens, np.int64) for tokens in self.tokenize(texts)] if texts else []


def _texts(column: pd.Series) -> list[str]:
    return [text if isinstance(text, str) else "" for text in column.tolist()]


def _spans(mentions: pd.DataFrame, contexts: list[str]) -> list[tuple[int, int] | None]:
    """Where each mention stands in its context; None where that is not known, or cannot be."""
    starts, ends = (mentions[name].to_numpy(dtype=np.float64, na_value=np.nan).tolist() for name in ("start", "end"))
    # No comparison with NaN holds.
    return [
        (int(start), int(end)) if 0 <= start < end <= len(context) else None
        for start, end, context in zip(starts, ends, contexts, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Layout:
    """A batch of prompts, and perhaps answers, that end at one position: B items of L positions.

    Attributes:
        tokens: [B, L] int64; 0 where a prefix vector stands, and where nothing does.
        mask: [B, L] int64; 1 where a token or a prefix vector stands.
        labels: [B, T] int64, the answers at the last T positions, -100 elsewhere; T is the longest answer's length.
        items: [num_images] int64, the item that each block of prefix vectors belongs to.
        places: [num_images] int64, the first position of each block.
        mentions: [num_images] int64, the mention whose image each block stands for.
    """

    tokens: Ints
    mask: Ints
    labels: Ints
    items: Ints
    places: Ints
    mentions: Ints


def pad_left(prompts: Sequence[Prompt], prefix_length: int, answers: Sequence[Sequence[int]] | None = None) -> Layout:
    """Lays prompts out for a model, each at the right end of its row.

    Args:
        prompts: [B].
        prefix_length: Vectors an image.
        answers: The tokens behind each prompt; None: nothing, and T is 0.

    Example:
        >>> short = Prompt(np.array([-1]), (np.array([7]),))
        >>> long = Prompt(np.array([5]), (np.array([8, 9]),))
        >>> pad_left([short, long], prefix_length=1).tokens.tolist()
        [[0, 0, 7], [0, 8, 9]]
    """
    ends = [np.asarray(tokens, np.int64) for tokens in answers] if answers is not None else [_NOTHING] * len(prompts)
    parts = [tokens for prompt, end in zip(prompts, ends, strict=True) for tokens in (*prompt.tokens, end)]
    images = _joined([part for prompt in prompts for part in (prompt.images, _NO_IMAGE)])
    item = np.repeat(np.arange(len(prompts)), [len(prompt.tokens) + 1 for prompt in prompts])
    num_tokens = np.array([len(tokens) for tokens in parts], np.int64)
    blocks = prefix_length * (images >= 0)
    sizes = num_tokens + blocks
    totals = np.zeros(len(prompts), np.int64)
    np.add.at(totals, item, sizes)
    length = int(totals.max(initial=0))
    # Items laid end to end; then each is moved so that it ends at `length`.
    starts = np.cumsum(sizes) - sizes + (length - np.cumsum(totals))[item]
    tokens = np.zeros((len(prompts), length), np.int64)
    tokens[np.repeat(item, num_tokens), _runs(starts + blocks, num_tokens)] = _joined(parts)
    mask = np.arange(length) >= (length - totals)[:, None]
    labels = np.full((len(prompts), max(map(len, ends), default=0)), IGNORED, np.int64)
    for row, end in zip(labels, ends, strict=True):
        row[len(row) - len(end) :] = end
    shows = images >= 0
    return Layout(tokens, mask.astype(np.int64), labels, item[shows], starts[shows], images[shows])


_NOTHING, _NO_IMAGE = np.empty(0, np.int64), np.array([-1])


def _joined(arrays: list[Ints]) -> Ints:
    return np.concatenate([_NOTHING, *arrays])


def _runs(starts: Ints, counts: Ints) -> Ints:
    """The numbers `start, start + 1, …`, `count` of them for each pair, one run after the other."""
    before = np.cumsum(counts) - counts
    places: Ints = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return places
