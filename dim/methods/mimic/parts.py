"""What MIMIC's units make of mentions and of entities, before the two meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from dim.methods.mimic.units import EntityText, MentionText, Seen


class MentionParts(NamedTuple):
    """Of m mentions, by unit; None: the method has no such unit."""

    text: MentionText | None
    vision: Seen | None
    cross: Tensor | None

    def __len__(self) -> int:  # of mentions, not of units
        return len(self.tensors()[0])

    def tensors(self) -> list[Tensor]:
        """All that is there, but masks."""
        text = [] if self.text is None else list(self.text[:3])
        return [*text, *(self.vision or ()), *([] if self.cross is None else [self.cross])]

    @property
    def lengths(self) -> Tensor:
        """How many tokens [m] each has."""
        if self.text is None or self.text.mask is None:
            return torch.zeros(len(self), dtype=torch.long)
        return self.text.mask.sum(1)

    def some(self, places: Tensor) -> MentionParts:
        """Those of mentions [b], with no more padding than their longest needs."""
        text, vision, cross = self.text, self.vision, self.cross
        if text is not None and text.mask is not None:
            mask = text.mask[places]
            longest = int(mask.sum(1).max())
            cut = None if bool(mask[:, :longest].all()) else mask[:, :longest]
            text = MentionText(text.whole[places], text.keys[places, :longest], text.values[places, :longest], cut)
        return MentionParts(
            text,
            None if vision is None else Seen(*(each[places] for each in vision)),
            None if cross is None else cross[places],
        )


class EntityParts(NamedTuple):
    """Of n entities, by unit; None: the method has no such unit."""

    text: EntityText | None
    vision: Seen | None
    cross: Tensor | None

    def vectors(self) -> dict[str, Tensor]:
        """What has one vector [n, width] an entity, by name."""
        named: dict[str, Tensor | None] = {"cross": self.cross}
        if self.text is not None:
            named |= {"text_whole": self.text.whole, "text_target": self.text.target}
        if self.vision is not None:
            named |= {f"vision_{name}": value for name, value in self.vision._asdict().items()}
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def of(cls, vectors: Mapping[str, Tensor], queries: Tensor | None) -> EntityParts:
        """Those of entities with equally many tokens each, by what `vectors` gave and their queries [n, t, d]."""
        text = vision = None
        if queries is not None:
            text = EntityText(vectors["text_whole"], vectors["text_target"], queries, None)
        if "vision_query" in vectors:
            vision = Seen(*(vectors[f"vision_{name}"] for name in Seen._fields))
        return cls(text, vision, vectors.get("cross"))
