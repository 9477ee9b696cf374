"""MIMIC without what trains it: what answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from dim.core.choices import check_choice
from dim.errors import ConfigError
from dim.features.batch import Batch, FeatureTable, FieldVectors
from dim.inference.data import DataModule, LinkingData, Needs
from dim.inference.method import Method
from dim.methods.mimic.entity_cache import CacheType, EntityCache
from dim.methods.mimic.interactions import Interactions
from dim.methods.mimic.matcher import UNITS, Matcher, Unit, Whole
from dim.methods.mimic.parts import EntityParts, MentionParts

ENTITY_BATCH = 4096  #: Entities whose parts are made at once, where each has one vector.
MENTION_BATCH = 128  #: Mentions that are ranked at once: a line of progress moves with each.
#: What of mentions, and of entities, is read as `text` and as `image`.
MENTION, ENTITY = {"text": "context", "image": "image"}, {"text": "text", "image": "image"}
NEEDED: dict[Unit, tuple[str, ...]] = {"text": ("text",), "vision": ("image",), "cross": ("text", "image")}

Widths = Mapping[str, int]  #: `text` and `image`, as far as they are read → columns of the encoder's vectors.


class MIMICNetwork(Method):
    """MIMIC without its loss; the options are those of `MIMIC`.

    Attributes:
        widths: What it reads.
        cache: The KB's parts, from `on_scoring_start` on.
    """

    widths: Widths = MappingProxyType({})
    matcher: Matcher
    cache: EntityCache

    def __init__(
        self,
        units: Sequence[Unit] | None = None,
        text_whole: Whole = "first",
        image_whole: Whole = "first",
        whole_width: int = 512,
        hidden: int = 96,
        dropout: float = 0.0,
        cache_type: CacheType = "float16",
        encoder_learning_rate: float = 1e-5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.encoder_learning_rate = encoder_learning_rate
        self.units, self.text_whole, self.image_whole = units, text_whole, image_whole
        self.whole_width, self.hidden, self.dropout, self.cache_type = whole_width, hidden, dropout, cache_type

    @property
    def needs(self) -> Needs:
        """One text and the images of either side."""
        return Needs(("context", "image", "text", "entity_image"), evaluation_batch=MENTION_BATCH)

    def check(self) -> None:
        """Raises ConfigError for a unit that there is not, or none at all."""
        for unit in self.units or ():
            check_choice("units", unit, UNITS)
        if self.units is not None and not self.units:
            raise ConfigError(f"units ({', '.join(UNITS)})", "none", "Name one, or leave the option out.")

    def build(self, data: LinkingData) -> None:
        """Makes the units that the data has fields for, or those that are asked for.

        Raises:
            ConfigError: A field of theirs is absent, or its encoder gives one vector where each token or patch counts;
                or the entities' texts are read without their names.
        """
        found = {
            kind: mention.width
            for kind in ("text", "image")
            if (mention := data.mention_fields.get(MENTION[kind])) is not None and ENTITY[kind] in data.entity_fields
        }
        self.make(chosen_widths(self.units, found))
        for kind in self.widths:
            check_many(kind, data.mention_fields[MENTION[kind]], self.datamodule)
        if "text" in self.widths:
            check_template(self.datamodule.choices.text_template)
        if "image" in self.widths:
            check_first(self.image_whole, self.datamodule)

    @property
    def field_widths(self) -> tuple[dict[str, int], dict[str, int]]:
        """Field → columns of its vectors, of mentions and of entities."""
        mention, entity = ({named[kind]: width for kind, width in self.widths.items()} for named in (MENTION, ENTITY))
        return mention, entity

    def make(self, widths: Widths) -> None:
        """Makes the network, without weights."""
        self.widths = dict(widths)
        units = tuple(unit for unit in (self.units or UNITS) if all(kind in widths for kind in NEEDED[unit]))
        self.matcher = Matcher(
            units,
            widths.get("text", 0),
            widths.get("image", 0),
            self.whole_width,
            self.hidden,
            self.dropout,
            self.text_whole,
            self.image_whole,
        )

    def mention_parts(self, batch: Batch) -> MentionParts:
        """The parts of mentions by their fields."""
        return self.matcher.of_mentions(self._read(batch, MENTION))

    def entity_parts(self, batch: Batch) -> EntityParts:
        """The parts of entities by their fields."""
        return self.matcher.of_entities(self._read(batch, ENTITY))

    def _read(self, batch: Batch, named: Mapping[str, str]) -> dict[str, FieldVectors]:
        return {kind: batch.fields[named[kind]] for kind in self.widths}

    def mentions(self, rows: Tensor) -> MentionParts:
        """Of mention rows [b]."""
        return self.mention_parts(self.data.mentions(rows, tuple(self.field_widths[0])))

    def entities(self, rows: Tensor) -> EntityParts:
        """Of KB rows [b]."""
        return self.entity_parts(self.data.entities(rows, tuple(self.field_widths[1])))

    def on_scoring_start(self) -> None:
        """Makes the KB's parts once."""
        self.cache = EntityCache.of(self._kb_parts(), self.cache_type)

    @torch.no_grad()
    def _kb_parts(self) -> Iterator[EntityParts]:
        for part in self.kb_rows(self.field_widths[1], ENTITY_BATCH):
            yield self.entities(part)

    def scores_of(self, rows: Tensor) -> Interactions:
        """Joint scores with the whole KB."""
        with torch.no_grad():
            return Interactions(self.matcher, self.mentions(rows), [self.cache])

    def describe(self) -> dict[str, Any]:
        """The units, and what is kept of the KB."""
        return {
            "units": [unit for unit in UNITS if getattr(self.matcher, unit) is not None],
            "entity_cache": {"type": self.cache_type, "bytes": self.cache.nbytes, "entities": len(self.cache)},
        }


def chosen_widths(units: Sequence[Unit] | None, found: Widths) -> Widths:
    """Those of what is found that the units read. Raises ConfigError where one lacks what it reads."""
    needed = {kind for unit in units or () for kind in NEEDED[unit]} if units is not None else set(found)
    missing = sorted(needed - set(found))
    if missing or not needed:
        lacking = " and ".join(missing) or "text or image"
        raise ConfigError(
            f"{lacking} of both mentions and entities, which MIMIC compares",
            f"{', '.join(sorted(found))} alone" if found else "neither",
            "Name an encoder (--data.text_encoder, --data.image_encoder), or leave the unit out (--model.units); of a "
            "KB without texts names are read by --data.text_template '{name} [SEP] {text}' --data.name_alone true.",
        )
    return {kind: width for kind, width in found.items() if kind in needed}


def check_many(kind: str, table: FeatureTable, module: DataModule) -> None:
    """Raises ConfigError where an encoder gives one vector of each text or image, or several images are encoded."""
    if kind == "image" and module.choices.num_images > 1:
        found = f"--data.num_images {module.choices.num_images}"
        raise ConfigError("one image a mention and an entity, whose patches MIMIC reads", found, "Leave it out.")
    if not table.has_several and MENTION[kind] not in module.blank:
        ways = {
            "text": "--data.text_encoder.pooling tokens (TransformersTextEncoder), or .tokens true (TinyTextEncoder)",
            "image": "--data.image_encoder.patches true (OpenClipEncoder, TinyImageEncoder)",
        }
        what = {"text": "tokens of a text", "image": "patches of an image"}[kind]
        raise ConfigError(f"an encoder that gives the {what}, for MIMIC", "one vector of each", f"{ways[kind]}.")


def check_template(template: str) -> None:
    """Raises ConfigError where an entity's text is read without its name: MIMIC reads one text of an entity."""
    if "{name}" not in template:
        raise ConfigError(
            "entity texts with their names, as MIMIC reads one text a side",
            f"--data.text_template '{template}'",
            "--data.text_template '{name} [SEP] {text}' --data.name_alone true",
        )


def check_first(whole: Whole, module: DataModule) -> None:
    """Raises ConfigError where the first of an image's vectors is a patch like others, and taken for the whole."""
    encoder = module.choices.image_encoder
    if whole == "first" and encoder is not None and not encoder.gives_whole_first:
        raise ConfigError(
            "an image encoder whose first vector is that of the whole image",
            f"{type(encoder).__name__}, which gives patches alone",
            "--model.image_whole mean",
        )
