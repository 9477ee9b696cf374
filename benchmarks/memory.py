"""`dim bench memory`: a large knowledge base into the cache, and open again: how much memory, how long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from benchmarks.clock import say_measured, seconds
from dim.core.output import FRESH, check_target
from dim.data.dataset import Dataset, write_dataset
from dim.demo.drawing import STYLES_OF, Picture, draw_all
from dim.demo.mentions import sentences
from dim.demo.population import FAMILY_SIZE, populate
from dim.demo.texts import refreshed_texts
from dim.demo.vocabulary import LOOKS
from dim.display.terminal import Console
from dim.errors import DimError

MAX_MEMORY = 1500  # MB beside the encoder: the goal
MAX_SECONDS = 1.0  # to open: the goal
TEXT = "refreshed"
_WARM_UP = 50_000  # texts after which the cache of TinyTextEncoder is as full as it gets

# In a process of its own each: the peak is of this work alone.
#: The beginning of such a program: `memory("VmRSS")` in MB.
MEASURED = """
import json, resource, sys, time
from pathlib import Path

def memory(which):
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(which)]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return (found[0] if found else most) / 1e6
"""
_COMMON = (
    MEASURED
    + """
import pyarrow.parquet as pq
from dim.training.datamodule import LinkingDataModule
from dim.features.embed import embed_dataset
from dim.features.fields import Choices
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.data.dataset import Dataset

root, cache, width, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
encoders = {"text_encoder": TinyTextEncoder(width), "image_encoder": TinyImageEncoder()}
"""
)
_EMBED = (
    _COMMON
    + f"""
left = {_WARM_UP}
for batch in pq.ParquetFile(root / "texts/{TEXT}.parquet").iter_batches(1024, columns=["text"]):
    encoders["text_encoder"].encode_text(batch["text"].to_pylist())
    left -= len(batch)
    if left <= 0:
        break
encoder = memory("VmRSS")
start = time.perf_counter()
embed_dataset(
    Dataset(root), Choices(entity_text="{TEXT}", **encoders), cache_dir=cache, batch_size=256, num_workers=workers
)
seconds = time.perf_counter() - start
print(json.dumps({{"encoder": encoder, "peak": memory("VmHWM"), "seconds": seconds}}))
"""
)
_OPEN = (
    _COMMON
    + f"""
data = LinkingDataModule(root, cache, entity_text="{TEXT}", num_workers=workers, **encoders)
before = memory("VmRSS")
start = time.perf_counter()
features = embed_dataset(Dataset(root), Choices(entity_text="{TEXT}", **encoders), cache_dir=cache, progress=False)
seconds = time.perf_counter() - start
after = memory("VmHWM")
start = time.perf_counter()
data.linking_data
print(json.dumps({{
    "seconds": seconds, "memory": after - before, "data_module": time.perf_counter() - start,
    "rows": len(features["text"].rows),
}}))
"""
)


def bench_memory(
    num_entities: int = 1_000_000,
    num_images: int = 1000,
    num_mentions: int = 10_000,
    width: int = 128,
    num_workers: int = 2,
    folder: Path | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Embeds a KB with the demo world's texts and few images by the tiny encoders, and opens it again.

    What the encoder takes is measured beside: the process after it has encoded 50,000 of the texts, with all that it
    imports. Image workers are processes of their own, which share this memory; they are not counted.

    Args:
        num_entities: Of the KB, each with a name, a text and one of the images.
        num_images: Different images, shared by the entities.
        num_mentions: Mentions with a sentence.
        width: Of the text features.
        num_workers: Processes that decode images.
        folder: Where the dataset and the cache are written and kept, a new or empty folder; by default a temporary one.
        seed: Of the world.

    Returns:
        Peak memory and that of the encoder (MB), seconds to embed, to open the features, and to open a data module.

    Raises:
        ConfigError: `folder` holds something.
    """
    if folder is not None:
        check_target(folder, FRESH)
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        made = seconds(lambda: write_world(place / "dataset", num_entities, num_images, num_mentions, seed))
        words = [str(place / "dataset"), str(place / "cache"), str(width), str(num_workers)]
        embedded = _run(_EMBED, words, show=True)
        opened = _run(_OPEN, words)
    results = {
        "make_seconds": made,
        "encoder_mb": embedded["encoder"],
        "peak_mb": embedded["peak"],
        "beside_mb": embedded["peak"] - embedded["encoder"],
        "embed_seconds": embedded["seconds"],
        "open_seconds": opened["seconds"],
        "open_mb": opened["memory"],
        "data_module_seconds": opened["data_module"],
    }
    _print(f"{num_entities:,} entities, {num_images:,} images, {num_mentions:,} mentions, {width} wide", results)
    return results


def write_world(root: Path, num_entities: int, num_images: int, num_mentions: int, seed: int = 0) -> Dataset:
    """Writes the dataset: the demo world's people and texts, each picture drawn once and shared."""
    rng = np.random.default_rng(seed)
    population = populate(num_entities, 0, rng)
    family, member = np.divmod(np.arange(num_entities), FAMILY_SIZE)
    facts, looks = population.facts[family, member], population.looks[family, member]
    names = [population.name(f, m) for f, m in zip(family.tolist(), member.tolist(), strict=True)]
    ids = [f"Q{i}" for i in range(num_entities)]
    style = STYLES_OF["kb"][0]
    codes = np.column_stack([rng.integers(len(values), size=num_images) for values in LOOKS.values()]).tolist()
    pictures = [Picture(f"{i % 256:02x}/{i}.png", style, tuple(look), (0, 0)) for i, look in enumerate(codes)]
    draw_all(pictures, root.parent / "images")
    golds = rng.integers(num_entities, size=num_mentions).tolist()
    said = sentences([names[gold] for gold in golds], facts[golds], rng)
    mentions = {
        "id": [f"m{i}" for i in range(num_mentions)],
        "split": np.resize(["train", "tune", "dev", "test"], num_mentions).tolist(),
        "mention": [names[gold] for gold in golds],
        "context": [sentence for sentence, _ in said],
        "entity_id": [ids[gold] for gold in golds],
        "images": [[pictures[i % num_images].path] for i in range(num_mentions)],
    }
    entities = {"id": ids, "name": names, "images": [[pictures[i % num_images].path] for i in range(num_entities)]}
    texts = {"entity_id": ids, "text": refreshed_texts(names, facts, looks, rng)}
    return write_dataset(
        root,
        name="large",
        entities=pd.DataFrame(entities),
        texts={TEXT: pd.DataFrame(texts)},
        mentions=pd.DataFrame(mentions),
        image_root="../images",
    )


def _run(code: str, words: list[str], show: bool = False) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise DimError("a process that embeds or opens the dataset", f"exit {done.returncode}", done.stderr or "")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print(title: str, results: dict[str, float]) -> None:
    table = Table(title=title)
    for column in ("", "measured", "goal"):
        table.add_column(column, justify="left" if column == "" else "right")
    table.add_row("make the dataset", f"{results['make_seconds']:,.0f} s", "")
    table.add_row("embed", f"{results['embed_seconds']:,.0f} s", "")
    table.add_row("peak memory of embed", f"{results['peak_mb']:,.0f} MB", "")
    table.add_row("of it the encoder", f"{results['encoder_mb']:,.0f} MB", "")
    table.add_row("of it the rest", f"{results['beside_mb']:,.0f} MB", f"≤ {MAX_MEMORY:,} MB")
    table.add_row("open the features", f"{results['open_seconds']:.2f} s", f"≤ {MAX_SECONDS:.0f} s")
    table.add_row("memory of it", f"{results['open_mb']:,.0f} MB", "")
    table.add_row("open a data module", f"{results['data_module_seconds']:.2f} s", "")
    Console().print(table)
    say_measured()
