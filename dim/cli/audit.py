"""`dim audit`: what a reported number on a dataset would hide, and subsets on which it hides less."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from dim.audit import Audit, audit_dataset, print_audit
from dim.audit.dataset import check_distance
from dim.audit.subsets import Subset, check_subset_target, clean, describe, hard, write_subset
from dim.core.files import write_json
from dim.core.folder_files import peek_json
from dim.core.locks import folder_lock
from dim.core.output import check_file
from dim.data.dataset import AUDIT_FILE, Dataset
from dim.display.terminal import Console, Text
from dim.errors import ConfigError, DataError
from dim.releases.prepare import open_dataset


def audit(
    data: Path,
    cache_dir: Path = Path("cache"),
    out: Path | None = None,
    write_clean: Path | None = None,
    write_hard: Path | None = None,
    image_distance: int = 4,
    with_tune: bool = False,
    images: Path | None = None,
) -> Audit:
    """Looks for leaks in a dataset, prints a verdict a line, and writes them as JSON.

    Args:
        data: A dataset folder, or a release as published (then it is prepared into the cache first).
        cache_dir: Where prepared datasets are kept and found again.
        out: The JSON file, or a folder for it; by default audit.json in the dataset folder.
        write_clean: Also write the dataset without the evaluation rows that stand in train, share a caption or an
            image with it, repeat a row, or show the gold's own image: a new folder, never the original.
        write_hard: Also write MEL-Hard: of dev and test, the rows where the name alone misleads, several entities
            bear the surname, and the image is not the gold's own: a new folder, never the original.
        image_distance: Images whose perceptual hashes differ in at most so many of 64 bits count as duplicates.
        with_tune: Audit tune as well, against the rest of train.
        images: The image folder of a release, as of `dim prepare`; the default is where the release has it.

    Returns:
        The findings.

    Raises:
        ConfigError: The distance is not between 0 and 64, both subsets shall go to one folder, or something else stands
            where one shall be written.
        DataError: The data cannot be read, or no row is left for a subset.
        StorageError: The disk is full, or a folder may not be written.
    """
    check_distance(image_distance)
    if write_clean is not None and write_hard is not None and Path(write_clean).resolve() == Path(write_hard).resolve():
        raise ConfigError("two folders for --write_clean and --write_hard", f"{write_clean} twice", "Change one.")
    dataset = open_dataset(Path(data), Path(cache_dir), images)
    if write_clean is not None:
        check_subset_target(Path(write_clean), dataset, "clean")
    if write_hard is not None:
        check_subset_target(Path(write_hard), dataset, "hard")
    path = _json_path(dataset.root if out is None else Path(out))
    found = audit_dataset(dataset, image_distance=image_distance, with_tune=with_tune, progress=True)
    console = Console()
    print_audit(found, console)
    _write_found(path, found, dataset)
    console.say(Text(f"written: {path}"))
    if write_clean is not None:
        _write(dataset, found, clean(found), Path(write_clean), console)
    if write_hard is not None:
        _write(dataset, found, hard(dataset, found), Path(write_hard), console)
    return found


def _json_path(out: Path) -> Path:
    path = out / AUDIT_FILE if out.is_dir() else out
    check_file(path, "an audit", _is_audit)
    return path


def _write_found(path: Path, found: Audit, dataset: Dataset) -> None:
    with folder_lock(dataset.root, "dim audit", wait=True) if path.parent == dataset.root else nullcontext():
        if path.parent == dataset.root and Dataset(dataset.root).hash != dataset.hash:
            raise DataError(
                f"the dataset that was audited in {dataset.root}",
                "another: it was written anew meanwhile",
                "Run the same command again.",
            )
        write_json(path, found.as_json())


def _is_audit(path: Path) -> bool:
    try:
        return "audit_version" in peek_json(path, dict)
    except (OSError, ValueError):
        return False


def _write(dataset: Dataset, found: Audit, subset: Subset, root: Path, console: Console) -> None:
    written = write_subset(dataset, found, subset, root)
    counts = ", ".join(f"{split} {count:,}" for split, count in written.meta["num_mentions"].items())
    console.say(Text(f"{written.name} → {root}: {counts}"))
    console.say(Text(f"  removed: {describe(subset) or 'nothing'}"))
