"""GEMEL as a Lightning module: what trains its feature mapper."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dim.core.distributed import num_processes, process_index
from dim.data.dataset import NIL
from dim.methods.generative.network import GEMELNetwork
from dim.methods.generative.passes import trained_logits
from dim.training.task import LinkingTask


class GEMEL(GEMELNetwork, LinkingTask):
    """GEMEL (arXiv 2306.12725; released code HITsz-TMG/GEMEL at 906a221): a language model writes the entity's name.

    Here is what trains it, its loss and its learning rates; the options are those of `GEMELNetwork`.
    """

    settles = ("settled_end",)

    def loss_of(self, rows: Tensor) -> Tensor:
        """The mean negative log-likelihood of the tokens of the golds' names and their end tokens.

        A name that is longer than one that is written is learned as far as one is.
        """
        places = rows.cpu().numpy()
        golds = [self._names[row] if row >= 0 else NIL for row in self.data.gold.cpu()[rows.cpu()].tolist()]
        longest, end = self.decoder.max_new_tokens, self.language_model.end_token
        targets = [[*tokens, end][:longest] for tokens in self._tokens(golds)]
        num_tokens = sum(map(len, targets))
        mine = slice(process_index(), None, num_processes())
        if not targets[mine]:
            return torch.stack([weight.sum() for weight in self.mapper.parameters()]).sum() * 0
        encoded, labels = self._encode(self.prompts.of(places[mine]), targets[mine])
        logits = trained_logits(self.language_model, encoded, labels.shape[1] + 1)  # [b, longest name + 1, vocabulary]
        followed = logits[:, :-1].float().flatten(0, 1)
        loss = cross_entropy(followed, labels.flatten(), ignore_index=-100, reduction="sum")
        return loss * num_processes() / num_tokens

    def on_train_start(self) -> None:
        """Brings the language model to the device."""
        self.language_model.to(self.device)

    def trained_on(self) -> dict[str, Any]:
        """The image features and the language model: a mapper goes with any KB and any examples."""
        image_encoder = self.data.fingerprints.get("image_encoder")
        return {"image_encoder": image_encoder, "language_model": self.language_model.fingerprint}

    def num_scheduled_steps(self) -> int:
        """As the option `schedule` counts them."""
        num_steps = super().num_scheduled_steps()  # which also counts the batches of an epoch
        if self.counted == "corrected":
            return num_steps
        num_epochs = self.trainer.max_epochs or 1
        if num_epochs < 0:  # max_steps alone says when it ends
            return num_steps * self.trainer.accumulate_grad_batches
        return num_epochs * int(self.trainer.num_training_batches)

    def rate_at(self, step: int, num_steps: int) -> float:
        """The share of the peak rate, 0 to 1, at a 0-based step of `num_steps` (as the release counts them)."""
        warmup = int(num_steps * self.warmup_share)
        if step < warmup:
            return step / max(1, warmup)
        return max(0.0, (num_steps - step) / max(1, num_steps - warmup))
