"""`dim bench convert`: a large release into a dataset folder, against a plain `json.load` of the same files."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from rich.table import Table

from benchmarks.clock import say_measured
from dim.core.output import FRESH, check_target
from dim.display.terminal import Console

MAX_MEMORY = 2000  # MB: the goal
SPLITS = {"train": 0.7, "dev": 0.1, "test": 0.2}  # as RichpediaMEL's 12,463, 1,780 and 3,562 mentions
WORDS_A_TEXT = 45  # about 300 characters

# In a process of its own, and without the modules of `dim bench`: they load torch, which would hide the peak.
_MEASURE = """
import json, resource, sys, time
from pathlib import Path
{setup}
start = time.perf_counter()
{action}
seconds = time.perf_counter() - start
status = Path("/proc/self/status")
# ru_maxrss also holds the peak of the process that started this one.
lines = status.read_text().splitlines() if status.exists() else []
peak = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
peak = peak or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)]
print(json.dumps({{"seconds": seconds, "memory": peak[0] / 1e6}}))
"""
_CONVERT, _AUDIT = (
    _MEASURE.format(
        setup="from dim.releases.prepare import prepare",
        action=f"prepare(Path(sys.argv[1]), Path(sys.argv[2]), audit={audit})",
    )
    for audit in (False, True)
)
_LOAD = _MEASURE.format(
    setup="files = sorted(Path(sys.argv[1]).glob('*.json'))",
    action="loaded = [json.loads(path.read_text(encoding='utf-8')) for path in files]",
)


def bench_convert(
    num_entities: int = 160_935,
    num_mentions: int = 17_805,
    folder: Path | None = None,
    rounds: int = 3,
    audit: bool = True,
    seed: int = 0,
) -> dict[str, float]:
    """Times `dim prepare` of a made-up package of MIMIC and a plain `json.load` of its files, in turns.

    Each runs in a process of its own; imports are not timed, but count as memory. The audit compares each mention
    with each name of the KB, which is no conversion: it is left out of the turns and stands in a row of its own.

    Args:
        num_entities: Of the KB; the default is RichpediaMEL's.
        num_mentions: Of all splits together.
        folder: Where the release is written and kept, a new or empty folder; by default a temporary one.
        rounds: How often each is run; seconds are medians, memory is the greatest.
        audit: Whether to run `dim prepare` with its audit too, once.
        seed: Of the release.

    Returns:
        Seconds and peak memory (MB) of each, and the median of the rounds' ratios.

    Raises:
        ConfigError: `folder` holds something.
    """
    with TemporaryDirectory() as temporary:
        release = Path(temporary) / "release" if folder is None else Path(folder)
        num_bytes = write_release(release, num_entities, num_mentions, seed)
        turns = [(_run(_CONVERT, release, Path(temporary) / "dataset"), _run(_LOAD, release)) for _ in range(rounds)]
        audited = [_run(_AUDIT, release, Path(temporary) / "dataset")] if audit else []
    results = {
        f"{name}_{what}": summary(turn[which][what] for turn in turns)
        for which, name in enumerate(("convert", "load"))
        for what, summary in (("seconds", median), ("memory", max))
    }
    results |= {f"audit_{what}": value for measured in audited for what, value in measured.items()}
    results["ratio"] = median(convert["seconds"] / load["seconds"] for convert, load in turns)
    _print(f"{num_entities:,} entities, {num_mentions:,} mentions, {num_bytes / 1e6:,.0f} MB of JSON", results, rounds)
    return results


def write_release(root: Path, num_entities: int, num_mentions: int, seed: int = 0) -> int:
    """Writes a package in MIMIC's layout without image files, the same for the same arguments; returns its bytes.

    Names are URL-quoted, one mention in fifty is `nil`, and one word in a thousand is not ASCII.

    Raises:
        ConfigError: `root` holds something.
    """
    check_target(root, FRESH)
    (root / "kb_image").mkdir(parents=True)
    (root / "mention_image").mkdir()
    draw = random.Random(seed)
    words = ["".join(draw.choices("aeiourstlnmdk", k=draw.randint(2, 9))) for _ in range(3000)] + [
        "Łódź",
        "北京",
        "café",
    ]
    names = [" ".join(draw.choices(words, k=2)).title() for _ in range(num_entities)]
    entities = (
        {
            "id": number,
            "type": "entity",
            "entity_name": quote(name),
            "attr": " ".join(draw.choices(words, k=WORDS_A_TEXT)),
            "image_list": [f"Q{number + 1}.jpg"] if number % 3 else [],
            "qid": f"Q{number + 1}",
        }
        for number, name in enumerate(names)
    )
    _write_array(root / "kb_entity.json", entities)
    ids = {f"Q{number + 1}": number for number in range(num_entities)}
    (root / "qid2id.json").write_text(json.dumps(ids), encoding="utf-8")
    start = 0
    for number, split in enumerate(SPLITS):
        stop = num_mentions if number == len(SPLITS) - 1 else start + round(SPLITS[split] * num_mentions)
        mentions = (_mention(row, draw, words, names) for row in range(start, stop))
        _write_array(root / f"RichpediaMEL_{split}.json", mentions)
        start = stop
    return sum(path.stat().st_size for path in root.glob("*.json"))


def _mention(number: int, draw: random.Random, words: list[str], names: list[str]) -> dict[str, Any]:
    gold = draw.randrange(len(names))
    mention = names[gold].split()[-1]
    return {
        "id": number,
        "sentence": " ".join([*draw.choices(words, k=12), mention, *draw.choices(words, k=12)]),
        "imgPath": f"{number // 2}.png",
        "mentions": quote(mention),
        "answer": "nil" if number % 50 == 49 else f"Q{gold + 1}",
    }


def _write_array(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        texts: Iterator[str] = (json.dumps(row, ensure_ascii=False) for row in rows)
        file.write(f"[{next(texts, '')}")
        file.writelines(chain.from_iterable((",\n", text) for text in texts))
        file.write("]\n")


def _run(code: str, *args: Path) -> dict[str, float]:
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _print(title: str, results: dict[str, float], rounds: int) -> None:
    table = Table(title=title)
    for column in ("", "seconds (median)", "ratio", "peak memory MB"):
        table.add_column(column, justify="left" if column == "" else "right")
    load, convert = (f"{results[f'{name}_seconds']:.2f}" for name in ("load", "convert"))
    table.add_row("json.load", load, "1.00", f"{results['load_memory']:,.0f}")
    memory = f"{results['convert_memory']:,.0f}  (goal < {MAX_MEMORY:,})"
    table.add_row("dim prepare --audit=false", convert, f"{results['ratio']:.2f}", memory)
    if "audit_seconds" in results:
        table.add_row("dim prepare, once", f"{results['audit_seconds']:.2f}", "", f"{results['audit_memory']:,.0f}")
    Console().print(table)
    say_measured(f"{rounds} rounds")
