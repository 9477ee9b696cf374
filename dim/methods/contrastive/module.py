"""DIM as a Lightning module: two towers over frozen features, trained with a contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from torch import Tensor, nn

from dim.core.distributed import encode_together, from_first
from dim.errors import ConfigError
from dim.features.batch import Batch, FieldVectors
from dim.methods.contrastive.fusion import AttentionFusion, IdentityTower, LinearFusion, SpellingPart, SumFusion
from dim.methods.contrastive.losses import NPair, ReleasedNPair, check_loss, pairs_without
from dim.methods.contrastive.negatives import Negatives, RareWordNegatives
from dim.search.scores import BATCH, Scores
from dim.training.datamodule import LinkingData
from dim.training.two_towers import TwoTowers, Widths, pick, pick_entity


class DIM(TwoTowers):
    """DIM (arXiv 2407.12019): the query of a mention and the vector of an entity, compared by cosine.

    Args:
        mention_fields: Of `mention`, `context`, `caption`, `image`, `spelling`; None: all that the data has.
        entity_fields: Of `name`, `text`, `image`, `spelling`; None: all that the data has. `spelling` (it needs a
            name encoder) on both sides adds the names' own columns to both vectors.
        fusion: `attention` as the paper describes, `sum` as released, or `linear`, a sum of projections (a baseline).
        entity_tower: `projection` is trained on the entity's fields, `identity` is its text's vector as released.
        several: What becomes of a field with several vectors, such as images (`--data.num_images`) or tokens: their
            `mean`; with fusion `sum`, as in the release of DWE, their `sum`; with fusion `attention`, `attention` over
            each in the mention's caption, context and image, and their mean elsewhere.
        width: Of query and entity vectors; with `identity` the text's own width counts.
        num_heads: Attention heads.
        dropout: Of features and attention weights.
        modality_dropout: Chance that a training mention loses its context, its caption or its image, each on its
            own, so that the linker works without them.
        loss: `NPair`, `ReleasedNPair`, or a loss of pytorch-metric-learning that takes `ref_emb`.
        negatives: Further negatives; ReleasedNPair draws `RareWordNegatives` unless told otherwise.
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Of weights; biases, gains and scales have none.
        encoder_learning_rate: Peak learning rate of an encoder that is trained (`--data.text_encoder.train`).
        warmup_steps: Steps of linear warm-up.
        schedule: How the rate goes on from its peak to the last step.
        seed: Of the initial weights, of dropout and of drawn negatives (the CLI passes `seed_everything`).
    """

    training_only = TwoTowers.training_only | {"loss", "negatives"}
    trains_encoders = True
    #: Options that older versions lacked, at what was so then: they make no other run of it (`dim.training.identity`).
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
        loss: NPair | ReleasedNPair | BaseMetricLossFunction | None = None,
        negatives: Negatives | None = None,
        learning_rate: float = 1e-3,
        encoder_learning_rate: float = 5e-5,
        weight_decay: float = 1e-2,
        warmup_steps: int = 100,
        schedule: Literal["constant", "linear", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, weight_decay, warmup_steps, schedule, seed)
        self.encoder_learning_rate = encoder_learning_rate
        self.mention_fields, self.entity_fields = mention_fields, entity_fields
        self.fusion, self.entity_tower, self.several = fusion, entity_tower, several
        self.width, self.num_heads, self.dropout = width, num_heads, dropout
        self.modality_dropout = modality_dropout
        self.loss = loss if loss is not None else NPair()
        if negatives is None and isinstance(self.loss, ReleasedNPair):
            negatives = RareWordNegatives()
        self.negatives = negatives
        self.query_tower: nn.Module = nn.Identity()  # the towers are built when the widths are known
        self.kb_tower: nn.Module = nn.Identity()
        self.spelling: SpellingPart | None = None

    def check(self) -> None:
        """Raises ConfigError for a loss that cannot compare mentions with entities, and options that do not fit."""
        if self.several != "mean" and self.several != self.fusion:  # others scale each field to unit length
            found = f"fusion: {self.fusion}"
            raise ConfigError(f"several: {self.several} beside fusion: {self.several}", found, "Use several: mean.")
        check_loss(self.loss, draws=self.negatives is not None)

    def build(self, data: LinkingData) -> None:
        """Makes both towers for the widths of the data."""
        if not data.mention_fields or not data.entity_fields:
            raise ConfigError(
                "an encoder of mentions and entities",
                "no field that was encoded",
                "Name one: --data.text_encoder TransformersTextEncoder --data.text_encoder.path FOLDER",
            )
        mention = pick("mention", data.mention_fields, self.mention_fields)
        entity = pick_entity(data, self.entity_fields)
        self.make_towers(mention, entity)
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
        mention = {name: width for name, width in mention.items() if name != "spelling"}
        entity = {name: width for name, width in entity.items() if name != "spelling"}
        width = entity["text"] if self.entity_tower == "identity" else self.width
        if self.fusion == "attention" and "mention" not in mention:
            raise ConfigError(
                "the field mention, which attends to the others",
                f"the fields {', '.join(mention)}",
                "Name a text encoder and keep the field, or use --model.fusion sum.",
            )
        if self.fusion == "sum":
            self.query_tower = SumFusion(mention, width, self.dropout)
        elif self.fusion == "linear":
            self.query_tower = LinearFusion(mention, width, self.dropout)
        else:
            self.query_tower = AttentionFusion(
                mention, width, self.num_heads, self.dropout, self.several == "attention"
            )
        self.kb_tower = (
            IdentityTower() if self.entity_tower == "identity" else LinearFusion(entity, width, self.dropout)
        )

    def queries(self, rows: Tensor) -> Tensor:
        """Query vectors [B, D] of mention rows [B], or [B, num_ngrams + D] with spelling."""
        batch = self.data.mentions(rows, tuple(self.field_widths[0]))
        if self.training and self.modality_dropout:
            batch = Batch({name: self._dropped(name, field) for name, field in batch.fields.items()})
        return self.encode_mentions(batch)

    def _dropped(self, name: str, field: FieldVectors) -> FieldVectors:
        """A field without what `modality_dropout` takes from it, a mention at a time."""
        if name in ("mention", "spelling"):
            return field
        kept = torch.rand(len(field.mask), device=field.mask.device) >= self.modality_dropout
        mask = field.mask & kept[:, None]
        return FieldVectors(field.vectors * mask[:, :, None], mask)

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

    def on_train_start(self) -> None:
        """Prepares the negatives. Raises ConfigError for a loss that cannot leave out a mention's other golds."""
        if self.data.other_golds is not None:
            check_loss(self.loss, leaves_out=True)
        if self.negatives is not None:
            self.train_rows = self.datamodule.train_rows()
            self.negatives.prepare(self.data, self.train_rows)

    def start_epoch(self) -> None:
        """Seeds the epoch and lets the negatives follow the model."""
        super().start_epoch()
        if self.negatives is not None:
            self.negatives.refresh(self._train_scores)

    def loss_of(self, rows: Tensor) -> Tensor:
        """The loss of mention rows [B]: their first golds, and what was drawn, are each other's negatives.

        No other gold of a mention is its negative.
        """
        gold = self.data.gold[rows]
        query = encode_together(self.queries, rows)
        drawn = gold[:0] if self.negatives is None else from_first(self.negatives.draw(rows, gold))
        others = torch.cat([gold, drawn])
        vectors = encode_together(self.entities, others)
        left_out = self._other_golds(rows, others)
        if isinstance(self.loss, ReleasedNPair):
            of_drawn = None if left_out is None else left_out[:, len(gold) :]
            value: Tensor = self.loss(query, vectors[: len(gold)], vectors[len(gold) :], of_drawn)
        else:
            pairs = None if left_out is None else pairs_without(gold, others, left_out)
            value = self.loss(query, gold, pairs, ref_emb=vectors, ref_labels=others)
        return value

    def _other_golds(self, rows: Tensor, entities: Tensor) -> Tensor | None:
        """Which entities [B, R] are further golds of mention rows [B]; None: none is."""
        if self.data.other_golds is None:
            return None
        others = self.data.golds_of(rows)[:, 1:]
        found = (others[:, :, None] == entities).any(1)
        return found if found.any() else None

    def _train_scores(self) -> list[Scores]:
        """The scores of the training mentions with the KB, a batch each, by the current weights."""
        self.eval()
        with torch.no_grad():
            self.on_scoring_start()
            scores = [self.scores_of(rows.to(self.device)) for rows in self.train_rows.split(BATCH)]
        self.train()
        return scores
