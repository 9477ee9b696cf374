"""One step of training an encoder: `train_encoder_process.py KIND BATCH PRECISION DATASET TEXTS ENCODER CACHE SEED`.

In a process of its own, so that memory is of this step alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import dim  # noqa: F401 - first: it mends the import of torchvision

# isort: split
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from benchmarks.own_memory import memory
from benchmarks.train_encoder import ONE, PLAIN
from dim.encoders.text import TransformersTextEncoder
from dim.methods.contrastive.module import DIM
from dim.methods.contrastive.negatives import RareWordNegatives
from dim.training.datamodule import LinkingDataModule

LENGTH, WARM = 80, 8


def plain_loop(task: DIM) -> tuple[Callable[[Tensor], Tensor], nn.Module]:
    """What one would write without a framework: one text a side, padded to a length, cosines, cross-entropy."""
    encoder, data = task.datamodule.choices.text_encoder, task.data
    assert isinstance(encoder, TransformersTextEncoder)
    network, tokenizer = encoder.network.train(), encoder.loaded.tokenizer
    mentions, names = data.dataset.mentions, data.dataset.entities["name"].tolist()
    asked = [f"{name} . {context}" for name, context in zip(mentions["mention"], mentions["context"], strict=True)]
    known = [f"{name} . {text or ''}" for name, text in zip(names, data.texts, strict=True)]

    def encoded(texts: list[str]) -> Tensor:
        tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        hidden, mask = network(**tokens).last_hidden_state, tokens["attention_mask"][:, :, None]
        return normalize((hidden * mask).sum(1) / mask.sum(1))

    def loss_of(rows: Tensor) -> Tensor:
        gold = data.gold[rows]
        entities = torch.cat([gold, task.negatives.draw(rows, gold)])  # type: ignore[union-attr]
        query = encoded([asked[row] for row in rows.tolist()])
        scores = 20 * query @ encoded([known[row] for row in entities.tolist()]).T
        return cross_entropy(scores, torch.arange(len(rows)))

    return loss_of, network


def main(kind: str, size: int, precision: str, root: Path, texts: str, folder: str, cache: Path, seed: int) -> None:
    """Writes what the step took as JSON."""
    torch.set_num_threads(1)
    encoder = TransformersTextEncoder(folder, train="full", max_length=LENGTH, device="cpu")
    options: dict[str, Any] = {"text_encoder": encoder, "entity_text": texts, "num_workers": 0}
    fields: dict[str, Any] = {}
    if kind == ONE:
        options |= {"context_template": "{mention} . {context}", "text_template": "{name} . {text}", "name_alone": True}
        fields = {"mention_fields": ["context"], "entity_fields": ["text"], "fusion": "linear"}
    data = LinkingDataModule(root, cache, **options)
    task = DIM(negatives=RareWordNegatives(random=1.0), width=encoder.width, seed=seed, **fields)
    task._datamodule = data
    task.configure_model()
    rows = data.train_rows()
    assert task.negatives is not None
    task.negatives.prepare(task.data, rows)
    loss_of, network = plain_loop(task) if kind == PLAIN else (task.loss_of, task.train())
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=5e-5)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]

    def step(rows: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step(rows[:WARM])
    before, start = memory("VmHWM"), time.process_time()  # ru_maxrss also holds the peak of who started this
    step(rows[WARM : WARM + size])
    found = {"seconds": time.process_time() - start, "before_mb": before, "peak_mb": memory("VmHWM")}
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    kind, size, precision, root, texts, folder, cache, seed = sys.argv[1:]
    main(kind, int(size), precision, Path(root), texts, folder, Path(cache), int(seed))
