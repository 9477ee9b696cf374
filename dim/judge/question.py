"""A case as a question with lettered answers, and what an answer to it says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from dim.judge.contract import Case, Verdict, generator_of
from dim.refresh.prompt import Prompt, PromptTemplate
from dim.refresh.reply import usable_text

MOST = len(ascii_uppercase) - 1  #: Candidates of a question: the last letter is that of "none of them".
REACH, LONGEST_TEXT = 1000, 400  #: Characters of a context on each side of the mention, and of a candidate's text.
SURE = 0.9  #: The share that an answer without log-probabilities gives what it chose.

# Possessive: a server may say ten thousand blanks, and none of them is tried twice.
_BEGINNING = r"(?:the\s++)?+(?:correct\s++)?+(?:answer|entry|option|letter)?+(?:\s++is)?"
_ANSWER = re.compile(rf"\W*+(?:{_BEGINNING}\W*+)?\b([A-Za-z])(?:\W*$|\s*[).:\]*]|\s*\n)", re.IGNORECASE)


class JudgeTemplate(PromptTemplate):
    """A template of questions, checked: a line `---` ends the system message.

    Args:
        path: Jinja2 with the fields `mention`, `context`, `options` (each with `letter`, `name`, `text`), `none` (its
            letter) and `has_image`; None: the default.

    Raises:
        ConfigError: As of `PromptTemplate`.
    """

    default = Path(__file__).with_name("default_prompt.txt")
    fields = ("mention", "context", "options", "none", "has_image")


@dataclass(frozen=True)
class Asked:
    """A question about a case.

    Attributes:
        case: It.
        order: [c], which candidate stands at which letter: drawn by the case's key, so that a place tells nothing.
    """

    case: Case
    order: NDArray[np.int64]

    @classmethod
    def of(cls, case: Case, seed: int) -> Asked:
        """The question of a case, with the candidates in an order that seed and key decide."""
        return cls(case, generator_of("order", seed, case.key).permutation(len(case.candidates)))

    @property
    def letters(self) -> str:
        """Those of the candidates in the order asked, and that of none of them."""
        return ascii_uppercase[: len(self.order) + 1]

    def prompt(self, template: PromptTemplate, image: str = "") -> Prompt:
        """What is sent; `image` is a data URL."""
        case = self.case
        shown = [case.candidates[place] for place in self.order]
        options = [
            {"letter": letter, "name": _line(each.name), "text": _line(each.text or "")[:LONGEST_TEXT]}
            for letter, each in zip(self.letters, shown, strict=False)
        ]
        fields = {
            "mention": _line(case.mention),
            "context": _line(case.context_within(REACH)),
            "options": options,
            "none": self.letters[-1],
            "has_image": case.image is not None or bool(image),
        }
        filled = template.fill(fields, f"mention {case.key}")
        return Prompt(filled.system, filled.user, image)

    def verdict(self, shares: Sequence[float]) -> tuple[NDArray[np.float64], float]:
        """Scores in the order of the case, and that of none of them, of logarithms in the order of the letters."""
        values = np.asarray(shares, dtype=np.float64)
        values = values - np.logaddexp.reduce(values)
        scores = np.empty(len(self.order))
        scores[self.order] = values[:-1]
        return scores, float(values[-1])

    def read(self, text: str, alternatives: Sequence[Mapping[str, float]] | None = None) -> Verdict:
        """The verdict of an answer: `malformed` where it does not name one letter of the question.

        Args:
            text: What the model said.
            alternatives: As of `Reply`.
        """
        letter = letter_of(usable_text(text), self)
        if letter is None:
            return Verdict(None, status="malformed")
        shares = [math.log(SURE) if each == letter else math.log((1 - SURE) / len(self.order)) for each in self.letters]
        if (known := _shares_of(self.letters, letter, alternatives or ())) is not None:
            shares = known
        return Verdict(*self.verdict(shares))


def letter_of(text: str, asked: Asked) -> str | None:
    """The letter that an answer names; None where it names none, or does not say it plainly.

    An answer that is the name of one candidate alone counts as its letter, also where it begins as a letter does:
    "B. B. King".

    Example:
        >>> from dim.judge.contract import Candidate
        >>> two = Asked(Case("m", "Ada", "", (Candidate("1", "Ada L"), Candidate("2", "Ada Y"))), np.array([0, 1]))
        >>> [letter_of(text, two) for text in ("B", "b)", "**A**", "The answer is C.", "B) Ada Y", "Ada L")]
        ['B', 'B', 'A', 'C', 'B', 'A']
        >>> [letter_of(text, two) for text in ("A woman of that name", "D", "A or B", "", "I think it is Ada")]
        [None, None, None, None, None]
    """
    said = _bare(text)
    same = [
        letter
        for letter, place in zip(asked.letters, asked.order, strict=False)
        if len(said) > 1 and _bare(asked.case.candidates[place].name) == said
    ]
    if same:
        return same[0] if len(same) == 1 else None
    if (found := _ANSWER.match(text)) is None:
        return None
    letter, rest = found[1].upper(), text[found.end() :]
    return None if letter not in asked.letters or _names_another(rest, letter, asked) else letter


def _bare(name: str) -> str:
    """A name as it is compared: some end in a dot, and so do answers."""
    return _line(name).strip(" .").casefold()


def _names_another(rest: str, letter: str, asked: Asked) -> bool:
    """Whether what follows a letter names another one as an answer would: `A) or B)`."""
    others = [each for each in asked.letters if each != letter]
    return any(re.search(rf"(?<!\w){each}\)", rest) for each in others)


def _shares_of(letters: str, chosen: str, alternatives: Sequence[Mapping[str, float]]) -> list[float] | None:
    """The logarithms of all letters where the chosen one was written; None where no token is it.

    A letter that is not among the alternatives that a server gives is less probable than all that are: it counts as
    the least of them, or as what is left beside them, whichever is less.
    """
    written = next((each for each in alternatives if _letter_in(next(iter(each), "")) == chosen), None)
    if written is None:
        return None
    known: dict[str, float] = {}
    for token, value in written.items():
        letter = _letter_in(token)
        known[letter] = float(np.logaddexp(known.get(letter, -math.inf), value))
    left = math.log(max(1.0 - sum(math.exp(value) for value in written.values()), 1e-9))
    least = min(left, *written.values())
    return [known.get(each, least) for each in letters]


def _letter_in(token: str) -> str:
    return token.strip(" \n\t*(\"'`).:").upper()


def _line(text: str) -> str:
    return " ".join(text.split())
