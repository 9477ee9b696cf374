"""MIMIC's network: features of both sides become parts, and parts become scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from dim.features.batch import FieldVectors
from dim.methods.mimic.parts import EntityParts, MentionParts
from dim.methods.mimic.units import CrossUnit, Side, TextUnit, VisionUnit

Whole = Literal["first", "mean", "last"]
Unit = Literal["text", "vision", "cross"]
UNITS: tuple[Unit, ...] = ("text", "vision", "cross")


class Matcher(nn.Module):
    """Encoders' vectors in, scores out. Its layers are shared by mentions and entities, as the paper's encoders are.

    Args:
        units: Those that it has.
        text_width: Columns of the text encoder's vectors; 0: there is none.
        image_width: Of the image encoder's; 0: there is none.
        whole_width: D, columns of the texts' global features.
        hidden: d, columns within the units and of the images' features.
        dropout: Of the features.
        text_whole: What of a text's vectors is its global feature.
        image_whole: The same of an image.
    """

    def __init__(
        self,
        units: tuple[Unit, ...],
        text_width: int,
        image_width: int,
        whole_width: int,
        hidden: int,
        dropout: float,
        text_whole: Whole,
        image_whole: Whole,
    ) -> None:
        super().__init__()
        self.text_whole, self.image_whole = text_whole, image_whole
        self.dropout = nn.Dropout(dropout)
        self.texts = _Projection(text_width, whole_width, None) if text_width else None
        self.images = _Projection(image_width, hidden, hidden) if image_width else None
        self.text = TextUnit(whole_width, text_width, hidden) if "text" in units else None
        self.vision = VisionUnit(hidden, hidden) if "vision" in units else None
        self.cross = CrossUnit(whole_width, hidden, hidden) if "cross" in units else None

    def of_mentions(self, fields: Mapping[str, FieldVectors]) -> MentionParts:
        """The parts of mentions with the fields `text` and `image`, as far as there are units for them."""
        text, image = self._sides(fields)
        return MentionParts(
            self.text.of_mentions(text) if self.text is not None and text is not None else None,
            self.vision.of_mentions(image) if self.vision is not None and image is not None else None,
            self._fused(text, image),
        )

    def of_entities(self, fields: Mapping[str, FieldVectors]) -> EntityParts:
        """The same of entities."""
        text, image = self._sides(fields)
        return EntityParts(
            self.text.of_entities(text) if self.text is not None and text is not None else None,
            self.vision.of_entities(image) if self.vision is not None and image is not None else None,
            self._fused(text, image),
        )

    def forward(self, mentions: MentionParts, entities: EntityParts) -> dict[Unit, Tensor]:
        """The scores [m, n] of each unit."""
        found: dict[Unit, Tensor] = {}
        if self.text is not None and mentions.text is not None and entities.text is not None:
            found["text"] = self.text(mentions.text, entities.text)
        if self.vision is not None and mentions.vision is not None and entities.vision is not None:
            found["vision"] = self.vision(mentions.vision, entities.vision)
        if self.cross is not None and mentions.cross is not None and entities.cross is not None:
            found["cross"] = self.cross(mentions.cross, entities.cross)
        return found

    def _sides(self, fields: Mapping[str, FieldVectors]) -> tuple[Side | None, Side | None]:
        text = image = None
        if self.texts is not None:
            text = self._dropped(self.texts(fields["text"], self.text_whole))
        if self.images is not None:
            image = self._dropped(self.images(fields["image"], self.image_whole))
        return text, image

    def _dropped(self, side: Side) -> Side:
        return Side(self.dropout(side.whole), self.dropout(side.local), side.mask)

    def _fused(self, text: Side | None, image: Side | None) -> Tensor | None:
        if self.cross is None or text is None or image is None:
            return None
        fused: Tensor = self.cross.fused(text.whole, image)
        return fused


class _Projection(nn.Module):
    """From an encoder's vectors to global and local features, both normalised; zeros where there are none.

    Args:
        width: Of the encoder's vectors.
        whole_width: Of global features.
        local_width: Of local ones; None: they stay as the encoder gives them.
    """

    def __init__(self, width: int, whole_width: int, local_width: int | None) -> None:
        super().__init__()
        self.whole, self.norm_whole = nn.Linear(width, whole_width), nn.LayerNorm(whole_width)
        # At first all keep their distances: the encoder is frozen, and its space is worth something.
        nn.init.orthogonal_(self.whole.weight)
        nn.init.zeros_(self.whole.bias)
        self.local = nn.Identity() if local_width is None else nn.Linear(width, local_width)
        self.norm_local = nn.LayerNorm(local_width or width)

    def forward(self, field: FieldVectors, kind: Whole) -> Side:
        """The sides of n owners."""
        vectors, mask = field
        present = mask.any(1, keepdim=True)
        whole = self.norm_whole(self.whole(_whole(field, kind))) * present
        return Side(whole, self.norm_local(self.local(vectors)) * mask[:, :, None], mask)


def _whole(field: FieldVectors, kind: Whole) -> Tensor:
    """What of each owner's vectors [n, t, width] stands for all [n, width]."""
    if kind == "mean":
        return field.mean()[0]
    places = torch.zeros_like(field.mask.sum(1)) if kind == "first" else (field.mask.sum(1) - 1).clamp_min(0)
    return field.vectors[torch.arange(len(places), device=places.device), places]
