"""`dim prepare`: a release, or a user's own tables, becomes a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from dim.data.base import Converter
from dim.data.checks import check_release
from dim.data.dim_release import DimRelease
from dim.data.diverse import Diverse
from dim.data.entity_texts import read_texts
from dim.data.files import explain_read_errors, list_names
from dim.data.gemel import Gemel
from dim.data.image_folder import find_image_folder, look_up_images
from dim.data.melbench import MelBench
from dim.data.mimic import Mimic
from dim.data.splits import carve_tune
from dim.data.summary import print_summary, summarize
from dim.data.table_files import SUFFIXES
from dim.data.tables import Tables
from dim.data.wikidiverse import WikiDiverse
from dim.data.wikiperson import WikiPerson
from dim.errors import DataError
from dim.records import FORMAT_VERSION, Dataset, write_dataset
from dim.storage import check_variant, content_hash, write_json

CONVERTERS: tuple[Converter, ...] = (
    Diverse(),
    WikiDiverse(),
    Gemel(),
    DimRelease(),
    MelBench(),
    Mimic(),
    WikiPerson(),
    Tables(),
)
#: Part of the key of prepared datasets: raise it when a converter's output changes.
CONVERTER_VERSION = 2

RAW_SUFFIXES = (".json", ".tsv", ".txt", *SUFFIXES)  #: Of the files that a prepared dataset depends on.

Layout = Literal["auto", "diverse", "wikidiverse", "gemel", "dim", "melbench", "mimic", "wikiperson", "tables"]


def prepare(
    root: Path,
    out: Path,
    layout: Layout = "auto",
    name: str | None = None,
    images: Path | None = None,
    texts: dict[str, Path] | None = None,
    allow_missing: bool = False,
    audit: bool = True,
) -> Dataset:
    """Turns a release, or a user's own tables, into a dataset folder, and prints what was kept and left out.

    Args:
        root: The release's folder (for MELBench also one of its files). It is only read.
        out: The dataset folder to write: a new or empty path, or an earlier dataset folder, which is replaced.
        layout: The release's layout; `auto` tells it by the file names.
        name: The dataset's name; by default that of the release.
        images: The image folder, where it stands outside the release or has an unusual name.
        texts: Further entity texts, variant → JSON file of the form {"Q42": "…"}: --texts.refreshed=new.json.
        allow_missing: Whether to go on when the KB lacks more than 1% of the answers; these rows are left out.
        audit: Whether to look for leaks at the end, as `dim audit` does (seconds; a minute for a KB of 160,000).

    Returns:
        The dataset, opened.

    Raises:
        DataError: The release cannot be read, more than 1% of the answers are unknown, or the KB has one entity.
        StorageError: The disk is full, or `out` may not be written.
    """
    root, out = Path(root), Path(out)
    if is_dataset_folder(root):
        raise DataError(
            f"a release at {root}", "a dataset folder, prepared already", f"Use it as it is: --data.root {root}"
        )
    _check_out(root, out)
    converter = find_converter(root, layout)
    release = converter.read(root)
    release.name = name or release.name
    release.texts |= {
        check_variant(variant): read_texts(path, release.entities["id"], converter.entity_id)
        for variant, path in (texts or {}).items()
    }
    check_release(release, allow_missing)
    release.mentions["split"] = carve_tune(release.mentions)
    image_problems, without_image = look_up_images(release, images)
    dataset = write_dataset(
        out,
        name=release.name,
        entities=release.entities,
        texts=release.texts,
        mentions=release.mentions,
        image_root=str(release.image_root.resolve()) if release.image_root else ".",
        source=release.source,
        licence=release.licence,
        layout=converter.layout,
        mentions_without_image=without_image,
        images=image_problems.as_json(),
        **summarize(release),
    )
    print_summary(dataset)
    if audit:
        # Here, because it brings torch and scikit-learn along.
        from dim.evaluation.audit import AUDIT_FILE, audit_dataset, print_verdicts

        found = audit_dataset(dataset, progress=True)
        print_verdicts(found, Console())
        write_json(dataset.root / AUDIT_FILE, found.as_json())
    return dataset


def open_dataset(root: Path, cache_dir: Path) -> Dataset:
    """Opens a dataset folder; a release is prepared into `cache_dir` first, unless that was done before.

    Args:
        root: A dataset folder, or a release in a layout that `dim prepare` recognizes.
        cache_dir: Prepared datasets stand in its subfolder `datasets`, under a name that changes with the raw files.

    Raises:
        DataError: As `prepare`.
    """
    root = Path(root)
    if not root.exists():
        is_demo = not root.is_absolute() and root.parts[:1] == ("demo",)  # as the demo's configurations name it
        size = 720 if root.name == "small" else 2000
        make = f"Make the demo world: dim demo-world {root} --num_entities {size}"
        look = f"Name where it is: --data.root FOLDER (a relative path counts from {Path.cwd()})."
        raise DataError(f"a dataset folder or a release at {root}", "nothing there", make if is_demo else look)
    if is_dataset_folder(root):
        return Dataset(root)
    folder = Path(cache_dir) / "datasets" / f"{root.resolve().stem}-{_raw_key(root)}"
    if is_dataset_folder(folder):
        Console().print(Text(f"{root.resolve().stem}: prepared already, in {folder}"), soft_wrap=True)
        return Dataset(folder)
    return prepare(root, folder)


def is_dataset_folder(path: Path) -> bool:
    """Tells whether a dataset folder stands at `path`."""
    return path.is_dir() and "dataset.json" in list_names(path)


def find_converter(root: Path, layout: Layout = "auto") -> Converter:
    """The converter of the layout named, or of the first layout that recognizes `root`.

    Raises:
        DataError: No layout recognizes it.
    """
    names = list_names(root)
    for converter in CONVERTERS:
        if layout == converter.layout or (layout == "auto" and converter.recognizes(root)):
            return converter
    shown = ", ".join(sorted(names)[:8]) or "nothing"
    layouts = "; ".join(f"{converter.layout}: {converter.needs}" for converter in CONVERTERS)
    raise DataError(
        f"a release at {root} in one of the layouts — {layouts}", f"{shown}", "Check the path, or name --layout."
    )


def _check_out(root: Path, out: Path) -> None:
    # What stands at `out` is replaced as a whole, so it must be nothing that anyone would miss.
    inside = root.resolve().is_relative_to(out.resolve())
    if inside or (out.exists() and not is_dataset_folder(out) and (out.is_file() or list_names(out))):
        raise DataError(
            f"a new or empty folder, or an earlier dataset folder, at {out}",
            "the release itself" if inside else "other files",
            "Choose another folder to write to.",
        )


def _raw_key(root: Path) -> str:
    """Changes with the raw files' place, names, sizes and times of change, and with the converters."""
    folder = root.parent if root.is_file() else root
    names = sorted(list_names(root))
    parts = [str(CONVERTER_VERSION), str(FORMAT_VERSION), str(root.resolve()), str(find_image_folder(folder))]
    for path in (folder / name for name in names if Path(name).suffix in RAW_SUFFIXES):
        with explain_read_errors(path):
            status = path.stat()
        parts.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}")
    return content_hash(*parts)
