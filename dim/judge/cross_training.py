"""Trains a cross-encoder on lists of candidates: the gold against the others of its list, by a softmax."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from dim.core.files import atomic_path, content_hash, write_json
from dim.core.folder_files import peek_json
from dim.core.output import Kind, output_folder
from dim.core.progress import shown
from dim.encoders.pretrained import Pretrained, check_whole, no_bar, unreported
from dim.errors import ConfigError, DataError
from dim.judge.contract import Case
from dim.judge.cross_encoder import CrossEncoderJudge, pair_of

FACTS = "cross_encoder.json"  #: Beside the model's own files: how it was trained.
STATE = "state.pt"
# Of `CrossTraining`; each on its own, as a command's help looks them up.
TOP_K = 5
MOST_LISTS = 4000
EPOCHS = 1
SAVED_EVERY = 100  #: Steps after which the state is kept, from which the same command goes on.
BUCKET = 16  #: Batches whose lists are sorted by length, so that a batch has lists of like length.
HEAD = ("classifier", "score", "pooler", "pre_classifier", "out_proj")  #: Parts that a text encoder lacks.

#: For `dim.core.output`.
CROSS_ENCODER = Kind(
    "a cross-encoder",
    lambda folder: (folder / FACTS).is_file(),
    lambda folder: [FACTS, *map(str, facts_of(folder).get("files", ()))],
)


@dataclass(frozen=True)
class CrossTraining:
    """How a cross-encoder is trained.

    Attributes:
        top_k: Candidates of a list, the best by the ranker; the gold is among them.
        most_lists: Lists, those of which the ranker is least sure.
        epochs: Rounds through them.
        batch_size: Lists a step.
        learning_rate: The highest; it rises for a tenth of the steps and falls to 0. The new head's is ten times that:
            all of it has to be learned.
        max_length: Tokens of a pair.
    """

    top_k: int = TOP_K
    most_lists: int = MOST_LISTS
    epochs: int = EPOCHS
    batch_size: int = 4
    learning_rate: float = 1e-4
    max_length: int = 192

    def __post_init__(self) -> None:
        least = min(self.top_k - 1, self.most_lists, self.epochs, self.batch_size)
        if least < 1 or not self.learning_rate > 0:
            raise ConfigError(
                "top_k of at least 2; most_lists, epochs, batch_size of at least 1; a learning_rate above 0",
                f"{self.top_k}; {self.most_lists}, {self.epochs}, {self.batch_size}; {self.learning_rate:g}",
                "Raise what is too small.",
            )


def train_cross_encoder(
    start: str,
    folder: Path,
    cases: Sequence[Case],
    gold: Sequence[int],
    how: CrossTraining,
    seed: int = 0,
    device: str = "auto",
    facts: dict[str, Any] | None = None,
) -> Path:
    """Trains a sequence classifier of one output, and writes it as Transformers does; killed, it goes on.

    Args:
        start: Any text encoder or sequence classifier of Transformers: a folder, or an id on the hub.
        folder: Where it shall stand, in the place of one that stands there.
        cases: Lists of candidates that hold their gold.
        gold: [n], the gold's place in each.
        how: The options.
        seed: Of the new head, order and dropout.
        device: Where it is trained.
        facts: What else its facts say.

    Returns:
        `folder`.

    Raises:
        ConfigError: There is no such model, or something else stands at `folder`.
        DataError: There is no list, or the loss is no number.
    """
    if not cases:
        raise DataError(
            "lists whose best candidates hold the gold", "none", "Raise --cross_candidates, or train the run longer."
        )
    torch.manual_seed(seed)
    encoder = _classifier(start, how, device)
    pairs = [[pair_of(case, each) for each in case.candidates] for case in cases]
    tokens = [encoder.tokenized(own) for own in pairs]
    told = {"start": encoder.source.content, "lists": _hash_of(pairs, gold), "seed": seed, **asdict(how)}
    home = folder.with_name(f"{folder.name}.partial")
    _descend(encoder, tokens, gold, how, seed, home, told)
    with output_folder(folder, CROSS_ENCODER, "a save of a cross-encoder", overwrite=True) as place:
        with no_bar():
            encoder.network.to("cpu").eval().save_pretrained(place)
        encoder.tokenizer.save_pretrained(place)
        files = sorted(file.name for file in place.iterdir())
        write_json(place / FACTS, told | (facts or {}) | {"num_lists": len(cases), "files": files})
    for file in home.glob("*"):
        file.unlink()
    home.rmdir()
    return folder


def _classifier(start: str, how: CrossTraining, device: str) -> CrossEncoderJudge:
    """The start with a head of one output, to be trained."""
    from transformers import AutoModelForSequenceClassification

    encoder = CrossEncoderJudge(start, how.max_length, device=device)
    source = Pretrained(start, None, "a text encoder")
    options = {"num_labels": 1, "ignore_mismatched_sizes": True, "output_loading_info": True}
    with unreported():
        model, report = source.load(AutoModelForSequenceClassification, **options)
    missing = [key for key in report["missing_keys"] if not _is_of_head(key)]
    check_whole(missing, f"the text encoder at {start}", "Name a text encoder of Transformers.")
    encoder.__dict__["network"] = model.float().eval().to(encoder.torch_device)
    _ = encoder.most_tokens  # by a look at the network as it answers
    return encoder


def _is_of_head(name: str) -> bool:
    """Whether a parameter is of what a text encoder lacks."""
    return any(part in HEAD for part in name.split("."))


def batches(lengths: NDArray[np.int64], size: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """One round through lists in batches of like length, in random order.

    Args:
        lengths: [n], the tokens of each list.
        size: Lists a batch.
        generator: Of the order.
    """
    order = generator.permutation(len(lengths))
    found = []
    for first in range(0, len(order), size * BUCKET):
        bucket = order[first : first + size * BUCKET]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        found += [bucket[place : place + size] for place in range(0, len(bucket), size)]
    yield from (found[place] for place in generator.permutation(len(found)))


def _descend(
    encoder: CrossEncoderJudge,
    tokens: list[dict[str, list[list[int]]]],
    gold: Sequence[int],
    how: CrossTraining,
    seed: int,
    home: Path,
    told: dict[str, Any],
) -> None:
    network = encoder.network
    named = list(network.named_parameters())
    parts = {is_head: [value for name, value in named if _is_of_head(name) == is_head] for is_head in (False, True)}
    groups = [
        {"params": parts[is_head], "lr": how.learning_rate * times} for is_head, times in ((False, 1), (True, 10))
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = how.epochs * -(-len(tokens) // how.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    lengths = np.array([sum(map(len, own["input_ids"])) for own in tokens])
    generator = np.random.default_rng(seed)
    order = [batch for _ in range(how.epochs) for batch in batches(lengths, how.batch_size, generator)]
    done = _found(home, told, network, optimizer, schedule)
    losses: list[float] = []

    def said() -> str:
        recent = losses[-50:]
        return f"loss {np.mean(recent):.3f}" if recent else ""

    network.train()
    with shown("cross-encoder", len(order), done=done, unit="steps", note=said) as advance:
        for step, batch in enumerate(order[done:], start=done):
            torch.manual_seed(seed * 1_000_003 + step)  # of dropout, so that a resumed step has the same
            optimizer.zero_grad()
            loss = _loss(encoder, [tokens[row] for row in batch], [gold[row] for row in batch])
            if not torch.isfinite(loss):
                raise DataError("a loss that is a number", str(loss.item()), "Start from another text encoder.")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            advance()
            if (step + 1) % SAVED_EVERY == 0 and step + 1 < len(order):
                _keep(home, told, network, optimizer, schedule, step + 1)
    network.eval()
    home.mkdir(parents=True, exist_ok=True)


def _loss(encoder: CrossEncoderJudge, lists: list[dict[str, list[list[int]]]], gold: list[int]) -> Tensor:
    """The mean cross-entropy of the softmax over each list against its gold."""
    ids = {name: [row for own in lists for row in own[name]] for name in lists[0]}
    device = encoder.torch_device
    with torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bf16(device)):
        scores = encoder.scored(ids)
    parts = scores.split([len(own["input_ids"]) for own in lists])
    table = torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=-torch.inf)
    return cross_entropy(table, torch.tensor(gold, device=table.device))


def computes_in_bf16(device: torch.device) -> bool:
    """Whether arithmetic in bf16 is faster there than in fp32: on GPUs, and on CPUs with instructions for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _rate(step: int, steps: int) -> float:
    """The share of the highest rate: it rises for a tenth of the steps, and falls to 0."""
    rising = max(1, steps // 10)
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _hash_of(pairs: Sequence[Sequence[tuple[str, str]]], gold: Sequence[int]) -> str:
    return content_hash(json.dumps([pairs, list(map(int, gold))], ensure_ascii=False))


def _keep(home: Path, told: dict[str, Any], network: Any, optimizer: Any, schedule: Any, step: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    with atomic_path(home / STATE) as place:
        torch.save(state | {"step": step, "of": json.dumps(told, sort_keys=True)}, place)


def _found(home: Path, told: dict[str, Any], network: Any, optimizer: Any, schedule: Any) -> int:
    """The steps that were made before by the same training, whose state is taken up; 0 where there is none."""
    if not (home / STATE).is_file():
        return 0
    try:
        state = torch.load(home / STATE, weights_only=True, map_location="cpu")
        if state["of"] != json.dumps(told, sort_keys=True):
            return 0
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    except Exception:  # of a file that a power cut left, torch raises many kinds: then it begins anew
        return 0
    return int(state["step"])


def facts_of(folder: Path) -> dict[str, Any]:
    """How a cross-encoder was trained here; empty of one that was not."""
    try:
        found: dict[str, Any] = peek_json(folder / FACTS, dict[str, Any])
    except (OSError, ValueError):
        return {}
    return found
