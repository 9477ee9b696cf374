"""Opens a linker that `kb_linker` saved, asks it and adds to it: `python kb_process.py FOLDER`.

In a process of its own, so that memory is of this work alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dim  # noqa: F401 - first: it mends the import of torchvision

# isort: split
import numpy as np

from benchmarks.kb_linker import Asked, DrawnTowers
from benchmarks.own_memory import memory
from dim.core.arrays import Floats, Rows
from dim.data.entity import Entity
from dim.linker.answer import Question
from dim.linker.ranked import NUM_CANDIDATES
from dim.methods.contrastive.linker import WIDER, ContrastiveLinker

NUM_WARM, NUM_EXACT = 20, 100
SCORED = 10  # questions that are compared with all at once: 240 MB of scores at 6,000,000
BATCH, TIE = 2**16, 1e-3  # IVF keeps vectors as float16
PARTS = ("encode", "vectors", "names")


def measure(folder: Path) -> dict[str, float | str]:
    """What the table of `dim bench kb` shows of one size."""
    results: dict[str, float | str] = {}
    opened: list[Any] = []
    results |= spent("open", lambda: opened.append(ContrastiveLinker.from_pretrained(folder / "linker", "cpu")))
    linker: ContrastiveLinker = opened[0]
    results |= {"open_mb": memory("VmRSS"), "index": linker.index.kind}
    asked = Asked.read(folder)
    linker.towers = DrawnTowers(linker.towers, asked)
    questions = [Question(*each) for each in zip(asked.mentions, asked.contexts, strict=True)]
    results |= spent("first", lambda: linker.link_batch(questions[:1]))
    taken: dict[str, list[float]] = {}
    ids = []
    for question in questions:
        started = time.perf_counter(), time.process_time()
        answers = linker.link(question.mention, question.context)
        taken.setdefault("link_wall", []).append(time.perf_counter() - started[0])
        taken.setdefault("link", []).append(time.process_time() - started[1])
        ids.append([answer.id for answer in answers])
    results["answers"] = hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:12]
    for question in questions[:NUM_EXACT]:
        for name, action in parts_of(linker, question).items():
            started = time.perf_counter(), time.process_time()
            action()
            taken.setdefault(name, []).append(time.process_time() - started[1])
    for name, times in taken.items():
        results[f"{name}_ms"] = 1000 * float(np.median(times[NUM_WARM:]))
    results |= {"anon_mb": memory("RssAnon"), "mapped_mb": memory("RssFile")}
    results["recall"] = recall(linker, questions[:NUM_EXACT])
    results |= growth(linker, asked.added, questions[0])
    return results


def parts_of(linker: ContrastiveLinker, question: Question) -> dict[str, Callable[[], object]]:
    """The parts of a link that have a search of their own."""
    scores = linker.by_vector(linker.towers.queries([question]), [question.mention])
    linker.names.forget_answers()
    return {
        "encode": lambda: linker.towers.queries([question]),
        "names": lambda: linker.names.search([question.mention], WIDER * NUM_CANDIDATES),
        "vectors": lambda: scores.nearest(NUM_CANDIDATES),  # which knows whose names are alike by now
    }


def recall(linker: ContrastiveLinker, questions: list[Question]) -> float:
    """The share of the 32 nearest vectors that is found, by scores: of equally near ones any will do."""
    rows, found = linker.index.ids, []
    for start in range(0, len(questions), SCORED):
        part = questions[start : start + SCORED]
        for scores, question in zip(exact_scores(linker, part, rows), part, strict=True):
            least = np.partition(scores, len(scores) - NUM_CANDIDATES)[len(scores) - NUM_CANDIDATES]
            [nearest] = linker.by_vector(linker.towers.queries([question]), [question.mention]).nearest(NUM_CANDIDATES)
            found.append(float((scores[np.searchsorted(rows, nearest)] >= least - TIE).mean()))
    return float(np.mean(found))


def exact_scores(linker: ContrastiveLinker, questions: list[Question], rows: Rows) -> Floats:
    """[b, len(rows)]: every question compared with every vector, as it is kept."""
    dense, sparse = linker._parted(linker.towers.queries(questions))
    assert sparse is not None
    assert linker.sparse is not None
    every = linker.sparse.products(sparse)[:, rows]
    for start in range(0, len(rows), BATCH):
        every[:, start : start + BATCH] += dense @ linker.index.vectors_of(rows[start : start + BATCH]).T
    return every


def growth(linker: ContrastiveLinker, new: list[Entity], asked: Question) -> dict[str, float]:
    """Seconds to add 1,000 entities and then one more, each with the next link."""
    parts = {"add": new[:-1], "add_again": new[-1:]}
    found: dict[str, float] = {}
    for name, part in parts.items():

        def add_and_link(part: list[Entity] = part) -> None:
            linker.add_entities(part)
            linker.link(asked.mention, asked.context)

        found |= spent(name, add_and_link)
    return found


def spent(name: str, action: Callable[[], object]) -> dict[str, float]:
    """Seconds of an action by the clock, and of the processor: on a busy machine these say more."""
    started = time.perf_counter(), time.process_time()
    action()
    return {f"{name}_s": time.perf_counter() - started[0], f"{name}_cpu_s": time.process_time() - started[1]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]))) + "\n")
