"""metrics.json and ranks.parquet of a run: its results by split and protocol, written and read in one place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa

from dim.core.files import atomic_path, content_hash, json_text, write_json
from dim.core.folder_files import peek_json, read_parquet
from dim.display.lines import warn
from dim.errors import DataError

FORMAT = 3  #: Of metrics.json and ranks.parquet.
METRICS, RANKS = "metrics.json", "ranks.parquet"
MOST = (2**30, 1000)  #: Bytes of memory that ranks may always take, and times their file that they may take.
#: Of the columns that are always read.
RANKS_SCHEMA = pa.schema([("split", pa.string()), ("protocol", pa.string()), ("rank", pa.float64())])
RANKS_HASH = "ranks_hash"  #: In an entry: which rows of ranks.parquet it is of.
SPLIT_OF_RUN = "dev"  #: What the top level of metrics.json shows.

BEST = Path("checkpoints") / "best.ckpt"  #: In a run's folder: the weights that its figures are of.
RANKED_FOLDER, JUDGED_FOLDER = "ranked", "judged"  #: What `dim rank` and `dim judge` find, unless told another place.

AT = " @ "  #: In a label, before the checkpoint.


class Document(TypedDict):
    """What dim reads of metrics.json: `results` by split and protocol, and which of them the top level shows."""

    results: NotRequired[dict[str, dict[str, dict[str, Any]]]]
    split: NotRequired[str]
    protocol: NotRequired[str]
    identity: NotRequired[dict[str, Any] | None]


Key = tuple[str, str]  #: Split and label (`label_of`).


@dataclass
class Results:
    """What was evaluated in a run's folder.

    Attributes:
        folder: The run.
        entries: Split and label → their metrics and facts, in the order in which they were first written.
        own: Which of them the top level shows: dev under the protocol that `fit` evaluated, whatever is evaluated
            later. None: dev was not evaluated.
        identity: What the run is (`dim.training.identity`); None: nothing was evaluated.
    """

    folder: Path
    entries: dict[Key, dict[str, Any]] = field(default_factory=dict)
    own: Key | None = None
    identity: dict[str, Any] | None = None

    @property
    def splits(self) -> list[str]:
        """The splits that have a result."""
        return list(dict.fromkeys(split for split, _ in self.entries))

    @property
    def of_own_weights(self) -> list[dict[str, Any]]:
        """The entries of the run's own weights."""
        return [entry for (_, label), entry in self.entries.items() if AT not in label]

    def labels(self, split: str) -> list[str]:
        """The labels that have a result on the split: the run's own protocol, others, and those of other weights."""
        found = [label for of, label in self.entries if of == split]
        return sorted(found, key=lambda label: (self.own is None or label != self.own[1], AT in label))

    def label(self, split: str, protocol: str | None = None) -> str:
        """The label of a result.

        Args:
            split: Its split.
            protocol: Its protocol or label; None: the run's own, or the first that its weights were evaluated under.
        """
        return protocol if protocol is not None else next((each for each in self.labels(split) if AT not in each), "")

    def entry(self, split: str, protocol: str | None = None) -> dict[str, Any] | None:
        """The metrics and facts of a result, as `label` chooses it; None where there is none."""
        return self.entries.get((split, self.label(split, protocol)))

    def ranks(self, split: str, protocol: str | None = None) -> pd.DataFrame:
        """The rows of ranks.parquet of a result, as `label` chooses it; none where it has none.

        Raises:
            DataError: They are of another evaluation than the figures, or cannot be read.
        """
        frame, label = self.all_ranks(), self.label(split, protocol)
        frame = frame[(frame["split"] == split) & (frame["protocol"] == label)]
        entry = self.entries.get((split, label))
        if entry is not None and (reason := foreign_ranks(entry, frame)):
            again = f"Evaluate it again: {_evaluating(self.folder)}."
            raise DataError(f"{RANKS} and {METRICS} of one evaluation in {self.folder}", reason, again)
        return frame

    def all_ranks(self) -> pd.DataFrame:
        """ranks.parquet.

        Raises:
            DataError: It cannot be read.
        """
        what = f"ranks in {self.folder / RANKS}"
        remedy = f"Move the file away and evaluate again: {_evaluating(self.folder)}."
        frame: pd.DataFrame = read_parquet(self.folder / RANKS, what, remedy, most=MOST, like=RANKS_SCHEMA).to_pandas()
        return frame


def foreign_ranks(entry: Mapping[str, Any], frame: pd.DataFrame) -> str | None:
    """Why the rows of ranks.parquet for a result cannot be those that its figures are of; None where they are.

    A process that is killed between the two files leaves others.
    """
    is_same = entry.get(RANKS_HASH) == _hash_of(frame)
    return None if is_same else f"{RANKS} of another evaluation than {METRICS}: one was killed as it wrote them"


def _hash_of(frame: pd.DataFrame) -> str:
    ranks = frame["rank"].to_numpy(dtype=np.float64, na_value=np.nan)
    ids = frame["mention_id"].tolist() if "mention_id" in frame else []
    return content_hash(json.dumps(ids), ranks.tobytes())


def label_of(run: Path, metrics: Mapping[str, Any]) -> str:
    """What a result is kept by beside its split: its protocol, and its checkpoint, if that is not the run's own.

    Args:
        run: The run's folder.
        metrics: The entry; its `checkpoint` names the file of the weights.
    """
    file = (metrics.get("checkpoint") or {}).get("file", BEST.as_posix())
    is_own = file == BEST.as_posix() or not (run / BEST).exists()
    return str(metrics["protocol"]) + ("" if is_own else f"{AT}{file}")


def read_results(run: Path) -> Results:
    """The results in a run's folder; empty where it has no metrics.json.

    Raises:
        DataError: metrics.json is damaged, or of another version.
    """
    path = run / METRICS
    if not path.exists():
        return Results(run)
    try:
        document = peek_json(path, Document)
    except (OSError, ValueError) as error:
        is_empty = path.is_file() and path.stat().st_size == 0
        raise _unreadable(run, "is empty" if is_empty else f"cannot be read ({error})") from error
    if "results" not in document:
        raise _unreadable(run, "holds no results by split and protocol: written by another version")
    entries = {(split, protocol): entry for split, of in document["results"].items() for protocol, entry in of.items()}
    own = (document["split"], document["protocol"]) if {"split", "protocol"} <= set(document) else None
    return Results(run, entries, own, document.get("identity"))


def _unreadable(run: Path, why: str) -> DataError:
    remedy = f"Move the file away and evaluate again: {_evaluating(run)}."
    return DataError(f"results in {run / METRICS}", f"metrics.json {why}", remedy)


def _evaluating(folder: Path) -> str:
    """The command that writes the results of a folder."""
    return {RANKED_FOLDER: "dim rank", JUDGED_FOLDER: "dim judge"}.get(folder.name, "dim validate, or dim test")


def write_result(
    run: Path, frame: pd.DataFrame, metrics: dict[str, Any], identity: Mapping[str, Any] | None, of_owner: bool = False
) -> None:
    """Writes or replaces one result of a run, that of its split, protocol and weights; all others stay.

    Args:
        run: The run's folder.
        frame: Rows for ranks.parquet.
        metrics: The entry for metrics.json.
        identity: What the run is; one that is recorded stays, unless `of_owner`.
        of_owner: Whether the command made what it evaluates, as `fit` and `rank` do: then the top level shows its
            result on dev from now on (else the first one on dev), and results of what the run was before go.

    Raises:
        DataError: The metrics.json that stands there is damaged.
    """
    results, key = read_results(run), (metrics["split"], label_of(run, metrics))
    frame = frame.assign(protocol=key[1])
    of_ranks = _hash_of(frame)
    ranks_path = run / RANKS
    if of_owner and results.entries and identity != results.identity:
        gone = "; ".join(f"{split} under {protocol}" for split, protocol in results.entries)
        warn(f"note: {run} is another now, so what it was before takes its results along: {gone}")
        results = Results(run)
    if results.entries and ranks_path.exists():
        old = results.all_ranks()
        is_same = (old["split"] == key[0]) & (old["protocol"] == key[1])
        frame = pd.concat([old[~is_same], frame], ignore_index=True)
    results.entries[key] = metrics | {RANKS_HASH: of_ranks}
    if key[0] == SPLIT_OF_RUN and AT not in key[1] and (of_owner or results.own is None):
        results.own = key
    if identity is not None and (of_owner or results.identity is None):
        results.identity = dict(identity)
    # Both are written before either gets its name: a full disk leaves both as they were.
    with atomic_path(ranks_path) as new_ranks, atomic_path(run / METRICS) as new_metrics:
        frame.to_parquet(new_ranks, index=False)
        new_metrics.write_text(json_text(_document(results)), encoding="utf-8")


def write_identity(run: Path, identity: Mapping[str, Any]) -> None:
    """Records what a run is, where `fit` has nothing to evaluate."""
    results = read_results(run)
    results.identity = dict(identity)
    write_json(run / METRICS, _document(results))


def _document(results: Results) -> dict[str, Any]:
    by_split: dict[str, dict[str, Any]] = {}
    for (split, protocol), entry in results.entries.items():
        by_split.setdefault(split, {})[protocol] = entry
    top = results.entries[results.own] if results.own is not None else {}
    found: dict[str, Any] = without_nan({**top, "format": FORMAT, "identity": results.identity, "results": by_split})
    return found


def without_nan(value: Any) -> Any:
    """The value with null for NaN, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
