"""The two towers of DIM over frozen features: what answers; `dim.methods.contrastive.module` trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from dim.errors import ConfigError
from dim.features.batch import Batch, FieldVectors
from dim.inference.data import LinkingData
from dim.inference.two_towers import TwoTowersNetwork, Widths
from dim.methods.contrastive.fusion import (
    AttentionFusion,
    IdentityTower,
    LinearFusion,
    SpellingPart,
    SumFusion,
    check_heads,
)


class DIMNetwork(TwoTowersNetwork):
    """DIM without its loss and its negatives; the options are those of `DIM`."""

    training_only = TwoTowersNetwork.training_only | {"loss", "negatives"}
    #: Options that came later, at what was so before: they make no other run of it (`dim.training.identity`).
    later: ClassVar[dict[str, Any]] = {"several": "mean", "encoder_learning_rate": 5e-5}

    def __init__(
        self,
        mention_fields: Sequence[str] | None = None,
        entity_fields: Sequence[str] | None = None,
        fusion: Literal["attention", "sum", "linear"] = "attention",
        entity_tower: Literal["projection", "identity"] = "projection",
        several: Literal["mean", "sum", "attention"] = "mean",
        width: int = 512,
        num_heads: int = 8,
        dropout: float = 0.1,
        modality_dropout: float = 0.0,
        encoder_learning_rate: float = 5e-5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.encoder_learning_rate = encoder_learning_rate
        self.mention_fields, self.entity_fields = mention_fields, entity_fields
        self.fusion, self.entity_tower, self.several = fusion, entity_tower, several
        self.width, self.num_heads, self.dropout = width, num_heads, dropout
        self.modality_dropout = modality_dropout
        self.query_tower: nn.Module = nn.Identity()  # the towers are built when the widths are known
        self.kb_tower: nn.Module = nn.Identity()
        self.spelling: SpellingPart | None = None

    def check(self) -> None:
        """Raises ConfigError for options that do not fit each other."""
        if self.several != "mean" and self.several != self.fusion:  # others scale each field to unit length
            found = f"fusion: {self.fusion}"
            raise ConfigError(f"several: {self.several} beside fusion: {self.several}", found, "Use several: mean.")
        if self.fusion == "attention" and self.entity_tower == "projection":  # else the width is that of texts
            check_heads(self.width, self.num_heads)

    def build(self, data: LinkingData) -> None:
        """Makes both towers for the widths of the data."""
        super().build(data)
        if self.spelling is not None:
            self.spelling.weigh(data.entity_fields["spelling"].column_shares())

    def make_towers(self, mention: Widths, entity: Widths) -> None:
        """Makes both towers; those with `spelling` weigh every n-gram alike, until weights are loaded or `build` ends.

        Args:
            mention: Field → width, of mentions.
            entity: The same of entities.
        """
        self.field_widths = dict(mention), dict(entity)
        if "spelling" in mention and "spelling" in entity:
            self.spelling, self.num_sparse = SpellingPart(mention["spelling"]), mention["spelling"]
        mention, entity = _fused("mention", mention), _fused("entity", entity)
        if self.entity_tower == "identity" and "text" not in entity:
            raise ConfigError(
                "the field text, whose vectors entity_tower: identity takes",
                f"the fields {', '.join(entity)}",
                "Use --model.entity_tower projection.",
            )
        width = entity["text"] if self.entity_tower == "identity" else self.width
        if self.fusion == "attention" and "mention" not in mention:
            raise ConfigError(
                "the field mention, which attends to the others",
                f"the fields {', '.join(mention)}",
                "Name a text encoder and keep the field, or use --model.fusion sum.",
            )
        self.query_tower = self.make_fusion(mention, width)
        self.kb_tower = (
            IdentityTower() if self.entity_tower == "identity" else LinearFusion(entity, width, self.dropout)
        )

    def make_fusion(self, widths: Widths, width: int) -> nn.Module:
        """The query's fusion, which is called with its fields by name and gives vectors [B, width]; yours, if you like.

        Args:
            widths: Field → width, without spelling, which no fusion sees.
            width: Of the vectors of entities, too.
        """
        if self.fusion == "sum":
            return SumFusion(widths, width, self.dropout)
        if self.fusion == "linear":
            return LinearFusion(widths, width, self.dropout)
        return AttentionFusion(widths, width, self.num_heads, self.dropout, self.several == "attention")

    def encode_mentions(self, batch: Batch) -> Tensor:
        """Query vectors [B, D] of mentions given by their fields."""
        fused: Tensor = self.query_tower(self._fields(batch, attended=self.several == "attention"))
        return fused if self.spelling is None else self.spelling.mention(batch.fields["spelling"].mean()[0], fused)

    def encode_entities(self, batch: Batch) -> Tensor:
        """Vectors [B, D] of entities given by their fields."""
        fused: Tensor = self.kb_tower(self._fields(batch))
        return fused if self.spelling is None else self.spelling.entity(batch.fields["spelling"].mean()[0], fused)

    def _fields(self, batch: Batch, attended: bool = False) -> dict[str, FieldVectors]:
        """The fields of a tower, with one vector an owner; with several only where they are attended to."""
        one_each = FieldVectors.summed if self.several == "sum" else FieldVectors.averaged
        return {
            name: field if attended and name != "mention" else one_each(field)
            for name, field in batch.fields.items()
            if name != "spelling"
        }


def _fused(owner: str, widths: Widths) -> Widths:
    """The fields that the tower of mentions or entities fuses. Raises ConfigError where there are none."""
    fused = {name: width for name, width in widths.items() if name != "spelling"}
    if not fused:
        remedy = f"Add one to --model.{owner}_fields"
        remedy += "; --data.name_alone true has the name stand where a text is missing." if owner == "entity" else "."
        raise ConfigError(f"fields of {owner} beside spelling", ", ".join(widths) or "none", remedy)
    return fused
