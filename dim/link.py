"""`dim link`, `dim export` and `dim index`: a linker from the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dim.errors import ConfigError, DataError
from dim.linker import Answer, Linker, Question
from dim.linker.answer import question_of
from dim.linker.each import link_each
from dim.linker.generative import GenerativeLinker
from dim.linker.opening import open_linker
from dim.progress import shown
from dim.storage import write_json

#: The evidence that the table shows; JSON has all.
SHOWN = ("vectors", "name", "exact", "rest_in_context", "words_share", "per_token")


def link(
    model: str,
    mention: str = "",
    context: str = "",
    image: Path | None = None,
    candidates: list[str] | None = None,
    top_k: int = 5,
    as_json: bool = False,
    input: Path | None = None,  # noqa: A002 - the option is --input
    output: Path | None = None,
    batch_size: int = 256,
    device: str = "auto",
) -> None:
    """Links one mention, or each line of a file, to the entities of a linker's KB.

    A file is read and answered in batches; interrupted, the same command goes on where it stood.

    Args:
        model: A folder that `dim export` wrote, the run folder of `dim fit`, or an id on the Hugging Face hub.
        mention: The name as it stands in the text.
        context: The text around it.
        image: An image that belongs to it.
        candidates: Ids of the entities that compete; the default is the whole KB.
        top_k: Answers a mention at most.
        as_json: JSON in the place of a readable table.
        input: A file of JSON lines `{mention, context?, image?, candidates?, id?}` in the place of one mention.
        output: Where its answers go, a JSON line each: the line that was read, with `answers` (or `error`).
        batch_size: Lines that are answered at once.
        device: `auto`, `cpu`, `cuda` …
    """
    if (input is None) != (output is None) or (input is not None and (mention or context or image or candidates)):
        raise ConfigError(
            "one --mention (with --context, --image, --candidates), or --input FILE with --output FILE",
            "a mixture of both",
            "Take one of them out.",
        )
    if input is None:
        question = Question(mention, context, image, candidates)
        answers = open_linker(model, device).link_batch([question], top_k)[0]
        show(answers, as_json)
    else:
        assert output is not None
        link_file(model, input, output, top_k, batch_size, device)


def export(
    run: Path,
    folder: Path,
    index: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto",
    images: Literal["copies", "paths", "none"] = "paths",
) -> None:
    """Writes the linker of a run into one folder: weights, KB, index, local encoders, a model card; no pickle.

    Args:
        run: A folder that `dim fit` wrote.
        folder: Where the linker shall stand; what stood there is replaced.
        index: How vectors are searched; `auto` chooses by the size of the KB.
        images: `copies` of the KB's images, that go where the folder goes, their `paths` on this machine, or `none`.
    """
    linker = Linker.from_checkpoint(run, index=index)
    linker.save(folder, images)
    if not isinstance(linker, GenerativeLinker):
        _say_index(linker)
    Console().print(f"written: {folder} ({_size(folder) / 1e6:,.0f} MB, {len(linker):,} entities)", soft_wrap=True)


def index(folder: Path, kind: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto") -> None:
    """Builds the index of a linker's folder anew, such as after many entities were added, or of another kind.

    Args:
        folder: A folder that `dim export` or `Linker.save` wrote.
        kind: `auto` chooses by the size of the KB.
    """
    linker = Linker.from_pretrained(folder)
    linker.rebuild_index(kind)
    linker.save(folder)
    _say_index(linker)
    Console().print(f"written: {folder}", soft_wrap=True)


def show(answers: Sequence[Answer], as_json: bool) -> None:
    """Prints the answers to one mention."""
    if as_json:
        print(json.dumps([answer.as_json() for answer in answers], ensure_ascii=False, indent=2))
        return
    parts = [part for part in SHOWN if any(part in answer.evidence for answer in answers)]
    table = Table(expand=True)
    for heading in ("", "id", "name", "score" if not answers or answers[0].probability is None else "probability"):
        table.add_column(heading, no_wrap=True)
    for part in parts:
        table.add_column(part, justify="right", no_wrap=True)
    table.add_column("text", overflow="ellipsis", no_wrap=True, ratio=1)
    for place, answer in enumerate(answers, start=1):
        score = f"{answer.score:.3f}" if answer.probability is None else f"{answer.probability:.1%}"
        evidence = [f"{answer.evidence[part]:.2f}" if part in answer.evidence else "" for part in parts]
        # Text, as a name in square brackets is no markup.
        row = (str(place), answer.id, answer.name, score, *evidence, answer.text or "")
        table.add_row(*(Text(value) for value in row))
    Console().print(table)


def link_file(model: str, source: Path, output: Path, top_k: int, batch_size: int, device: str) -> None:
    """Answers each line of `source` into `output`; a line that is no question gets an `error`.

    Raises:
        ConfigError: `output` is there already, or was begun with another model, input, top_k or batch_size.
        DataError: `source` cannot be read.
    """
    if batch_size < 1 or top_k < 1:
        raise ConfigError("batch_size and top_k of at least 1", f"{batch_size} and {top_k}", "Raise them.")
    if output.exists():
        raise ConfigError(f"a new file {output}", "one that is there", "Name another --output, or remove it.")
    total, content = _count(source)
    partial, state = output.with_name(f"{output.name}.partial"), output.with_name(f"{output.name}.state.json")
    asked = {"model": model, "input": content, "top_k": top_k, "batch_size": batch_size}
    done, errors = _resume(partial, state, asked, batch_size)
    linker = open_linker(model, device)
    with (
        shown("link", total, done=done) as advance,
        source.open(encoding="utf-8", newline="\n") as lines,
        partial.open("a", encoding="utf-8") as answered,
    ):
        rest = islice((line for line in lines if line.strip()), done, None)
        while batch := list(islice(rest, batch_size)):
            results = _answer_lines(linker, batch, top_k)
            errors += sum("error" in result for result in results)
            answered.writelines(_json_line(result) for result in results)
            answered.flush()
            advance(len(batch))
    partial.replace(output)
    state.unlink()
    Console().print(f"{total:,} lines answered: {output}" + (f" ({errors:,} errors)" if errors else ""), soft_wrap=True)


def _answer_lines(linker: Linker, lines: Sequence[str], top_k: int) -> list[dict[str, Any]]:
    """What is written for each line. A batch with an image that cannot be read is answered in parts."""
    results: list[dict[str, Any]] = []
    questions: list[tuple[int, Question]] = []
    for line in lines:
        record: dict[str, Any] = {"line": line.strip()}
        try:
            if not isinstance(read := json.loads(line), dict):
                raise DataError("a JSON object", type(read).__name__, 'Write {"mention": …}.')
            record = read
            given = {name: value for name, value in record.items() if name != "id" and value is not None}
            questions.append((len(results), question_of(given)))
        except (ValueError, TypeError, RecursionError, DataError) as error:
            record = record | {"error": _short(error)}
        results.append(record)
    outcomes = link_each(linker, [question for _, question in questions], top_k, DataError)
    for (place, _), outcome in zip(questions, outcomes, strict=True):
        if isinstance(outcome, Exception):
            results[place] |= {"error": _short(outcome)}
        else:
            results[place] |= {"answers": [answer.as_json() for answer in outcome]}
    return results


def _json_line(result: dict[str, Any]) -> str:
    line = json.dumps(result, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a bad line that is given back may hold half a character
        line = json.dumps(result)
    return line + "\n"


def _resume(partial: Path, state: Path, asked: dict[str, Any], batch_size: int) -> tuple[int, int]:
    """How many lines were answered before, and with how many errors; a batch that was cut off goes.

    Batches are then those of a run that was not interrupted: the last digits of a score may depend on its batch.
    """
    if not partial.exists():
        write_json(state, asked)
        return 0, 0
    before = json.loads(state.read_text(encoding="utf-8")) if state.exists() else None
    if before != asked:
        raise ConfigError(
            f"what {partial} was begun with ({before})", str(asked), f"Use the same options, or remove {partial}."
        )
    done = errors = kept = 0
    with partial.open("r+b") as file:
        while len(batch := list(islice(file, batch_size))) == batch_size and batch[-1].endswith(b"\n"):
            done += batch_size
            errors += sum("error" in json.loads(line) for line in batch)
            kept += sum(map(len, batch))
        file.truncate(kept)
    return done, errors


def _count(source: Path) -> tuple[int, str]:
    """The lines that are not blank, and a hash of them all."""
    digest, count = hashlib.sha256(), 0
    try:
        with source.open("rb") as lines:
            for line in lines:
                digest.update(line)
                count += bool(line.decode("utf-8").strip())
        return count, digest.hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"a file of JSON lines in UTF-8 at {source}", str(error), "Check the path.") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())


def _say_index(linker: Linker) -> None:
    found = linker.index
    recall = (
        "exact"
        if found.kind == "exact"
        else f"recall@10 {found.recall.at_10:.3f}, @{found.recall.k} {found.recall.at_k:.3f}"
    )
    Console().print(f"index: {found.kind}, {len(found):,} vectors of {found.width}, {recall}", soft_wrap=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
