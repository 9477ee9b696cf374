"""DIM as a Lightning module: two towers over frozen features, trained with a contrastive loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from torch import Tensor, nn
from torch.nn.functional import normalize

from dim.core.distributed import encode_together, from_first
from dim.errors import ConfigError
from dim.methods.contrastive.fusion import AttentionFusion, IdentityTower, LinearFusion, SpellingPart, SumFusion
from dim.methods.contrastive.losses import NPair, ReleasedNPair, check_loss
from dim.methods.contrastive.negatives import Negatives, RareWordNegatives
from dim.search.scores import Products
from dim.training.datamodule import FeatureTable, LinkingData
from dim.training.task import LinkingTask

ENTITY_BATCH = 8192
Fields = dict[str, tuple[Tensor, Tensor]]  #: Name → values [B, width] (zeros where missing), mask [B].


class DIM(LinkingTask):
    """DIM (arXiv 2407.12019): the query of a mention and the vector of an entity, compared by cosine.

    Args:
        mention_fields: Of `mention`, `context`, `caption`, `image`, `spelling`; None: all that the data has.
        entity_fields: Of `name`, `text`, `image`, `spelling`; None: all that the data has. `spelling` (it needs a
            name encoder) on both sides adds the names' own columns to both vectors.
        fusion: `attention` as the paper describes, `sum` as released, or `linear`, a sum of projections (a baseline).
        entity_tower: `projection` is trained on the entity's fields, `identity` is its text's vector as released.
        width: Of query and entity vectors; with `identity` the text's own width counts.
        num_heads: Attention heads.
        dropout: Of features and attention weights.
        modality_dropout: Chance that a training mention loses its context, its caption or its image, each on its
            own, so that the linker works without them.
        loss: `NPair`, `ReleasedNPair`, or a loss of pytorch-metric-learning that takes `ref_emb`.
        negatives: Further negatives; ReleasedNPair draws `RareWordNegatives` unless told otherwise.
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Of weights; biases, gains and scales have none.
        warmup_steps: Steps of linear warm-up.
        schedule: How the rate goes on from its peak to the last step.
        seed: Of the initial weights, of dropout and of drawn negatives (the CLI passes `seed_everything`).
    """

    training_only = LinkingTask.training_only | {"loss", "negatives"}

    def __init__(
        self,
        mention_fields: Sequence[str] | None = None,
        entity_fields: Sequence[str] | None = None,
        fusion: Literal["attention", "sum", "linear"] = "attention",
        entity_tower: Literal["projection", "identity"] = "projection",
        width: int = 512,
        num_heads: int = 8,
        dropout: float = 0.1,
        modality_dropout: float = 0.0,
        loss: NPair | ReleasedNPair | BaseMetricLossFunction | None = None,
        negatives: Negatives | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_steps: int = 100,
        schedule: Literal["constant", "linear", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, weight_decay, warmup_steps, schedule, seed)
        self.mention_fields, self.entity_fields = mention_fields, entity_fields
        self.fusion, self.entity_tower = fusion, entity_tower
        self.width, self.num_heads, self.dropout = width, num_heads, dropout
        self.modality_dropout = modality_dropout
        self.loss = loss if loss is not None else NPair()
        if negatives is None and isinstance(self.loss, ReleasedNPair):
            negatives = RareWordNegatives()
        self.negatives = negatives
        self.query_tower: nn.Module = nn.Identity()  # the towers are built when the widths are known
        self.kb_tower: nn.Module = nn.Identity()
        self.spelling: SpellingPart | None = None
        self.kb_vectors = torch.empty(0)

    def check(self) -> None:
        """Raises ConfigError for a loss that cannot compare mentions with entities."""
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
        entity = pick("entity", data.entity_fields, self.entity_fields)
        frequency = None
        if "spelling" in mention and "spelling" in entity:
            frequency = data.entity_fields["spelling"].matrix.ne(0).float().mean(0)
        self.make_towers(mention, entity, frequency)

    def make_towers(self, mention: dict[str, int], entity: dict[str, int], frequency: Tensor | None) -> None:
        """Makes both towers.

        Args:
            mention: Field → width, of mentions.
            entity: The same of entities.
            frequency: The share of the KB's names that have each n-gram, where both sides have `spelling`.
        """
        self.field_names = tuple(mention), tuple(entity)
        self.field_widths = dict(mention), dict(entity)
        mention, entity = dict(mention), dict(entity)
        if frequency is not None:
            self.spelling = SpellingPart(frequency)
        mention.pop("spelling", None)
        entity.pop("spelling", None)
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
            self.query_tower = AttentionFusion(mention, width, self.num_heads, self.dropout)
        self.kb_tower = (
            IdentityTower() if self.entity_tower == "identity" else LinearFusion(entity, width, self.dropout)
        )

    def queries(self, rows: Tensor) -> Tensor:
        """Query vectors [B, D] of mention rows [B], or [B, num_ngrams + D] with spelling."""
        fields = take(self.data.mention_fields, self.field_names[0], rows)
        if self.training and self.modality_dropout:
            for name in [name for name in fields if name not in ("mention", "spelling")]:
                values, mask = fields[name]
                mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.modality_dropout)
                fields[name] = values * mask[:, None], mask
        return self.encode_mentions(fields)

    def encode_mentions(self, fields: Fields) -> Tensor:
        """Query vectors [B, D] of mentions given by their fields."""
        fused: Tensor = self.query_tower({name: field for name, field in fields.items() if name != "spelling"})
        return fused if self.spelling is None else self.spelling.mention(fields["spelling"][0], fused)

    def entities(self, rows: Tensor) -> Tensor:
        """Entity vectors [B, D] of KB rows [B], or [B, num_ngrams + D] with spelling."""
        return self.encode_entities(take(self.data.entity_fields, self.field_names[1], rows))

    def encode_entities(self, fields: Fields) -> Tensor:
        """Vectors [B, D] of entities given by their fields."""
        fused: Tensor = self.kb_tower({name: field for name, field in fields.items() if name != "spelling"})
        return fused if self.spelling is None else self.spelling.entity(fields["spelling"][0], fused)

    def on_train_start(self) -> None:
        """Prepares the source of negatives."""
        if self.negatives is not None:
            self.train_rows = self.datamodule.train_rows()
            self.negatives.prepare(self.data, self.train_rows)

    def start_epoch(self) -> None:
        """Seeds the epoch and lets the negatives follow the model."""
        super().start_epoch()
        if self.negatives is not None:
            self.negatives.refresh(self._encode_all)

    def loss_of(self, rows: Tensor) -> Tensor:
        """The loss of mention rows [B]: their golds, and what was drawn, are each other's negatives."""
        gold = self.data.gold[rows]
        query = encode_together(self.queries, rows)
        drawn = gold[:0] if self.negatives is None else from_first(self.negatives.draw(rows, gold))
        others = torch.cat([gold, drawn])
        vectors = encode_together(self.entities, others)
        if isinstance(self.loss, ReleasedNPair):
            value: Tensor = self.loss(query, vectors[: len(gold)], vectors[len(gold) :])
        else:
            value = self.loss(query, gold, ref_emb=vectors, ref_labels=others)
        return value

    def on_scoring_start(self) -> None:
        """Encodes the KB once."""
        self.kb_vectors = normalize(self._all_entities())

    def scores_of(self, rows: Tensor) -> Products:
        """Cosines."""
        return Products(normalize(self.queries(rows)), self.kb_vectors)

    def _all_entities(self) -> Tensor:
        num_entities = len(self.data.dataset.entities)
        parts = torch.arange(num_entities, device=self.device).split(ENTITY_BATCH)
        return torch.cat([self.entities(rows) for rows in parts])

    def _encode_all(self) -> tuple[Tensor, Tensor]:
        """Unit queries of the training mentions and unit vectors of the KB, by the current weights."""
        self.eval()
        with torch.no_grad():
            queries = torch.cat([self.queries(rows.to(self.device)) for rows in self.train_rows.split(ENTITY_BATCH)])
            entities = self._all_entities()
        self.train()
        return normalize(queries), normalize(entities)


def pick(owner: str, tables: Mapping[str, FeatureTable], names: Sequence[str] | None) -> dict[str, int]:
    """Field → width of the fields that are asked for, or of all. Raises ConfigError where one is absent."""
    missing = [name for name in names or () if name not in tables]
    if missing:
        raise ConfigError(
            f"the {owner} fields {', '.join(names or ())}",
            f"no {', '.join(missing)} (there are {', '.join(tables)})",
            "Name the encoder that makes them (--data.image_encoder, --data.captioner …), or drop the field.",
        )
    return {name: tables[name].width for name in (tables if names is None else names)}


def take(tables: Mapping[str, FeatureTable], names: Sequence[str], rows: Tensor) -> Fields:
    """The fields of the given rows [B]: name → (values [B, width], mask [B])."""
    return {name: tables[name].take(rows) for name in names}
