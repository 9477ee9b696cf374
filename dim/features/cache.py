"""The feature cache: what an encoder computed of a field, once, for good.

    <cache>/features/<field>-<key>/
        matrix.npy     float32 or float16 [num_vectors, width]: of each unique input one vector, or several
        starts.npy     where inputs may have several: int64 [num_unique + 1], where the vectors of each start
        lengths.npy    likewise: int64 [num_unique], how many it has
        rows.npy       int64 [num_owners], the input of each mention or entity, in the dataset's order; -1: missing
        files.json     images only: path, size and time of change of each file
        manifest.json  field, encoder, width, counts, what is missing and why, checksums; no date
        log.jsonl      when it was worked on

The key is a hash of the inputs, the encoder's fingerprint and the format version. `known/<key>.json` leads from the
hashes, sizes and times of a dataset's tables to such a folder without reading them; it may be deleted at any time. A
folder whose files have not the sizes and checksums that the manifest tells (`dim.features.whole`) is removed and
computed anew.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash, explain_write_errors, remove_leftovers, write_json
from dim.core.folder_files import peek_json
from dim.core.jobs import Dtype, Plan, Workplace
from dim.core.locks import folder_lock
from dim.encoders.base import Features
from dim.errors import StorageError
from dim.features.inputs import Inputs, file_state
from dim.features.whole import KEY, Owner, checksums_of, damage

FORMAT_VERSION = 1
_NUM_EXAMPLES = 5


@dataclass(frozen=True)
class FieldFeatures:
    """The features of one field.

    Attributes:
        matrix: [num_vectors, width] float32 or float16; mapped copy-on-write, so writing to it changes nothing on disk.
        rows: [num_owners] int64, the input of each mention or entity; -1 where the field is missing.
        manifest: Field, encoder, counts, and what is missing by reason.
        starts: [num_unique + 1] int64, where the vectors of each input start; None: each input has one.
        lengths: [num_unique] int64, how many it has.
        num_around: As of `Inputs`.
    """

    matrix: NDArray[Any]
    rows: NDArray[np.int64]
    manifest: dict[str, Any]
    starts: NDArray[np.int64] | None = None
    lengths: NDArray[np.int64] | None = None
    num_around: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """[num_owners], True where the field is present."""
        return self.rows >= 0

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return int(self.matrix.shape[1])

    def dense(self) -> Features:
        """[num_owners, width], where each input has one vector; zeros where the field is missing (see `mask`)."""
        assert self.starts is None
        out = np.zeros((len(self.rows), self.width), np.float32)
        out[self.mask] = self.matrix[self.rows[self.mask]]
        return out


class Known(TypedDict):
    """What `FeatureCache.remember` notes: the folder's name, and what it does not hang on."""

    folder: str
    num_around: NotRequired[int]


@dataclass(frozen=True)
class Recipe:
    """How a field's inputs become features; all of it is part of the key.

    Attributes:
        field: The field's name.
        kind: Of the inputs.
        encoder: The encoder's fingerprint.
        width: Of the features.
        block_size: Inputs a block: what a kill may cost.
        num_images: Usable images an input at most.
        dtype: Of the numbers on the disk.
    """

    field: str
    kind: Literal["text", "image"]
    encoder: str
    width: int
    block_size: int
    num_images: int = 1
    dtype: Dtype = "float32"

    def plan(self, inputs: Inputs) -> Plan:
        """The blocks, with the key of inputs and recipe."""
        further = "" if (self.num_images, self.dtype) == (1, "float32") else f" {self.num_images} {self.dtype}"
        kind = f"{FORMAT_VERSION} {self.field} {self.kind} {self.width}{further}"
        key = content_hash(kind, self.encoder, inputs.hash)
        return Plan(key, len(inputs.unique), self.width, self.block_size)


class FeatureCache:
    """Finds finished features and computes missing ones.

    Args:
        root: The cache's folder; made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def known(self, key: str, image_root: Path, owner: Owner = str) -> FieldFeatures | None:
        """The features that `remember` was told of, or None where they are gone or an image has changed.

        Args:
            key: As `remember` was told it.
            image_root: Of the dataset.
            owner: Names the mention or entity of a row, for messages.
        """
        try:
            known = peek_json(self.root / "known" / f"{key}.json", Known)
        except (OSError, ValueError, KeyError):
            return None
        folder = self.root / known["folder"]
        remove_leftovers(self.root / "known")  # what is found needs no save that would do so
        features = open_features(folder, owner)
        if features is None or not (folder / "files.json").exists():
            return features and replace(features, num_around=known.get("num_around", 0))
        files = peek_json(folder / "files.json", list[Any])
        return features if all(file_state(image_root, path) == (path, *state) for path, *state in files) else None

    def remember(self, key: str, recipe: Recipe, inputs: Inputs) -> None:
        """Notes that `key` (of a dataset's tables) leads to these features."""
        around = {"num_around": inputs.num_around} if inputs.num_around else {}
        write_json(self.root / "known" / f"{key}.json", {"folder": self.folder(recipe, inputs).name, **around})

    def find(self, recipe: Recipe, inputs: Inputs, owner: Owner = str) -> FieldFeatures | None:
        """The finished features, or None; `owner` is as of `known`."""
        folder = self.folder(recipe, inputs)
        features = open_features(folder, owner)
        if features is not None:
            shutil.rmtree(self._workplace(folder), ignore_errors=True)  # of a run killed right after its last rename
        return features and replace(features, num_around=inputs.num_around)

    def folder(self, recipe: Recipe, inputs: Inputs) -> Path:
        """Where these features stand, or would stand."""
        return self.root / f"{recipe.field}-{recipe.plan(inputs).key}"

    @contextmanager
    def missing(
        self, recipe: Recipe, inputs: Inputs, lengths: NDArray[np.int64] | None = None
    ) -> Iterator[Workplace | None]:
        """Where the features are to be computed; None: they were found. Of two processes, the second waits.

        Who gets a workplace writes its pending blocks, in any order, and further files into its result. When the `with`
        block ends, that becomes the features; where it raises, what was written stays for the next run.

        Args:
            recipe: How they are computed.
            inputs: Of what.
            lengths: [len(inputs.unique)], how many vectors each input has at most; None: each has one.

        Raises:
            StorageError: The disk is full, or the folder may not be written.
        """
        folder = self.folder(recipe, inputs)
        if self.find(recipe, inputs) is not None:
            yield None
            return
        with folder_lock(folder, f"the embedding of {recipe.field}", wait=True), explain_write_errors(folder):
            if self.find(recipe, inputs) is not None:  # another process did it meanwhile
                yield None
                return
            work = Workplace(self._workplace(folder), recipe.plan(inputs), lengths, recipe.dtype)
            _note_event(work, "resumed" if work.notes else "started")
            yield work
            _describe(work, recipe, inputs)
            _note_event(work, "finished")
            work.publish(folder)

    def written(self, recipe: Recipe, inputs: Inputs) -> FieldFeatures:
        """The features that were just written.

        Raises:
            StorageError: The disk does not keep what is written.
        """
        folder = self.folder(recipe, inputs)
        features = open_features(folder)
        if features is None:
            raise StorageError(
                f"features in {folder} as they were written",
                "others",
                "Check the disk, and run the same command again.",
            )
        return replace(features, num_around=inputs.num_around)

    def _workplace(self, folder: Path) -> Path:
        return self.root / f".{folder.name}"


def open_features(folder: Path, owner: Owner = str) -> FieldFeatures | None:
    """The features in a finished folder, mapped; None where it is not there or not whole.

    Args:
        folder: Of a field.
        owner: Names the mention or entity of a row, for messages.

    Raises:
        DataError: A value is NaN or infinite.
    """
    try:
        manifest = peek_json(folder / "manifest.json", dict[str, Any])
        if any((folder / name).stat().st_size != size for name, size in manifest["bytes"].items()):
            return None
        # NumPy maps no empty file.
        num_vectors = manifest.get("num_vectors", manifest["num_unique"])
        mode: Literal["c"] | None = "c" if num_vectors * manifest["width"] else None
        matrix = np.load(folder / "matrix.npy", mmap_mode=mode, allow_pickle=False)
        rows = np.load(folder / "rows.npy", allow_pickle=False)
        is_ragged = "num_vectors" in manifest
        starts, lengths = (
            np.load(folder / f"{name}.npy", allow_pickle=False) if is_ragged else None for name in ("starts", "lengths")
        )
        if damage(folder, manifest, matrix, rows, owner, starts) is not None:
            return None
        return FieldFeatures(matrix, rows, manifest, starts, lengths)
    except (OSError, ValueError, KeyError):
        return None


def _describe(work: Workplace, recipe: Recipe, inputs: Inputs) -> None:
    """Writes all that stands beside the matrix."""
    reasons: dict[int, str] = {}
    failures: dict[str, str] = {}
    for index in sorted(work.notes):
        start = work.plan.block(index).start
        reasons |= {start + int(i): why for i, why in work.notes[index].get("missing", {}).items()}
        failures |= work.notes[index].get("failures", {})
    why_missing = reasons | {-1: f"no {recipe.kind}"}
    is_missing = np.isin(inputs.rows, list(why_missing))
    missing = Counter(why_missing[int(row)] for row in inputs.rows[is_missing])
    rows = np.where(is_missing, -1, inputs.rows)
    np.save(work.result / "rows.npy", rows)
    if work.starts is not None:
        np.save(work.result / "starts.npy", work.starts)
        np.save(work.result / "lengths.npy", _lengths(work, work.starts))
    if inputs.files:
        write_json(work.result / "files.json", inputs.files)
    manifest = {
        "format_version": FORMAT_VERSION,
        "field": recipe.field,
        "kind": recipe.kind,
        "encoder": recipe.encoder,
        "dtype": recipe.dtype,
        "width": recipe.width,
        "num_unique": len(inputs.unique),
        **({} if work.starts is None else {"num_vectors": int(work.starts[-1])}),
        "num_owners": len(rows),
        "num_present": int((rows >= 0).sum()),
        "missing": dict(sorted(missing.items())),
        "unusable_files": by_reason(failures),
        "bytes": {path.name: path.stat().st_size for path in sorted(work.result.glob("*.npy"))},
        KEY: checksums_of(work),
    }
    write_json(work.result / "manifest.json", manifest)


def _lengths(work: Workplace, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many vectors each input has: all that there was room for, unless its block notes another number."""
    lengths = np.diff(starts)
    for index, note in work.notes.items():
        first = work.plan.block(index).start
        for position, count in note.get("lengths", {}).items():
            lengths[first + int(position)] = count
    return lengths


def by_reason(failures: Mapping[str, str]) -> dict[str, Any]:
    """Unusable files (path → why) counted by reason, with some of their paths."""
    paths: dict[str, list[str]] = {}
    for path, reason in sorted(failures.items()):
        paths.setdefault(reason, []).append(path)
    return {why: {"count": len(of), "examples": of[:_NUM_EXAMPLES]} for why, of in sorted(paths.items())}


def _note_event(work: Workplace, event: str) -> None:
    note_in_log(work, {"event": event, "rows_done": work.num_rows_done})


def note_in_log(work: Workplace, facts: dict[str, Any]) -> None:
    """Adds facts to the log of work, with the time."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **facts}
    with (work.result / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
