"""`dim prepare`: a release, or a user's own tables, becomes a dataset folder."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dim.core.files import check_variant, content_hash, write_json
from dim.core.locks import folder_lock
from dim.core.output import claimed_folder
from dim.data.dataset import AUDIT_FILE, FORMAT_VERSION, Dataset, dataset_kind, write_dataset
from dim.data.files import check_there, explain_read_errors, list_names
from dim.data.missing_images import (
    MAX_MISSING_IMAGES,
    check_images,
    check_limit,
    describe_missing,
    packed_in,
    unpack_command,
)
from dim.data.splits import carve_tune, draw_splits
from dim.data.table_files import SUFFIXES
from dim.display.terminal import Console, Text
from dim.errors import ConfigError, DataError
from dim.releases import kept_splits
from dim.releases.base import Asked, Converter, Release
from dim.releases.checks import can_be_read, check_release
from dim.releases.composed import compose_release
from dim.releases.doubts import doubts_about
from dim.releases.entity_texts import read_texts
from dim.releases.fit_command import print_fit_command
from dim.releases.found_images import LookedUp, look_up_images
from dim.releases.image_folder import image_folders
from dim.releases.layouts import converters, find_converter
from dim.releases.mention_rows import reading_as_nil
from dim.releases.summary import print_kb_summary, print_summary, summarize
from dim.releases.tables import Tables

#: Part of the key of prepared datasets: raise it when a converter's output changes.
CONVERTER_VERSION = 5

_OTHERS = ("derived_from", "held_out")  #: In the datasets that other commands made of a prepared one.
PREPARED = dataset_kind(
    "a dataset of dim prepare", lambda meta: "layout" in meta and not any(key in meta for key in _OTHERS)
)

IMAGES = "-images"  #: Behind a dataset's name in that of the folder of the images that stood in its tables.
RAW_SUFFIXES = (".txt", *SUFFIXES)  #: Of the files that a prepared dataset depends on.
#: What is said of a split of our own.
DRAWN = (
    "no splits are given: train, dev and test (80/10/10) were drawn by caption, the same every time; figures on "
    "them compare with those of no paper"
)


def prepare(
    root: Path,
    out: Path,
    layout: str = "auto",
    name: str | None = None,
    images: Path | None = None,
    texts: dict[str, Path] | None = None,
    allow_missing: bool = False,
    audit: bool = True,
    overwrite: bool = False,
    max_missing_images: float = 1.0,
    encoding: str | None = None,
    list_separator: str | None = None,
    nil_labels: Sequence[str] = (),
    languages: str | None = None,
    classes: str | None = None,
) -> Dataset:
    """Turns a release, or a user's own tables, into a dataset folder; prints what was kept, and the fit that suits it.

    A dump of Wikidata becomes a KB without mentions; killed, the same command goes on with it where it stood.

    Args:
        root: The release's folder (for MELBench and KGMEL also one of its files), or a dump. It is only read.
        out: The dataset folder to write: a new or empty path, or what was prepared from the same `root` in the same
            layout before, which is replaced if no `dim refresh` or `dim caption` added to it since.
        layout: The release's layout (`docs/reference/layouts.md` lists them), tables, or that of an installed
            package; `auto` tells it by the file names.
        name: The dataset's name; by default that of the release.
        images: The image folder, where it stands outside the release or has an unusual name.
        texts: Further entity texts, variant → JSON file of the form {"Q42": "…"}: --texts.refreshed=new.json.
        allow_missing: Whether to go on when the KB lacks more than 1% of the answers, or more than 1% of the rows of
            your own tables cannot be read; these rows are left out.
        audit: Whether to look for leaks at the end, as `dim audit` does (seconds; a minute for a KB of 160,000).
        overwrite: Whether a dataset at `out` that was prepared from another release, or added to, may be replaced, too.
        max_missing_images: The share of mentions, and of entities, that may miss the images that they name; beyond,
            nothing is written. By default all may, with a note: images may come later, and `dim fit` stops without.
        encoding: Of your own tables, such as `cp1252`; the default is told by their first bytes, else UTF-8.
        list_separator: What separates aliases, images and candidates in a cell of your own tables; the default is `|`
            and, where no cell has it, `;`. Arrays and line breaks are always read.
        nil_labels: Answers that mean NIL beside an empty one and `nil`, in any case, such as '[--NME--, "NIL*", "-1"]'.
        languages: Of a dump of Wikidata: those of names and texts, the first one first: `en,de`. The default is `en`.
        classes: Of a dump of Wikidata: items of which classes (P31) are entities: `Q5,Q515`. The default is all items.

    Returns:
        The dataset, opened.

    Raises:
        DataError: The release cannot be read, too many images are missing, more than 1% of the answers are unknown, or
            the KB has one entity.
        ConfigError: `out` holds something else, lies in the release or holds it, or another process writes it.
        StorageError: The disk is full, or `out` may not be written.
    """
    root, out = Path(root), Path(out)
    if is_dataset_folder(root):
        raise DataError(
            f"a release at {root}", "a dataset folder, prepared already", f"Use it as it is: --data.root {root}"
        )
    of_layout = {"encoding": encoding, "list_separator": list_separator, "languages": languages, "classes": classes}
    converter = find_converter(root, layout, allow_missing, **of_layout)
    asked = Asked(name, images, texts or {}, check_limit(max_missing_images), nil_labels)
    facts = {"layout": converter.layout, "prepared_from": _place(root)}
    sources = [root, *asked.texts.values()]
    overwrite = overwrite or _is_as_prepared(out, facts)
    with claimed_folder(out, PREPARED, "dim prepare", sources=sources, overwrite=overwrite) as check_again:
        if (kb := converter.write_kb(root, out, asked, **facts)) is not None:
            print_kb_summary(kb)
            return kb
        release, looked_up = _ready(root, out, converter, asked, [out])
        check_again()
        dataset = _written(out, release, looked_up, facts, audit)
        print_fit_command(dataset, any(named.named > named.missing for named in looked_up.named))
        return dataset


def prepare_mentions(
    mentions: Path,
    entities: Path,
    out: Path,
    linker: Path,
    images: Path | None = None,
    allow_missing: bool = False,
    overwrite: bool = False,
) -> Dataset:
    """The dataset of mentions whose KB is that of a linker.

    Args:
        mentions: A table of any name, or a folder that has it, or one a split.
        entities: A table of the KB; images by absolute paths.
        out: The dataset folder to write: a new or empty path, or what was prepared from the same mentions and the same
            linker before, which is replaced if nothing was added to it since.
        linker: Its folder, of which the dataset has its name.
        images: A folder that holds the images of both; None: entities have none.
        allow_missing: As of `prepare`.
        overwrite: Whether a dataset at `out` of other mentions or another linker, or added to, may be replaced, too.

    Raises:
        DataError, ConfigError, StorageError: As `prepare`.
    """
    check_there(mentions, "a table of mentions, or its folder,", f"Check the path; it counts from {Path.cwd()}.")
    converter = Tables(allow_missing=allow_missing, entities=entities)
    facts = {"layout": Tables.layout, "prepared_from": _place(mentions), "entities_from": _place(linker)}
    overwrite = overwrite or _is_as_prepared(out, facts)
    with claimed_folder(out, PREPARED, "dim fit --from", sources=[mentions], overwrite=overwrite) as check_again:
        ready = _ready(mentions, out, converter, Asked(linker.name, images), [out])
        check_again()
        return _written(out, *ready, facts)


def open_dataset(root: Path, cache_dir: Path, images: Path | None = None) -> Dataset:
    """Opens a dataset folder; a release is prepared into `cache_dir` first, unless that was done before.

    Args:
        root: A dataset folder, or a release in a layout that `dim prepare` recognizes.
        cache_dir: Prepared datasets stand in its subfolder `datasets`, under a name that changes with the raw files.
        images: The image folder of a release, as of `prepare`.

    Raises:
        DataError: As `prepare`.
        ConfigError: `images` is given, and a dataset folder, which says itself where they are.
    """
    root = Path(root)
    check_there(
        root,
        "a dataset folder, or a release,",
        f"Check the path (it counts from {Path.cwd()}), or name another, as in --data.root FOLDER; "
        "a release has to be unpacked first.",
    )
    if is_dataset_folder(root):
        if images is not None:
            raise ConfigError(
                "a release with --images (of fit and others that read a config: --data.images)",
                f"the dataset folder {root}, which says itself where its images are",
                "Leave it out, or prepare the release again: dim prepare RELEASE FOLDER --images FOLDER.",
            )
        return Dataset(root)
    folder = Path(cache_dir) / "datasets" / f"{root.resolve().stem}-{_raw_key(root, images)}"
    if not is_dataset_folder(folder):
        with folder_lock(folder, "dim prepare", wait=True):
            if not is_dataset_folder(folder):
                # The raw files changed, or dim did: what was drawn before stays.
                found = folder.parent.glob(f"{glob.escape(root.resolve().stem)}-*")
                earlier = sorted(found, key=_when_written, reverse=True)
                converter = find_converter(root)
                ready = _ready(root, folder, converter, Asked(images=images), earlier)
                return _written(folder, *ready, {"layout": converter.layout, "prepared_from": _place(root)})
    Console().say(Text(f"{root.resolve().stem}: prepared already, in {folder}"))
    return Dataset(folder)


def _is_as_prepared(out: Path, facts: Mapping[str, str]) -> bool:
    """Whether what stands at `out` was prepared from the same, and is nothing but that.

    Raises:
        ConfigError: From the same, and models added to it since.
    """
    if not PREPARED.stands_at(out):
        return False
    dataset = Dataset(out)
    if any(dataset.meta.get(name) != facts.get(name) for name in ("layout", "prepared_from", "entities_from")):
        return False
    if dataset.added:
        raise ConfigError(
            f"a dataset of dim prepare to which nothing was added, or a new folder, at {out}",
            f"one with what models said: {', '.join(dataset.added)}",
            "Choose another folder; or --overwrite true, and dim refresh or dim caption again: their answers are kept.",
        )
    return True


def _ready(
    root: Path, out: Path, converter: Converter, asked: Asked, earlier: Iterable[Path]
) -> tuple[Release, LookedUp]:
    """A release as it shall be written, and what images it has.

    Splits that were drawn are those of the first of the `earlier` folders that knows the release.
    """
    release = _read(root, converter, asked)
    looked_up = _with_images(release, root, out, asked)
    _divide(release, looked_up, earlier)
    return release, looked_up


def _read(root: Path, converter: Converter, asked: Asked) -> Release:
    """A release with its further texts, in one Unicode form, that can be told from others and learned from."""
    with reading_as_nil(asked.nil_labels) as nil:
        release = converter.read(root)
    compose_release(release)
    release.name = asked.name or release.name
    further = {
        check_variant(variant): read_texts(path, release.entities["id"], converter.entity_id)
        for variant, path in asked.texts.items()
    }
    texts = {**release.texts, **further}
    release.texts = {variant: table for variant, table in texts.items() if not table.empty}
    empty = [variant for variant in texts if variant not in release.texts]
    release.notes += [f"the text '{variant}' is empty for every entity: it is left out" for variant in empty]
    check_release(release, converter.allow_missing, tuple(nil.met))
    release.notes += doubts_about(release, nil)
    return release


def _with_images(release: Release, root: Path, out: Path, asked: Asked) -> LookedUp:
    """Looks for the images; what is said of them ends with what to do. Raises DataError where too many are missing."""
    if release.write_images is not None:
        release.image_root = out.with_name(f"{out.name}{IMAGES}")
        num_images = release.write_images(release.image_root)
        release.notes.append(f"{num_images:,} images that stand in the tables were written to {release.image_root}")
    folder = root.parent if root.is_file() else root
    looked_up = look_up_images(release, asked.images, folder)
    said = list(looked_up.said)
    for named in looked_up.named:
        check_images(named, asked.max_missing_images, release.image_root)
        # Without a folder the first lines say already what to do.
        if release.image_root is not None and named.missing > MAX_MISSING_IMAGES * named.named:
            said.append(f"{'. '.join(describe_missing(named, release.image_root))}")
    if looked_up.dropped:
        said += [f"images may wait in {path.name}: {unpack_command(path)}" for path in packed_in(folder)]
    return replace(looked_up, said=said)


def _divide(release: Release, looked_up: LookedUp, earlier: Iterable[Path]) -> None:
    """Leaves out the mentions that tell nothing, and gives the others their splits and a column `has_image`."""
    index = release.mentions.index
    mentions = release.mentions.assign(has_image=pd.Series(looked_up.has_image, index, dtype=bool))
    kept = can_be_read(release, mentions["has_image"])
    # Those that name one image belong together, whether it is there or not.
    captions = mentions.assign(images=pd.Series(looked_up.images, index, dtype=object))[kept]
    if captions["split"].isna().all():
        release.notes.append(DRAWN)
        captions["split"] = draw_splits(captions)
    captions["split"] = carve_tune(captions)
    _keep_splits(captions, release.notes, earlier)
    release.mentions = mentions[kept].assign(split=captions["split"]).reset_index(drop=True)


def _keep_splits(mentions: pd.DataFrame, notes: list[str], earlier: Iterable[Path]) -> None:
    """Gives mentions the splits that an earlier preparation drew, in place."""
    for folder in filter(is_dataset_folder, earlier):
        try:
            before = Dataset(folder).mentions[list(kept_splits.COLUMNS)]
        except DataError as error:
            notes.append(f"splits are drawn anew: the mentions of {folder} cannot be read ({error})")
            continue
        if 2 * kept_splits.num_again(mentions, before) >= min(len(before), len(mentions)):
            mentions["split"], more = kept_splits.keep_splits(mentions, before, folder.name)
            notes += more
            return


def _written(out: Path, release: Release, looked_up: LookedUp, facts: Mapping[str, str], audit: bool = True) -> Dataset:
    """Writes the dataset folder, and prints what it holds."""
    dataset = write_dataset(
        out,
        name=release.name,
        entities=release.entities,
        texts=release.texts,
        mentions=release.mentions,
        image_root=_image_root(release, out),
        image_urls=release.image_urls,
        source=release.source,
        licence=release.licence,
        **facts,
        mentions_without_image=int((~release.mentions["has_image"]).sum()),
        images=looked_up.problems.as_json(),
        said_of_images=looked_up.said,
        images_dropped=looked_up.dropped,
        **summarize(release),
    )
    print_summary(dataset)
    if audit:
        _audit(dataset)
    return dataset


def _image_root(release: Release, out: Path) -> str:
    """As `dataset.json` has it: images beside the dataset move with it."""
    if release.image_root is None:
        return "."
    beside = release.write_images is not None and release.image_root == out.with_name(f"{out.name}{IMAGES}")
    return f"../{release.image_root.name}" if beside else str(release.image_root.resolve())


def _audit(dataset: Dataset) -> None:
    """Looks for leaks, prints what was found, and keeps it in the folder."""
    # Here, because it brings torch and scikit-learn along.
    from dim.audit import audit_dataset, print_verdicts

    found = audit_dataset(dataset, progress=True)
    print_verdicts(found, Console())
    write_json(dataset.root / AUDIT_FILE, found.as_json())


def _when_written(folder: Path) -> float:
    written = folder / "dataset.json"
    return written.stat().st_mtime if written.exists() else 0.0


def is_dataset_folder(path: Path) -> bool:
    """Tells whether a dataset folder stands at `path`."""
    return path.is_dir() and "dataset.json" in list_names(path)


def _place(root: Path) -> str:
    """Tells a release, or a table, from another without naming a folder of this machine."""
    return content_hash(str(root.resolve()))


def _raw_key(root: Path, images: Path | None) -> str:
    """Changes with the raw files' place, names, sizes and times of change, and with the converters."""
    folder = root.parent if root.is_file() else root
    names = sorted(list_names(folder))  # what stands beside a release that is one file belongs to it
    parts = [str(CONVERTER_VERSION), str(FORMAT_VERSION), str(root.resolve()), *map(str, image_folders(folder))]
    parts += [] if images is None else ["images", str(Path(images).resolve())]
    below = sorted({name for converter in converters() for name in converter.folders})
    names += [
        f"{name}/{file}" for name in below if (folder / name).is_dir() for file in sorted(list_names(folder / name))
    ]
    for name in (name for name in names if Path(name).suffix.lower() in RAW_SUFFIXES):
        with explain_read_errors(folder / name):
            status = (folder / name).stat()
        parts.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    return content_hash(*parts)
