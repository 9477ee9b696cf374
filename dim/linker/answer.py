"""What a linker is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dim.errors import DataError
from dim.features.live import ImageInput


@dataclass(frozen=True)
class Question:
    """A mention to be linked.

    Attributes:
        mention: The name as it stands in the text; may be empty where there is an image.
        context: The text around it; may be empty.
        image: A path, the bytes of an image file, or an opened image; None: no image.
        candidates: Ids of the entities that compete; None: the whole KB.
    """

    mention: str
    context: str = ""
    image: ImageInput | None = None
    candidates: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not self.mention.strip() and self.image is None:
            raise DataError("a mention, or an image", "neither", "Give the name as it stands in the text.")


@dataclass(frozen=True)
class Answer:
    """An entity that a mention may mean.

    Attributes:
        id: Of the entity; `NIL` where the KB has none.
        name: Its name.
        text: What the KB says of it, or None.
        score: Higher is better; comparable within one answer list.
        probability: How probable it is that the mention means it, calibrated; None where the linker has no ranker.
        evidence: The parts that the score was made from.
        images: Paths of its images in the KB.
    """

    id: str
    name: str
    text: str | None
    score: float
    probability: float | None
    evidence: Mapping[str, float] = field(default_factory=dict)
    images: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """The answer as plain values."""
        return asdict(self)
