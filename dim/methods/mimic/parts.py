"""What MIMIC's units make of mentions and of entities, before the two meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from dim.methods.mimic.units import EntityText, MentionText, Seen


class MentionParts(NamedTuple):
    """Of m mentions, by unit; None: the method has no such unit."""

    text: MentionText | None
    vision: Seen | None
    cross: Tensor | None

    def __len__(self) -> int:  # of mentions, not of units
        found = self.text or self.vision
        assert found is not None
        return len(found[0])

    def tensors(self) -> list[Tensor]:
        """All that is there, but masks."""
        text = [] if self.text is None else list(self.text[:3])
        return [*text, *(self.vision or ()), *([] if self.cross is None else [self.cross])]

    def one(self, place: int) -> MentionParts:
        """Those of one mention, without padding: what is computed with them hangs on no other mention."""
        text, vision, cross = self.text, self.vision, self.cross
        part = slice(place, place + 1)
        if text is not None:
            kept = slice(None) if text.mask is None else text.mask[place]
            text = MentionText(text.whole[part], text.keys[part, kept], text.values[part, kept], None)
        return MentionParts(
            text,
            None if vision is None else Seen(*(each[part] for each in vision)),
            None if cross is None else cross[part],
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
