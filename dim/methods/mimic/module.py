"""MIMIC as a Lightning module: each unit, and their mean, is trained to find the gold among a batch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dim.methods.mimic.entity_cache import CacheType
from dim.methods.mimic.interactions import joint
from dim.methods.mimic.matcher import Unit, Whole
from dim.methods.mimic.network import MIMICNetwork
from dim.training.task import LinkingTask


class MIMIC(MIMICNetwork, LinkingTask):
    """MIMIC (arXiv 2307.09721) over the tokens and patches of frozen encoders, or of a text encoder that is trained.

    It reads one text a side, so `--data.text_template '{name} [SEP] {text}' --data.name_alone true`, and encoders that
    give each token and patch.

    Args:
        units: Of `text` (TGLU), `vision` (VDLU) and `cross` (CMFU); None: all that the data has fields for.
        text_whole: What of a text's vectors is its global feature: the `first` ([CLS] of BERT, as in the paper), their
            `mean` (what sentence encoders were trained by), or the `last` (CLIP's).
        image_whole: The same of an image: `first` where its encoder gives the whole first, `mean` of patches alone.
        whole_width: Columns of the texts' global features.
        hidden: Columns within the units, and of the images' features.
        dropout: Of the features; the paper has none.
        cache_type: Of what is kept of the KB while it is asked: `int8` is that of the tokens, with a scale each.
        learning_rate: Peak learning rate of AdamW.
        encoder_learning_rate: Peak learning rate of a text encoder that is trained (`--data.text_encoder.train`); the
            paper's, which trains all.
        weight_decay: Of weights; biases, gains and scales have none.
        warmup_steps: Steps of linear warm-up.
        schedule: How the rate goes on from its peak to the last step.
        seed: Of the initial weights and of dropout (the CLI passes `seed_everything`).
    """

    trains_encoders = True

    def __init__(
        self,
        units: Sequence[Unit] | None = None,
        text_whole: Whole = "first",
        image_whole: Whole = "first",
        whole_width: int = 512,
        hidden: int = 96,
        dropout: float = 0.0,
        cache_type: CacheType = "float16",
        learning_rate: float = 1e-3,
        encoder_learning_rate: float = 1e-5,
        weight_decay: float = 1e-4,
        warmup_steps: int = 100,
        schedule: Literal["constant", "linear", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__(
            units,
            text_whole,
            image_whole,
            whole_width,
            hidden,
            dropout,
            cache_type,
            encoder_learning_rate,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            schedule=schedule,
            seed=seed,
        )

    def loss_of(self, rows: Tensor) -> Tensor:
        """The paper's L_O + L_T + L_V + L_C of mention rows [B], whose first golds are each other's negatives."""
        gold = self.data.gold[rows]
        by_unit = self.matcher(self.mentions(rows), self.entities(gold))
        left_out = self._left_out(rows, gold)
        return torch.stack([_contrast(scores, left_out) for scores in (joint(by_unit), *by_unit.values())]).sum()

    def _left_out(self, rows: Tensor, gold: Tensor) -> Tensor:
        """Which pairs [B, B] are no negatives: another row's gold that is the mention's own, or one of its golds."""
        same = (self.data.golds_of(rows)[:, :, None] == gold).any(1)
        return same.fill_diagonal_(False)


def _contrast(scores: Tensor, left_out: Tensor) -> Tensor:
    """InfoNCE of scores [B, B] whose diagonal is the golds'."""
    places = torch.arange(len(scores), device=scores.device)
    return cross_entropy(scores.masked_fill(left_out, -torch.inf), places)
