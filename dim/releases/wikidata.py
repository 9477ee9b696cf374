"""A KB from a dump of Wikidata: streamed, in memory that does not grow with it, resumed after a kill."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypedDict, cast

import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn

from dim.core.files import atomic_path, check_variant, content_hash, write_json
from dim.core.folder_files import read_json
from dim.core.progress import shown
from dim.core.tables import said_by, write_table
from dim.data.dataset import ENTITY_SCHEMA, Dataset
from dim.data.files import explain_read_errors
from dim.data.kb_writer import kb_writer
from dim.data.skipped import Skipped
from dim.display.lines import say
from dim.display.terminal import TextColumn
from dim.errors import ConfigError, DataError
from dim.releases.base import Asked, Converter, Release
from dim.releases.dump_lines import DumpLines
from dim.releases.image_folder import ImageFolder
from dim.releases.wikidata_items import NO_JSON, Extracted, Wanted
from dim.releases.wikidata_workers import extracted, num_workers

VERSION = 2  #: Of what stands in a part: unfinished work of another version starts anew.
PART = 16  #: Blocks a part: what a kill costs at most, 64 MB of lines.
_DUMP = re.compile(r".*\.(json|ndjson|jsonl)(\.gz|\.bz2)?")
TWICE = "items that stand twice (the first counts)"
_TEXT = "text of "  #: Before the columns of a part that are texts.


class Wikidata(Converter):
    """Writes the KB of a dump itself, because it is too large for a `Release`.

    Args:
        languages: Of names and texts, the first one first: `en,de`; None: `en`.
        classes: Of items that are entities, `Q5,Q515`; None: all items are.

    Raises:
        ConfigError: A language cannot be the name of a text, or a class is no id.
    """

    layout = "wikidata"
    needs = "a dump of Wikidata, an item a line: latest-all.json.gz or .bz2, or a part of one"
    kind = "a dump of Wikidata"
    options = ("languages", "classes")

    def __init__(self, languages: str | None = None, classes: str | None = None) -> None:
        self.wanted = _wanted(languages, classes)

    def recognizes(self, root: Path) -> bool:
        """Tells by the first item."""
        if not root.is_file() or not _DUMP.fullmatch(root.name):
            return False
        head = DumpLines(root).head().lstrip(b"[ \r\n\t")
        return head.startswith(b"{") and b'"labels"' in head and re.search(rb'"id"\s*:\s*"[QPL]\d', head) is not None

    def read(self, root: Path) -> Release:
        """Never: raises DataError."""
        raise DataError(
            f"a dataset folder made of {root}",
            "the dump itself, which has no mentions",
            f"Prepare its KB first: dim prepare {root} FOLDER --languages en --classes Q5",
        )

    def write_kb(self, root: Path, out: Path, asked: Asked, **facts: Any) -> Dataset:
        """Writes the entities of a dump, or of a part of one, in which pictures of P18 have their names on Commons.

        The dump is read in parts; each is a file in a folder beside `out` when it is done, so a kill costs one part at
        most, and the same call ends with the same bytes. (What is compressed is unpacked again up to there.) The folder
        goes at the end; what it holds of another dump, or of other options, goes at the start.

        Raises:
            DataError: The dump cannot be read, or gives fewer than two entities; or the plan of unfinished work is
                damaged.
            ConfigError: Texts are asked for, or something else stands where unfinished work would.
        """
        if asked.texts:
            found = f"--texts.{next(iter(asked.texts))}"
            raise ConfigError("a dump without --texts", found, "Add them when it is prepared.")
        with explain_read_errors(root):
            status = root.stat()
        plan = {"size": status.st_size, "changed": status.st_mtime_ns, "languages": self.wanted.languages}
        plan |= {"classes": self.wanted.classes, "version": VERSION, "part": PART}
        work = out.absolute().with_name(f".{out.name}.dim-parts")
        parts = _known_parts(work, content_hash(json.dumps(plan)))
        lines = DumpLines(root)
        if parts:
            say(f"{root.name}: {len(parts):,} parts are there, up to line {sum(each['num_lines'] for each in parts):,}")
        _read_parts(lines, self.wanted, work, parts, status.st_size)
        with atomic_path(out) as temporary:
            name = asked.name or root.name.split(".")[0]
            _write(temporary, work, parts, self.wanted, asked.images, root, name, status.st_size, facts)
        shutil.rmtree(work)
        return Dataset(out)


def _wanted(languages: str | None, classes: str | None) -> Wanted:
    said = [word.strip() for word in (languages or "en").split(",") if word.strip()]
    ids = [word.strip() for word in (classes or "").split(",") if word.strip()]
    if not said:
        raise ConfigError("languages such as en,de", repr(languages), "Name one or more with --languages.")
    for each in ids:
        if not re.fullmatch(r"Q[1-9]\d*", each):
            raise ConfigError("ids of classes such as Q5,Q515", repr(each), "Put --classes right.")
    return Wanted(tuple(dict.fromkeys(map(check_variant, said))), tuple(dict.fromkeys(ids)))


class _Part(TypedDict):
    """What a part says of itself: where it ends in the dump, and what was left out of it."""

    end: int
    num_lines: int
    newest: str
    left: dict[str, Any]
    is_last: bool
    is_cut: bool


def _known_parts(work: Path, key: str) -> list[_Part]:
    """The finished parts in `work`, in order; it is made, or emptied where it is of other work.

    Raises:
        ConfigError: It is no unfinished work.
        DataError: What it says of itself cannot be read.
    """
    plan, what = work / "plan.json", f"unfinished work of dim prepare in {work}"
    if work.exists() and not plan.is_file():
        raise ConfigError(what, "something else", "Move it away.")
    if not work.exists() or read_json(plan, str, what, f"Remove {work}, and run the same command again.") != key:
        shutil.rmtree(work, ignore_errors=True)
        write_json(plan, key)
    found: list[_Part] = []
    for number in count():
        part = said_by(_file(work, number), _Part)
        if not part:
            return found
        found.append(cast(_Part, part))
    return found


def _file(work: Path, number: int) -> Path:
    return work / f"{number:06d}.parquet"


def _read_parts(lines: DumpLines, wanted: Wanted, work: Path, parts: list[_Part], size: int) -> None:
    """Reads what is not in the parts yet, and adds to them."""
    if parts and parts[-1]["is_last"]:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    end, first_line = (parts[-1]["end"] if parts else 0), 1 + sum(each["num_lines"] for each in parts)
    with shown(f"reading {lines.path.name}", size, unit="MB", columns=columns) as advance:
        waiting: list[_Answer] = []
        for block, found in extracted(lines.blocks(end, first_line, advance), wanted, num_workers()):
            if len(waiting) == PART:
                parts.append(_write_part(_file(work, len(parts)), waiting, is_last=False, is_cut=False))
                waiting = []
            waiting.append(_Answer(block.end, block.num_lines, found.newest, found.left, _table(found)))
        parts.append(_write_part(_file(work, len(parts)), waiting, is_last=True, is_cut=lines.is_cut))


@dataclass(frozen=True)
class _Answer:
    """What is kept of a block: not the block, and its rows as Arrow has them."""

    end: int
    num_lines: int
    newest: str
    left: Skipped
    rows: pa.Table


def _write_part(path: Path, answers: list[_Answer], is_last: bool, is_cut: bool) -> _Part:
    left = Skipped()
    for answer in answers:
        left.add_all(answer.left.as_json())
    part = _Part(
        end=answers[-1].end if answers else 0,
        num_lines=sum(answer.num_lines for answer in answers),
        newest=max((answer.newest for answer in answers), default=""),
        left=left.as_json(),
        is_last=is_last,
        is_cut=is_cut,
    )
    rows = pa.concat_tables(answer.rows for answer in answers) if answers else pa.table({})
    with atomic_path(path) as temporary:
        write_table(temporary, rows, part)
    return part


def _table(found: Extracted) -> pa.Table:
    columns = [pa.array(found.columns[field.name], field.type) for field in ENTITY_SCHEMA]
    texts = {f"{_TEXT}{variant}": pa.array(texts, pa.string()) for variant, texts in found.texts.items()}
    return pa.table([*columns, *texts.values()], names=[*ENTITY_SCHEMA.names, *texts])


class _Seen:
    """The ids that came: a bit each, a set beyond where Wikidata will be for long."""

    def __init__(self, most: int = 1 << 28) -> None:
        self._bits, self._others, self._most = bytearray(), set[int](), most

    def is_new(self, entity_id: str) -> bool:
        number = int(entity_id[1:])
        if number >= self._most:
            known = number in self._others
            self._others.add(number)
            return not known
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(max(place + 1 - len(self._bits), 1 << 16)))
        known = bool(self._bits[place] & bit)
        self._bits[place] |= bit
        return not known


def _tables(work: Path, parts: list[_Part], left: Skipped) -> Iterator[pa.Table]:
    """The rows of all parts, each entity once."""
    seen = _Seen()
    for number in range(len(parts)):
        for batch in pq.ParquetFile(_file(work, number)).iter_batches(batch_size=8192):
            ids = batch.column("id").to_pylist()
            is_new = [seen.is_new(each) for each in ids]
            if not all(is_new):
                for again in (each for each, new in zip(ids, is_new, strict=True) if not new):
                    left.add(TWICE, again)
                batch = batch.filter(pa.array(is_new))
            yield pa.Table.from_batches([batch])


def _write(
    folder: Path,
    work: Path,
    parts: list[_Part],
    wanted: Wanted,
    images: Path | None,
    path: Path,
    name: str,
    size: int,
    meta: dict[str, Any],
) -> None:
    left = Skipped()
    for part in parts:
        left.add_all(part["left"])
    pictures = None if images is None else ImageFolder(images)
    num_pictures = 0
    with kb_writer(folder, wanted.variants) as writer:
        for table in _tables(work, parts, left):
            named = table["images"].to_pylist()
            there = [[each for each in of if pictures and pictures.look_up(each) == "here"] for of in named]
            num_pictures += sum(map(bool, there))
            column = pa.array(there, ENTITY_SCHEMA.field("images").type)
            table = table.set_column(table.schema.get_field_index("images"), "images", column)
            writer.add(table, {variant: table[f"{_TEXT}{variant}"] for variant in wanted.variants})
        if writer.num_entities < 2:
            reasons = "; ".join(f"{number:,} {reason}" for reason, number in left.counts.items())
            raise DataError(
                f"two entities or more in {path}",
                f"{writer.num_entities} ({reasons or 'an empty file'})",
                "Check --languages and --classes (an item's own classes count, not those above them).",
            )
        newest = max(part["newest"] for part in parts)
        notes = ["a KB without mentions: it can be linked to, not trained on"]
        if any(part["is_cut"] for part in parts):
            notes.append(f"{path.name} ends inside its compressed data: it was taken for a part of a dump")
        if left.counts[NO_JSON]:
            notes.append(f"lines that are no JSON were left out: {left.counts[NO_JSON]:,}")
        facts = {
            "source": "Wikidata (wikidata.org), from a dump",
            "licence": "CC0-1.0",
            "dump": {"file": path.name, "bytes": size, "newest_change": newest or None},
            "languages": list(wanted.languages),
            "classes": list(wanted.classes),
            "lines_read": sum(part["num_lines"] for part in parts),
            "skipped": left.as_json(),
            "entities_with_image": num_pictures,
            "entities_without_text": {v: writer.num_entities - n for v, n in writer.num_texts().items() if n},
            "notes": notes,
        }
        about = {"name": name, "image_root": str(images.resolve()) if images else "."}
        writer.finish(folder, about, facts | meta)
