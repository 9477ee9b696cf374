"""DIM as a Lightning module: two towers over frozen features, trained with a contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from torch import Tensor

from dim.core.distributed import encode_together, from_first, process_index
from dim.core.progress import shown
from dim.features.batch import Batch, FieldVectors
from dim.methods.contrastive.losses import NPair, ReleasedNPair, check_loss, pairs_without
from dim.methods.contrastive.negatives import Negatives, RareWordNegatives
from dim.methods.contrastive.network import DIMNetwork
from dim.search.scores import BATCH, Scores
from dim.training.two_towers import TwoTowers


class DIM(DIMNetwork, TwoTowers):
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

    trains_encoders = True

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
        super().__init__(
            mention_fields,
            entity_fields,
            fusion,
            entity_tower,
            several,
            width,
            num_heads,
            dropout,
            modality_dropout,
            encoder_learning_rate,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            schedule=schedule,
            seed=seed,
        )
        self.loss = loss if loss is not None else NPair()
        if negatives is None and isinstance(self.loss, ReleasedNPair):
            negatives = RareWordNegatives()
        self.negatives = negatives

    def check(self) -> None:
        """Raises ConfigError for a loss that cannot compare mentions with entities, and options that do not fit."""
        super().check()
        check_loss(self.loss, draws=self.negatives is not None)

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
        scores, silent = [], process_index() > 0
        with torch.no_grad():
            self.on_scoring_start()
            with shown("training mentions encoded", len(self.train_rows), silent=silent, passing=True) as advance:
                for rows in self.train_rows.split(BATCH):
                    scores.append(self.scores_of(rows.to(self.device)))
                    advance(len(rows))
        self.on_scoring_end()  # the scores alone hold the KB's vectors now
        self.train()
        return scores
