"""The dataset folder, and the mentions that it holds beside its entities.

A dataset folder is readable with pandas alone:

    dataset.json            name, source, licence, counts, hashes, what was skipped and why
    entities.parquet        id, name, aliases, type, popularity, images, attributes
    texts/<variant>.parquet entity_id, text
    image_urls.parquet      path, url: where `dim fetch-images` gets an image from, if the source names URLs
    mentions.parquet        id, split, mention, context, start, end, entity_id (null: NIL), other_golds (only where a
                            mention has several golds), images, caption, candidates, type, attributes
    answers/<variant>.jsonl every answer of a language model, if a text was refreshed
    captions/<name>.parquet every answer of a captioner, if images were captioned
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dim.core.checksums import CHECKSUMS
from dim.core.files import atomic_path, check_variant, content_hash, how_to_get, json_text
from dim.core.folder_files import json_value, read_json, read_parquet, refit
from dim.core.locks import LOCK_SUFFIX, folder_lock
from dim.core.output import Kind
from dim.core.tables import column_hashes, conform, frame_hash, hash_of, said_by, write_frame
from dim.core.text_form import one_form
from dim.core.typed import Mismatch
from dim.data.entity import Entity
from dim.data.streamed_texts import StreamedTexts
from dim.errors import DataError

FORMAT_VERSION = 2
NIL = "NIL"  #: Stands where an answer says that the KB has no such entity.
ANSWERS, CAPTIONS = "answers", "captions"  #: The folders of what models answered, about entities and about images.
AUDIT_FILE = "audit.json"  #: What `dim audit` found.
#: What `dim fetch-images` reads, and what it missed.
URL_FILE, FAILURE_FILE = "image_urls.parquet", "image_failures.jsonl"
SPLITS = ("train", "tune", "dev", "test")
LEAST, TIMES = 2**30, 1000  #: Bytes of memory that a table may always take, and times its file that it may take.

ENTITY_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("aliases", pa.list_(pa.string())),
        ("type", pa.string()),
        ("popularity", pa.float64()),
        ("images", pa.list_(pa.string())),
        ("attributes", pa.string()),  # a JSON object
    ]
)
MENTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("mention", pa.string()),
        ("context", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("entity_id", pa.string()),
        ("images", pa.list_(pa.string())),
        ("caption", pa.string()),
        ("candidates", pa.list_(pa.string())),
        ("type", pa.string()),
        ("attributes", pa.string()),  # a JSON object
    ]
)
#: Beside `entity_id`, which is then the first: a column of `mentions.parquet` only where a mention has several golds.
OTHER_GOLDS = pa.field("other_golds", pa.list_(pa.string()))
MOST_GOLDS = 100  #: Of a mention: a table of golds is as wide as the longest list.
URL_SCHEMA = pa.schema([("path", pa.string()), ("url", pa.string())])
TEXT_SCHEMA = pa.schema([("entity_id", pa.string()), ("text", pa.string())])


class About(TypedDict):
    """What dim reads of `dataset.json`."""

    name: str
    image_root: str
    kb_hash: str
    hash: str
    hashes: dict[str, str]
    num_entities: int
    num_mentions: dict[str, int]
    texts: list[str]
    text_facts: NotRequired[dict[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a sentence, with its images.

    Attributes:
        id: Made by the converter; holds nothing of the answer.
        mention: The name as it stands in the context; empty only where the mention is a region of an image.
        context: The sentence or caption around it; may be empty.
        start: First character of the mention in the context, or None where it is not known.
        end: One past its last character, or None.
        entity_id: The gold entity, or None: the answer is not in the KB (NIL).
        images: Paths relative to the dataset's image folder; empty where there is none. A region of an image is
            `path#xywh=left,top,width,height` in pixels (W3C Media Fragments).
        caption: What a captioner said of the image, or None.
        candidates: Entity ids that the release offers, or None.
        type: A label such as `person`, or a cell of the demo world; None where the release has none.
        split: `train`, `tune`, `dev` or `test`.
        attributes: Whatever else the source said.
        other_golds: Entities that are right answers, too, where there are several.
    """

    id: str
    mention: str
    context: str = ""
    start: int | None = None
    end: int | None = None
    entity_id: str | None = None
    images: tuple[str, ...] = ()
    caption: str | None = None
    candidates: tuple[str, ...] | None = None
    type: str | None = None
    split: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    other_golds: tuple[str, ...] = ()


class Dataset:
    """A dataset folder, opened for reading. Its tables are read on first use.

    One that would take more than 1 GiB of memory, and more than 1,000 times its file, is refused before it does: a
    context that stands beside each of its hundreds of mentions is far from both.

    Args:
        root: The folder that holds `dataset.json`.

    Attributes:
        added: What models said of it since it was made: entity texts by their variant, and `captions`.

    Raises:
        DataError: The folder is no dataset folder, of another format version, or cannot be read.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        what = f"a dataset folder at {self.root} (with a dataset.json)"
        remedy = how_to_get(self.root, f"Check the path, or make one: dim prepare RELEASE {self.root}")
        if not self.root.exists():
            raise DataError(what, "nothing there", remedy)
        self.meta: dict[str, Any] = read_json(self.root / "dataset.json", dict[str, Any], what, remedy)
        if self.meta.get("format_version") != FORMAT_VERSION:
            raise DataError(
                f"a dataset folder of format {FORMAT_VERSION}",
                f"format {self.meta.get('format_version')} in {self.root}",
                "Run dim prepare again on the release.",
            )
        self.meta = refit(self.meta, About, "dataset.json", what, remedy)
        self.added = list[str]()
        self._hear_tables()

    def _hear_tables(self) -> None:
        """Takes over what tables say of themselves that were written after `dataset.json`, such as before a kill."""
        before = self.meta.get("text_facts", ())  # of texts that were added before tables said so
        for name in ("mentions", *(f"texts/{variant}" for variant in self.variants)):
            variant = name.partition("/")[2]
            about = said_by(self.root / f"{name}.parquet")
            if about or variant in before:
                self.added.append(variant or "captions")
            if about:
                self.meta["hashes"][name] = about["hash"]
                if variant:
                    self.meta["texts"] = sorted({*self.meta["texts"], variant})
                    if facts := about.get("facts"):
                        self.meta["text_facts"] = self.meta.get("text_facts", {}) | {variant: facts}

    @property
    def name(self) -> str:
        """The dataset's name, for reports."""
        return str(self.meta["name"])

    @property
    def hash(self) -> str:
        """Hash of the entities and the mentions: what is asked.

        Texts and captions are evidence, with hashes of their own, so runs on the original and on refreshed texts of
        one KB have the same hash, and compare.
        """
        return str(self.meta["hash"])

    def text_hash(self, variant: str) -> str:
        """Hash of one entity text, also of one that a user put there, or changed.

        Raises:
            DataError: There is no such variant, or it cannot be read.
        """
        self.check_variant(variant)
        path = self.root / "texts" / f"{variant}.parquet"
        if about := said_by(path):
            return str(about["hash"])
        return CHECKSUMS.found(path, frame_hash.__name__, lambda: frame_hash(self.text_table(variant)))

    @property
    def kb_hash(self) -> str:
        """Hash of the entities alone (ids, names, aliases), whichever text is used."""
        return str(self.meta["kb_hash"])

    @property
    def variants(self) -> list[str]:
        """The names of the entity texts, such as `brief` and `refreshed`."""
        return sorted(path.stem for path in (self.root / "texts").glob("*.parquet"))

    @cached_property
    def image_root(self) -> Path:
        """The folder that image paths are relative to."""
        return self.root / str(self.meta["image_root"])

    @cached_property
    def image_urls(self) -> dict[str, str]:
        """Image path → the URL where it can be had; empty where the source names no URLs."""
        if not (self.root / URL_FILE).exists():
            return {}
        table = self._read_columns(URL_FILE, URL_SCHEMA.names)
        if any(column.null_count for column in table.columns):
            expected = f"a path and a URL in each row of {self.root / URL_FILE}"
            raise DataError(expected, "none in one", "Run dim prepare again.")
        return dict(zip(table["path"].to_pylist(), table["url"].to_pylist(), strict=True))

    @cached_property
    def entities(self) -> pd.DataFrame:
        """One row an entity, in KB order (columns: `ENTITY_SCHEMA`)."""
        return self._counted(self._read("entities.parquet"), "entities", self.meta["num_entities"])

    @cached_property
    def mentions(self) -> pd.DataFrame:
        """One row a mention, in the order of the release (columns: `MENTION_SCHEMA`)."""
        return self._counted(self._read("mentions.parquet"), "mentions", sum(self.meta["num_mentions"].values()))

    def _counted(self, table: pd.DataFrame, name: str, expected: int) -> pd.DataFrame:
        """The table, if it has as many rows as were written: what changes it by hand changes no hash."""
        if len(table) != expected:
            raise DataError(
                f"{expected:,} {name} in {self.root}, as its dataset.json says",
                f"{len(table):,}",
                "Change what it is made of, not the folder, and run dim prepare again.",
            )
        return table

    @cached_property
    def entity_index(self) -> pd.Index[Any]:
        """Entity ids in KB order; `get_indexer` turns ids into rows (-1: not in the KB)."""
        ids = self.column("entities", "id").to_numpy(zero_copy_only=False)
        index: pd.Index[Any] = pd.Index(ids, dtype=object)
        return index

    def column(self, table: Literal["entities", "mentions"], name: str) -> pa.ChunkedArray:
        """One column of a table as Arrow; the others are not read."""
        return self._read_columns(f"{table}.parquet", [name])[name]

    def text_column(self, variant: str) -> pa.ChunkedArray:
        """The text of each entity in KB order as Arrow, null where it has none; of a KB without texts, all null.

        Raises:
            DataError: There are texts, and no such variant.
        """
        if not self.variants:
            return pa.chunked_array([pa.nulls(len(self.column("entities", "id")), pa.string())])
        self.check_variant(variant)
        table = self._read_columns(f"texts/{variant}.parquet", ["entity_id", "text"])
        ids, texts = self.column("entities", "id"), table["text"]
        if table["entity_id"].equals(ids):
            return texts
        return texts.cast(pa.large_string()).take(pc.index_in(ids, value_set=table["entity_id"]))

    def gold_rows(self, mentions: pd.DataFrame) -> NDArray[np.int64]:
        """The KB row [n] of each mention's gold entity, of several the first; -1 for NIL."""
        ids = mentions["entity_id"].astype(object)
        rows: NDArray[np.int64] = self.entity_index.get_indexer(pd.Index(ids.where(ids.notna(), None)))
        return rows

    def golds_of(self, mentions: pd.DataFrame) -> NDArray[np.int64]:
        """The KB rows [n, num_golds] of all golds of each mention, the first one first; -1 as padding, and for NIL.

        Raises:
            DataError: A mention has more than `MOST_GOLDS`.
        """
        first = self.gold_rows(mentions)
        if OTHER_GOLDS.name not in mentions or mentions.empty:
            return first[:, None]
        others = [ids[1:] for ids in gold_ids(mentions)]
        if (longest := 1 + max(map(len, others))) > MOST_GOLDS:
            raise DataError(f"at most {MOST_GOLDS} golds a mention in {self.name}", str(longest), "Leave some out.")
        known = self.entity_index.get_indexer(pd.Index([each for ids in others for each in ids], dtype=object))
        parts = np.split(known, np.cumsum([len(ids) for ids in others])[:-1])
        parts = [part[(part >= 0) & (row >= 0)] for row, part in zip(first, parts, strict=True)]
        table = np.full((len(parts), 1 + max(map(len, parts))), -1, dtype=np.int64)
        table[:, 0] = first
        for place, part in enumerate(parts):
            table[place, 1 : 1 + len(part)] = part
        return table

    def split(self, name: str) -> pd.DataFrame:
        """The mentions of one split.

        Raises:
            DataError: The dataset has no row in that split.
        """
        rows = self.mentions[self.mentions["split"] == name]
        if rows.empty:
            remedy = f"Add the release's {name} file and run dim prepare again, or use another split."
            if name == "tune":
                remedy = "It is a tenth of train, by caption: add mentions to train and run dim prepare again."
            present = ", ".join(f"{k} ({v})" for k, v in self.mentions["split"].value_counts().items()) or "none"
            raise DataError(
                f"mentions in the split '{name}' of {self.name}",
                f"no row; the splits are: {present}",
                remedy,
            )
        return rows

    def texts(self, variant: str) -> pd.Series:
        """The text of each entity in KB order, None where it has none.

        Raises:
            DataError: There is no such variant.
        """
        self.check_variant(variant)
        return pd.Series(self.text_column(variant).to_numpy(zero_copy_only=False), self.entity_index, dtype=object)

    def text_table(self, variant: str) -> pd.DataFrame:
        """One row an entity with a text, as the file has them. Raises DataError where there is no such variant."""
        self.check_variant(variant)
        return self._read(f"texts/{variant}.parquet")

    def check_variant(self, variant: str) -> None:
        """Raises DataError where the entities have no such text."""
        if variant not in self.variants:
            raise DataError(
                f"an entity text '{variant}' in {self.root / 'texts'}",
                f"the variants {', '.join(self.variants) or '(none)'}",
                "Choose one of them with --data.entity_text, add one (dim refresh, or dim prepare --texts.NAME FILE), "
                "or go on without: --data.leave_out '[text]'.",
            )

    def entity(self, entity_id: str) -> Entity:
        """One entity by its id. Raises KeyError where the KB lacks it."""
        row = int(self.entity_index.get_indexer(pd.Index([entity_id]))[0])
        if row < 0:
            raise KeyError(entity_id)
        fields = _fields(self.entities.iloc[row], lists=("aliases", "images"))
        return Entity(**fields | {"name": fields["name"] or ""})

    def mention(self, mention_id: str) -> Mention:
        """One mention by its id. Raises KeyError where there is none."""
        rows = self.mentions[self.mentions["id"] == mention_id]
        if rows.empty:
            raise KeyError(mention_id)
        fields = _fields(rows.iloc[0], lists=("images", "candidates", OTHER_GOLDS.name))
        return Mention(**fields | {OTHER_GOLDS.name: fields.get(OTHER_GOLDS.name) or ()})

    def _read(self, relative: str) -> pd.DataFrame:
        table: pd.DataFrame = self._read_columns(relative).to_pandas()
        return table

    def _read_columns(self, relative: str, columns: list[str] | None = None) -> pa.Table:
        path = self.root / relative
        schemas = {"entities.parquet": ENTITY_SCHEMA, "mentions.parquet": MENTION_SCHEMA, URL_FILE: URL_SCHEMA}
        like = schemas.get(relative, TEXT_SCHEMA)
        may_have = pa.schema([OTHER_GOLDS]) if relative == "mentions.parquet" else None
        return read_parquet(
            path, f"a readable {path}", "Run dim prepare again.", columns, (LEAST, TIMES), like, may_have
        )


def gold_ids(mentions: pd.DataFrame) -> list[tuple[str, ...]]:
    """The golds of each mention, each once, the first one first; empty for NIL.

    Example:
        >>> table = pd.DataFrame({"entity_id": ["Q1", "Q2", None], "other_golds": [["Q3", "Q1"], None, None]})
        >>> gold_ids(table), gold_ids(table[["entity_id"]])
        ([('Q1', 'Q3'), ('Q2',), ()], [('Q1',), ('Q2',), ()])
    """
    first: list[tuple[str, ...]] = [(each,) if isinstance(each, str) else () for each in mentions["entity_id"].tolist()]
    if OTHER_GOLDS.name not in mentions:
        return first
    others = map(_listed, mentions[OTHER_GOLDS.name].tolist())
    return [
        own and tuple(dict.fromkeys([*own, *(each for each in ids if each is not None)]))
        for own, ids in zip(first, others, strict=True)
    ]


def _listed(cell: Any) -> Sequence[Any]:
    """A cell of lists; empty where it is null, in whichever of pandas' ways."""
    found: Sequence[Any] = () if cell is None or isinstance(cell, float) or cell is pd.NA else cell
    return found


def attributes_of(cell: Any) -> dict[str, Any]:
    """What a cell of the column `attributes` says; nothing where it is null. Raises DataError where it is no object."""
    try:
        found: dict[str, Any] = json_value(cell, dict[str, Any]) if isinstance(cell, str) else {}
    except Mismatch as error:
        raise DataError("a JSON object as attributes", str(error), "Run dim prepare again.") from error
    return found


def _fields(row: pd.Series, lists: tuple[str, ...]) -> dict[str, Any]:
    """A table row as constructor arguments: null → None, list columns → tuples, attributes → dict."""
    values: dict[str, Any] = {}
    for key, value in row.items():
        if key in lists:
            values[str(key)] = None if value is None else tuple(value)
        elif key == "attributes":
            values[str(key)] = attributes_of(value)
        else:
            values[str(key)] = None if pd.isna(value) else value
    for key in ("start", "end"):
        if values.get(key) is not None:
            values[key] = int(values[key])
    return values


def write_dataset(
    root: Path,
    *,
    name: str,
    entities: pd.DataFrame,
    texts: Mapping[str, pd.DataFrame | StreamedTexts],
    mentions: pd.DataFrame,
    image_root: str = ".",
    image_urls: Mapping[str, str] | None = None,
    **meta: Any,
) -> Dataset:
    """Writes a dataset folder, atomically, and opens it.

    Args:
        root: Where the folder shall stand; what stood there is replaced, but for `answers/` and `captions/`,
            which cost money or time.
        name: The dataset's name.
        entities: Columns of `ENTITY_SCHEMA`; absent ones become null (lists: empty).
        texts: Variant → columns of `TEXT_SCHEMA`, or where they come from.
        mentions: Columns of `MENTION_SCHEMA`, and `other_golds`; absent ones become null (`images`: empty).
        image_root: The image folder, relative to `root` or absolute.
        image_urls: Image path → where it can be had, for `Dataset.image_urls`.
        **meta: Further keys of `dataset.json`: source, licence, counts, skipped …
    """
    with atomic_path(root) as folder:
        write_folder(
            folder, name=name, entities=entities, texts=texts, mentions=mentions, image_root=image_root, **meta
        )
        if image_urls:
            table = pa.table([list(image_urls), list(image_urls.values())], schema=URL_SCHEMA)
            pq.write_table(table, folder / URL_FILE)
        keep_answers(root, folder)
    return Dataset(root)


def keep_answers(old: Path, new: Path) -> None:
    """Copies what models answered, which cost money or time, from a dataset folder to the one that replaces it."""
    for name in (ANSWERS, CAPTIONS):
        if (old / name).is_dir():
            shutil.copytree(old / name, new / name, ignore=shutil.ignore_patterns(f"*{LOCK_SUFFIX}"))


def dataset_kind(name: str, is_made: Callable[[dict[str, Any]], bool], has_images: bool = False) -> Kind:
    """Dataset folders that one command writes, for `dim.core.output`.

    Args:
        name: What they are called, such as "a demo world".
        is_made: Tells them by their `dataset.json` from those of other commands.
        has_images: Whether the command also writes the images, into the folder; else images in it are the user's.
    """

    def stands_at(folder: Path) -> bool:
        try:
            return is_made(Dataset(folder).meta)
        except DataError:
            return False

    return Kind(name, stands_at, partial(_files, has_images=has_images))


def _files(folder: Path, has_images: bool) -> list[str]:
    dataset = Dataset(folder)
    names = ["dataset.json", "entities.parquet", "mentions.parquet", AUDIT_FILE, URL_FILE, FAILURE_FILE]
    names += [f"texts/{variant}.parquet" for variant in dataset.meta["texts"]]
    names += [f"{ANSWERS}/*.jsonl", f"{CAPTIONS}/*.parquet", f"{CAPTIONS}/*.log.jsonl"]
    for table in ("entities", "mentions") if has_images else ():
        images = pc.list_flatten(dataset.column(table, "images")).to_pylist()
        names += [glob.escape(f"{dataset.meta['image_root']}/{image}") for image in images]
    return names


def write_folder(
    folder: Path,
    *,
    name: str,
    entities: pd.DataFrame,
    texts: Mapping[str, pd.DataFrame | StreamedTexts],
    mentions: pd.DataFrame,
    image_root: str,
    **meta: Any,
) -> None:
    """Writes the files of a dataset into `folder`, without replacing anything (see `write_dataset`)."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    entities = conform(entities, ENTITY_SCHEMA, empty_lists=("aliases", "images"))
    mentions, schema = mention_table(mentions)
    entities.to_parquet(folder / "entities.parquet", index=False, schema=ENTITY_SCHEMA)
    mentions.to_parquet(folder / "mentions.parquet", index=False, schema=schema)
    of_texts = {
        variant: _write_texts(folder / "texts" / f"{variant}.parquet", table) for variant, table in texts.items()
    }
    counts = {
        "num_entities": len(entities),
        "num_mentions": {split: int(n) for split, n in mentions["split"].value_counts().items()},
    }
    about = {"name": name, "image_root": image_root}
    write_document(folder, column_hashes(entities), column_hashes(mentions), of_texts, about, counts | meta)


def _write_texts(path: Path, table: pd.DataFrame | StreamedTexts) -> str:
    """Writes the texts of one variant; returns their `frame_hash`."""
    if isinstance(table, StreamedTexts):
        return table.write(path, TEXT_SCHEMA)
    table = conform(table, TEXT_SCHEMA)
    table.to_parquet(path, index=False, schema=TEXT_SCHEMA)
    return frame_hash(table)


def mention_table(mentions: pd.DataFrame) -> tuple[pd.DataFrame, pa.Schema]:
    """The mentions as a file has them, and its schema: `other_golds` is there only where one has several golds."""
    schema, place = MENTION_SCHEMA, MENTION_SCHEMA.get_field_index("images")
    if any(len(_listed(ids)) for ids in mentions.get(OTHER_GOLDS.name, ())):
        schema = schema.insert(place, OTHER_GOLDS)
    return conform(mentions, schema, empty_lists=("images",)), schema


def write_document(
    folder: Path,
    of_entities: Mapping[str, str],
    of_mentions: Mapping[str, str],
    of_texts: Mapping[str, str],
    about: Mapping[str, str],
    facts: Mapping[str, Any],
) -> None:
    """Writes `dataset.json` beside tables that are there.

    Args:
        folder: Of the tables.
        of_entities: Column → its hash (`column_hashes`).
        of_mentions: The same of the mentions.
        of_texts: Variant → the `frame_hash` of its table.
        about: `name` and `image_root`.
        facts: `num_entities`, `num_mentions` by split, and whatever else is said.
    """
    kb_hash = hash_of({name: of_entities[name] for name in ("id", "name", "aliases")})
    hashes = {"entities": hash_of(of_entities), "mentions": hash_of(of_mentions)}
    asked = content_hash(
        hashes["entities"], hash_of({name: of for name, of in of_mentions.items() if name != "caption"})
    )
    hashes |= {f"texts/{variant}": each for variant, each in sorted(of_texts.items())}
    document = {
        "format_version": FORMAT_VERSION,
        **about,
        "kb_hash": kb_hash,
        "hash": asked,
        "hashes": hashes,
        "texts": sorted(of_texts),
        **facts,
    }
    (folder / "dataset.json").write_text(json_text(document), encoding="utf-8")


def add_texts(root: Path, variant: str, table: pd.DataFrame, **facts: Any) -> Dataset:
    """Adds an entity text to a dataset folder, or replaces it; other files but `dataset.json` stay as they are.

    Args:
        root: A dataset folder.
        variant: Its name, such as `refreshed-mymodel`.
        table: Columns of `TEXT_SCHEMA`; entities without a text may be left out.
        **facts: Where it comes from; kept in `dataset.json` under `text_facts`.

    Raises:
        DataError: `root` is no dataset folder, or the variant's name cannot be that of a file.
    """
    table = conform(table, TEXT_SCHEMA)
    table["text"] = [one_form(text) if isinstance(text, str) else text for text in table["text"]]
    with folder_lock(root, "an entity text", wait=True):
        dataset = Dataset(root)
        meta = dict(dataset.meta)
        meta["texts"] = sorted({*meta["texts"], variant})
        if facts:
            meta["text_facts"] = meta.get("text_facts", {}) | {variant: facts}
        # Both are written before either gets its name: a full disk leaves both as they were.
        with (
            atomic_path(dataset.root / "dataset.json") as new_about,
            atomic_path(dataset.root / "texts" / f"{check_variant(variant)}.parquet") as new_texts,
        ):
            about = write_frame(new_texts, table, TEXT_SCHEMA, facts=facts)
            meta["hashes"] = meta["hashes"] | {f"texts/{variant}": about["hash"]}
            new_about.write_text(json_text(meta), encoding="utf-8")
    return Dataset(root)
