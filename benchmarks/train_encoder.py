"""`dim bench train_encoder`: a step that trains a text encoder, against a plain loop that pads its texts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.table import Table

from benchmarks.clock import say_measured
from benchmarks.made_up_linker import Shape, write_text_encoder
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.display.terminal import Console
from dim.encoders.device import Precision
from dim.errors import ConfigError

PROCESS = Path(__file__).with_name("train_encoder_process.py")
KINDS = PLAIN, OURS, ONE = "plain loop", "fit", "fit, one text a side"
MOST_PLAIN = 64  #: Mentions of a plain step at most: it takes about 7 GB, and memory in proportion.

Found = dict[tuple[str, int], dict[str, float]]


def bench_train_encoder(
    text_encoder: Path | None = None,
    dataset: Path | None = None,
    batch_sizes: Sequence[int] = (64, 256, 1024),
    rounds: int = 3,
    precision: Precision = "fp32",
    shape: Shape = "minilm",
    seed: int = 0,
) -> Found:
    """Times steps of them in turns, each in a process of its own, whose peak memory is of that step alone.

    The plain loop encodes `mention . context` and `name . text`, padded to 80 tokens and in fp32, of a batch of
    mentions, their golds and as many other entities; `fit` the fields of the same mentions and of as many entities, or
    with one text a side the same texts as the loop.

    Args:
        text_encoder: The folder of a Transformers text encoder; None: a BERT of MiniLM's shape, with random weights.
        dataset: A dataset folder; None: a demo world.
        batch_sizes: Mentions a step; the plain loop is run at those up to 64, where its memory ends.
        rounds: Steps of each, after a small one that warms up.
        precision: `bf16` trains under autocast; the plain loop never does.
        shape: Of the made encoder; `tiny` is for tests.
        seed: Of the world, the mentions and the weights.

    Returns:
        What the table shows: (which, batch) → CPU seconds a step (`seconds`), its peak memory (`peak_mb`).

    Raises:
        ConfigError: There is nothing to measure.
    """
    if not batch_sizes or min(*batch_sizes, rounds) < 1:
        raise ConfigError("a batch size and a round at least", f"{list(batch_sizes)}, {rounds}", "Say others.")
    with TemporaryDirectory() as folder:
        place = Path(folder)
        root = dataset or demo_world(place / "world", 2000, seed, num_images=0).root
        world = Dataset(root)
        texts = [*world.texts(world.variants[0]).dropna(), *world.mentions["context"].dropna()]
        encoder = text_encoder or write_text_encoder(place / "encoder", texts, shape, seed)
        kinds = [(kind, size) for size in batch_sizes for kind in KINDS if kind != PLAIN or size <= MOST_PLAIN]
        steps: dict[tuple[str, int], list[dict[str, float]]] = {each: [] for each in kinds}
        for turn in range(rounds):
            for kind, size in kinds[:: 1 if turn % 2 else -1]:
                options = (
                    kind,
                    size,
                    "fp32" if kind == PLAIN else precision,
                    root,
                    world.variants[0],
                    encoder,
                    place / "cache",
                    seed + turn,
                )
                steps[kind, size].append(_measured([str(each) for each in options]))
    results = {each: {name: median(step[name] for step in found) for name in found[0]} for each, found in steps.items()}
    _print(results, f"{text_encoder.name if text_encoder else f'{shape} (random)'} on {world.name}, {precision}")
    say_measured(f"one thread, {rounds} rounds")
    return results


def _measured(options: Sequence[str]) -> dict[str, float]:
    done = subprocess.run([sys.executable, str(PROCESS), *options], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _print(results: Found, title: str) -> None:
    table = Table(
        title=title, caption="a mention's seconds as a ratio to those of the plain loop (goal ≤ 0.35 with bf16)"
    )
    for column in ("", "batch", "CPU s a step", "ms a mention", "of plain's", "peak MB", "before the step"):
        table.add_column(column, justify="right" if column else "left")
    plain = {size: row["seconds"] / size for (kind, size), row in results.items() if kind == PLAIN}
    for (kind, size), row in results.items():
        one, beside = row["seconds"] / size, plain.get(size, plain[max(plain)] if plain else None)
        ratio = "not run" if beside is None else f"{one / beside:.2f}"
        memory = f"{row['peak_mb']:,.0f}", f"{row['before_mb']:,.0f}"
        table.add_row(kind, f"{size:,}", f"{row['seconds']:.2f}", f"{1000 * one:.1f}", ratio, *memory)
    Console().print(table)
