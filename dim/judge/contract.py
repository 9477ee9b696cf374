"""What a judge is asked, what it says, and what every judge is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from dim.core.arrays import Doubles
from dim.core.files import content_hash
from dim.features.around import text_around


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entity that a mention may mean, as a judge reads it."""

    id: str
    name: str
    text: str | None = None


@dataclass(frozen=True)
class Case:
    """A mention with its best candidates.

    Attributes:
        key: Of the mention: the candidates are shuffled by it, and an answer in a record is found by it.
        mention: The name as it stands in the text; may be empty where there is an image.
        context: The text around it.
        candidates: The best first, at least one.
        image: The mention's; None: it has none, or the judge reads none.
        span: Where the mention stands in the context; None: at the first place of its name.
    """

    key: str
    mention: str
    context: str
    candidates: tuple[Candidate, ...]
    image: Image.Image | None = field(default=None, compare=False, repr=False)
    span: tuple[int, int] | None = None

    def context_within(self, reach: int) -> str:
        """What stands at most `reach` characters before and after the mention."""
        start, end = self.span or (None, None)
        return text_around(self.context, self.mention, start, end, reach)

    def with_others_texts(self, seed: int = 0) -> Case:
        """The control: the texts of the candidates change places by chance, so that none keeps its own; names stay.

        A case of one candidate has no other's text: it loses its own.

        Example:
            >>> case = Case("m", "Ada", "", (Candidate("1", "Ada", "a"), Candidate("2", "Ada", "b")))
            >>> [each.text for each in case.with_others_texts().candidates]
            ['b', 'a']
        """
        order = generator_of("texts", seed, self.key).permutation(len(self.candidates))
        texts: list[str | None] = [None] * len(order)
        for place, following in zip(order, np.roll(order, 1), strict=True):  # one ring: nobody stays where it was
            texts[place] = self.candidates[following].text if len(order) > 1 else None
        shown = (replace(each, text=text) for each, text in zip(self.candidates, texts, strict=True))
        return replace(self, key=f"{self.key} (texts of others)", candidates=tuple(shown))


def generator_of(*parts: object) -> np.random.Generator:
    """Random numbers that these parts alone decide, on every machine."""
    return np.random.default_rng(int(content_hash(*map(str, parts))[:16], 16))


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a case.

    Attributes:
        scores: [c], the logarithm of each candidate's share, in the order of the case; None: it abstained.
        none: That of "none of them"; None: the judge is not asked for it, or abstained.
        status: `ok`, or why there is nothing: `malformed` of an answer that names no candidate, else as in the record
            of a server's answers (`dim.refresh.reply.Status`), or `not asked` where a budget was spent.
        requests: Tries sent to a server.
        tokens_in: Tokens read, as a record has them.
        tokens_out: Tokens written.
        cost: Money; None: no prices were given.
    """

    scores: Doubles | None
    none: float | None = None
    status: str = "ok"
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None

    @property
    def chosen(self) -> int | None:
        """The place of the most probable candidate; -1: none of them; None: it abstained."""
        if self.scores is None:
            return None
        best = int(np.argmax(self.scores))
        return -1 if self.none is not None and self.none > self.scores[best] else best


class Judge(ABC):
    """Says of cases which candidate is meant."""

    #: Whether each case costs money or minutes: what is not needed for the answers is not asked then.
    is_costly: ClassVar[bool] = True
    is_elsewhere: ClassVar[bool] = False  #: Whether it may be out of reach for a while, as a server may.
    most_candidates: ClassVar[int] = 1_000  #: Of a case.
    image_side: int = 512  #: Pixels of the longer side of an image that it sees.

    @property
    def reads_images(self) -> bool:
        """Whether it sees the mention's image."""
        return False

    @property
    @abstractmethod
    def label(self) -> str:
        """A name for people, such as that of the model."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Names all that its verdicts hang on but the case; the weights behind a server's name are not to be known."""

    @abstractmethod
    def decide(self, cases: Sequence[Case], record: Path | None = None) -> list[Verdict]:
        """A verdict on each case, in their order.

        Args:
            cases: What is judged, what matters most first: a budget may end before the last.
            record: A folder in whose `answers` each answer is kept (`dim.refresh.answers`), and found again; a judge
                that is neither paid nor slow keeps none. None: nothing is kept.

        Raises:
            ConfigError: It cannot be asked at all.
        """

    def saved(self) -> dict[str, Any]:
        """Its class and options as a folder names them, places on this machine and addresses aside."""
        return {"class_path": type(self).__name__, "init_args": self.options()}

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The options that its verdicts hang on, and what else it is made again with elsewhere."""

    def write_model(self, folder: Path) -> Judge | None:
        """Copies the files of its model into a new folder; gives the same judge of the copy.

        That may have another fingerprint: pickled weights become safetensors. None: it has no files that can go along.
        """
        return None


def counted(verdicts: Sequence[Verdict]) -> Mapping[str, int]:
    """How many verdicts there are of each kind: a candidate was chosen, none of them, or why the judge abstained.

    Example:
        >>> counted([Verdict(np.zeros(2)), Verdict(None, status="malformed")])
        {'a candidate': 1, 'malformed': 1}
    """
    found: dict[str, int] = {}
    for verdict in verdicts:
        kind = verdict.status if verdict.scores is None else "none of them" if verdict.chosen == -1 else "a candidate"
        found[kind] = found.get(kind, 0) + 1
    return found
