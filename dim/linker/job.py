"""A file of questions, answered line by line: streamed, resumable, and no bad line ends it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from dim.core.checksums import sha256
from dim.core.excerpts import few
from dim.core.files import explain_write_errors, growing, remove_leftovers, write_json
from dim.core.folder_files import json_value, read_json
from dim.core.output import taken
from dim.core.progress import shown
from dim.data.table_files import iter_table
from dim.data.table_rows import MENTION_COLUMNS, SYNONYMS, read_columns
from dim.display.counts import count_of
from dim.display.terminal import Console
from dim.errors import ConfigError, DataError, DimError
from dim.features.inputs import file_state
from dim.images.data_url import image_bytes, is_data_url
from dim.images.decoders import Decoders
from dim.images.found_files import path_on_disk
from dim.images.regions import split_region
from dim.judge.folder import SAVED
from dim.linker.answer import ASKED, IMAGE, READ, Question, question_of
from dim.linker.answer_files import (
    ANSWERS,
    ERROR,
    as_written,
    check_format,
    json_line,
    name_whole,
    names_images,
    own_columns,
    whole,
    write_answers,
)
from dim.linker.each import link_each, read_images
from dim.linker.linker import Linker
from dim.linker.opening import content_of, open_linker
from dim.linker.shown import say_calibration

Item = TypeVar("Item")
Made = TypeVar("Made")
KNOWN = (*MENTION_COLUMNS, *SYNONYMS.values())
DECIDING = ("top_k", "batch_size", "evidence", "encoding", "image_root", "judge")  #: Options that the answers hang on.
NUM_DECODERS, IMAGE_S = 2, 120.0  #: Processes that decode images, and seconds that one may take.
MOST_NAMED = 10  #: Columns in a note.
GO_ON = "Free some space, and run the same command again: it goes on where it stood."


@dataclass(frozen=True)
class Options:
    """How the lines are answered; see `dim.cli.link.link`."""

    model: str
    top_k: int
    batch_size: int
    device: str
    evidence: bool
    encoding: str | None
    trust: str | None = None
    dataset: Path | None = None
    image_root: Path | None = None
    judge: str = SAVED


@dataclass(frozen=True)
class _Row:
    """A row of the input.

    Attributes:
        where: It stands.
        kept: What is written beside its answers.
        question: That it asks, or why it asks none.
    """

    where: str
    kept: dict[str, Any]
    question: Question | Exception


@dataclass(frozen=True)
class Counted:
    """What a file of questions holds.

    Attributes:
        total: Rows, those that cannot be read among them.
        content: A hash of the file.
        images: A hash of the images that it names: path, size and time of each.
        notes: How it is read.
    """

    total: int
    content: str
    images: str
    notes: list[str]


def link_file(source: Path, output: Path, options: Options) -> None:
    """Answers each row of `source` into `output`; a row that is no question gets an `error`.

    Raises:
        ConfigError: `output` is there already, is of no known format, or was begun with another model, input or
            options.
        DataError: `source` cannot be read, or none of its rows could be answered.
    """
    if options.batch_size < 1:
        raise ConfigError("batch_size of at least 1", str(options.batch_size), "Raise it.")
    check_format(output)
    journal, state = output.with_name(f"{output.name}.partial"), output.with_name(f"{output.name}.state.json")
    there = output if output.exists() else whole(output)
    if output.exists() and not state.exists():
        raise taken(output)
    console = Console(stderr=True)
    counted = count(source, options.encoding, own_columns(output))
    for note in counted.notes:
        console.say(f"note: {note}", highlight=False)
    content = content_of(options.model, options.dataset)
    deciding = {name: str(value) if isinstance(value := getattr(options, name), Path) else value for name in DECIDING}
    asked = {"model": content, "input": counted.content, "images": counted.images, **deciding}
    if there.exists():
        if not _is_answered(output, journal, state, asked):
            raise taken(there)
        state.unlink()
        remove_leftovers(output.parent)
        console.say(f"{count_of(counted.total, 'row')} answered before: {output}")
        return
    done, failed = _resume(journal, state, asked)
    where = (options.dataset, options.image_root, options.judge)
    linker = open_linker(options.model, options.device, options.trust, *where)
    if names_images(output):
        linker.knowledge.tell_of_images_elsewhere()
    say_calibration(linker)
    if content_of(options.model, options.dataset) != content:
        raise ConfigError("a model that stays", f"another at {options.model} meanwhile", "Run the same command again.")
    rows = islice(iter_table(source, options.encoding, KNOWN), done, None)
    with (
        shown("link", counted.total, done=done, console=console) as advance,
        explain_write_errors(journal, GO_ON),
        growing(journal) as add,
    ):
        for places, results in _answered(linker, rows, source, options):
            failed.add(results, places)
            add("".join(map(json_line, results)).encode())
            advance(len(results))
    write_answers(journal, output)
    state.unlink()
    _report(counted.total, failed, output)


def _answered(
    linker: Linker, rows: Iterator[tuple[str, dict[str, Any] | DataError]], source: Path, options: Options
) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """A batch of rows at a time: where they stand, and what is written for each. Images are read one batch ahead."""
    batches = iter(lambda: list(islice(rows, options.batch_size)), [])
    with Decoders(NUM_DECODERS, IMAGE_S) as decoders:
        for batch in one_ahead(batches, lambda batch: _read_rows(linker, batch, source, decoders)):
            yield [row.where for row in batch], _answer_rows(linker, batch, options)


class Failed:
    """Rows that could not be answered: how many, and the first."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""

    def add(self, results: list[dict[str, Any]], places: list[str]) -> None:
        """Counts results, with where their rows stand."""
        for result, place in zip(results, places, strict=True):
            if ERROR in result:
                self.first = self.first or f"{place}: {result[ERROR]}"
                self.count += 1


def count(source: Path, encoding: str | None, replaced: Collection[str] = ()) -> Counted:
    """The rows of a file of questions.

    Args:
        source: The file.
        encoding: Of its text.
        replaced: Columns that the answers take, whatever the file has there.

    Raises:
        DataError: It cannot be read, has no rows, or none of them asks anything.
    """
    notes: list[str] = []
    total, asks, first, columns, images = 0, False, "", dict[str, None](), hashlib.sha256()
    for where, row in iter_table(source, encoding, KNOWN, notes):
        total += 1
        if isinstance(row, dict):
            read = read_columns(row, READ)
            columns |= {name: None for name in row if name not in read}
        if not asks or _names_images(row):
            try:
                images.update(_state_of_images(_question(row, source)))
                asks = True
            except DimError as error:
                first = first or f"{where}: {short(error)}"
    if not total:
        raise DataError(f"questions in {source}", "none", "Write one a row.")
    if not asks:
        raise DataError(
            f"rows of {', '.join(ASKED)} in {source}",
            f"an error in each of {total:,}; the first, {first}",
            "Put it right.",
        )
    for said, names in (
        ("columns that are kept and not read", [name for name in columns if name not in replaced]),
        ("columns of the input that the answers' own columns replace", [name for name in columns if name in replaced]),
    ):
        if names:
            notes.append(f"{said}: {few(names, MOST_NAMED)}")
    return Counted(total, sha256(source), images.hexdigest(), notes)


def short(error: Exception) -> str:
    """An error in one line."""
    said = "; ".join(" ".join(line.split()) for line in str(error).splitlines() if line.strip())
    return said if isinstance(error, DimError) else f"{type(error).__name__}: {said}"


def _read_rows(
    linker: Linker, batch: list[tuple[str, dict[str, Any] | DataError]], source: Path, decoders: Decoders
) -> list[_Row]:
    """The rows of a batch with their questions, whose images are read."""
    rows: list[_Row] = []
    for where, row in batch:
        kept = {"line": where}
        if isinstance(row, dict):
            kept = {name: value for name, value in row.items() if name not in (ANSWERS, ERROR)}
        try:
            rows.append(_Row(where, kept, _question(row, source)))
        except DimError as error:
            rows.append(_Row(where, kept, error))
    places = [place for place, row in enumerate(rows) if isinstance(row.question, Question)]
    questions = [question for row in rows if isinstance(question := row.question, Question)]
    for place, question in zip(places, read_images(linker, questions, decoders), strict=True):
        rows[place] = replace(rows[place], question=question)
    return rows


def _answer_rows(linker: Linker, batch: list[_Row], options: Options) -> list[dict[str, Any]]:
    """What is written for each row. A batch in which one fails is answered in parts."""
    return [
        row.kept | {ERROR: short(outcome)}
        if isinstance(outcome, Exception)
        else row.kept | {ANSWERS: [as_written(answer, options.evidence) for answer in outcome]}
        for row, outcome in zip(batch, link_each(linker, [row.question for row in batch], options.top_k), strict=True)
    ]


def one_ahead(items: Iterable[Item], work: Callable[[Item], Made]) -> Iterator[Made]:
    """What work makes of each item; a thread makes the next one while the caller is at this one.

    Example:
        >>> list(one_ahead([1, 2, 3], str))
        ['1', '2', '3']
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        ready: deque[Future[Made]] = deque()
        for item in items:
            ready.append(pool.submit(work, item))
            if len(ready) > 1:
                yield ready.popleft().result()
        for last in ready:
            yield last.result()


def _question(row: dict[str, Any] | DataError, source: Path) -> Question:
    """The question of a row, its image found where it stands: in the cell as a data URL, from here, or beside the file.

    Raises:
        DataError: It is none.
    """
    if isinstance(row, DataError):
        raise row
    question = question_of(row, "the row")
    images = question.image if isinstance(question.image, tuple) else (question.image,)
    found = tuple(_found(source, image) if isinstance(image, str) else image for image in images if image is not None)
    return replace(question, image=found) if found else question


def _names_images(row: dict[str, Any] | DataError) -> bool:
    """Whether a row is worth being read for its images alone: most have none, or no such column."""
    return isinstance(row, dict) and any(row[name] for name in row if str(name).casefold() in IMAGE)


def _state_of_images(question: Question) -> bytes:
    """What tells that the images of a question are still the same."""
    images = question.image if isinstance(question.image, tuple) else (question.image,)
    return json.dumps([file_state(Path(), image) for image in images if isinstance(image, str)]).encode()


def _found(source: Path, image: str) -> str | bytes:
    if is_data_url(image):
        return image_bytes(image)
    file, beside = split_region(image)[0], source.parent / split_region(image)[0]
    is_here = Path(file).is_absolute() or _stands(Path(file))
    return image if is_here or not _stands(beside) else str(source.parent / image)


def _stands(path: Path) -> bool:
    return os.path.exists(path_on_disk(path))  # noqa: PTH110 - which no name is too long for


def _is_answered(output: Path, journal: Path, state: Path, asked: dict[str, Any]) -> bool:
    """Whether these questions were answered and a kill came when only their last files were to go: then it ends that.

    What a user put at `output` meanwhile stands beside a journal, or beside answers that have not their name yet.
    """
    if not state.exists() or _state(state) != asked:
        return False
    if not output.exists():
        name_whole(journal, output)
        return True
    return not journal.exists() and not whole(output).exists()


def _state(state: Path) -> dict[str, Any]:
    what = f"what dim link was asked, at {state}"
    found: dict[str, Any] = read_json(state, dict[str, Any], what, "Remove it and the answers beside it.")
    return found


def _resume(journal: Path, state: Path, asked: dict[str, Any]) -> tuple[int, Failed]:
    """How many rows were answered before, and which of them failed; a batch that was cut off goes.

    Batches are then those of a run that was not interrupted: the last digits of a score may depend on its batch.
    """
    failed = Failed()
    if not journal.exists():
        write_json(state, asked)
        return 0, failed
    before = _state(state) if state.exists() else {}
    if other := [name for name, value in asked.items() if name not in before or before[name] != value]:
        raise ConfigError(
            f"the {other[0]} that {journal} was begun with ({before.get(other[0], 'not known')})",
            f"another ({asked[other[0]]})",
            f"Use the same {', '.join(other)}, or remove {journal} to begin anew.",
        )
    done = kept = 0
    with journal.open("r+b") as file:
        # A power cut may leave anything in the place of what was being written.
        with suppress(ValueError):
            while len(batch := list(islice(file, asked["batch_size"]))) == asked["batch_size"] and batch[-1].endswith(
                b"\n"
            ):
                results = [json_value(line, dict[str, Any]) for line in batch]
                failed.add(results, [f"row {done + number}" for number in range(1, len(batch) + 1)])
                done += len(batch)
                kept += sum(map(len, batch))
        file.truncate(kept)
    return done, failed


def _report(total: int, failed: Failed, output: Path) -> None:
    first = f"the first, {failed.first}"
    if failed.count == total:
        raise DataError(
            "a line that can be answered",
            f"an error in each of {total:,}; {first}",
            f"Put the input right; see {output}.",
        )
    errors = f" ({count_of(failed.count, 'error')}; {first})" if failed.count else ""
    Console().say(f"{count_of(total, 'row')} answered: {output}{errors}")
