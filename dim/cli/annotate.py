"""`dim annotate`: the mentions of a text, found and linked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dim.core.output import taken
from dim.data.files import open_text
from dim.display.counts import count_of
from dim.display.lines import say, warn
from dim.errors import ConfigError, DataError
from dim.judge.folder import SAVED
from dim.linker import Annotation
from dim.linker.answer_files import ANSWERS, as_written, check_format, names_images, write_results
from dim.linker.finders.named import FinderKind, open_finder
from dim.linker.given import check_top_k
from dim.linker.opening import open_linker
from dim.linker.shown import say_calibration, show_annotations

STDIN = "-"


def annotate(
    model: str,
    text: str = "",
    input: Path | None = None,  # noqa: A002 - the option is --input
    image: Path | None = None,
    finder: FinderKind = "dictionary",
    finder_model: str | None = None,
    finder_labels: list[str] | str | None = None,
    ignore_case: bool = False,
    top_k: int = 5,
    as_json: bool = False,
    output: Path | None = None,
    evidence: bool = False,
    collective: bool = False,
    encoding: str | None = None,
    device: str = "auto",
    trust: str | None = None,
    dataset: Path | None = None,
    image_root: Path | None = None,
    judge: str = SAVED,
) -> None:
    """Finds the mentions of a text, and links each to the entities of a linker's KB.

    Args:
        model: A folder that `dim export` wrote, the run folder of `dim fit`, or an id on the Hugging Face hub.
        text: The text.
        input: A file in its place; `-` reads standard input.
        image: An image that belongs to the text: each of its mentions is linked with it.
        finder: What finds the mentions: a `dictionary` of the KB's names and aliases, `spacy`, or
            `gliner`.
        finder_model: Of spaCy the name of an installed pipeline, of GLiNER an id on the hub; or its folder.
        finder_labels: A list, or one text with `|` between them: those of spaCy's entities that count, or what GLiNER
            looks for.
        ignore_case: Has the dictionary find names in any case.
        top_k: Answers a mention at most; the screen shows the best one.
        as_json: JSON, with all answers and all evidence, in the place of a readable list.
        output: A new file in the place of the screen, by its name in JSON lines (.jsonl), .csv, .tsv or .parquet: a row
            a mention, with `start`, `end` (characters of the text, from 0), `mention` and its answers.
        evidence: Write what each score was made of into the file, too.
        collective: Answer the mentions together, as `dim collective` has learned it.
        encoding: Of the input; the default is what its first bytes tell, or UTF-8.
        device: `auto`, `cpu`, `cuda` …
        trust: Packages, separated by commas, whose classes the linker's folder may name; they are imported.
        dataset: Of a run, where its dataset stands now, if it has moved.
        image_root: Of a linker's folder, where the images of its KB stand that are not in it; answers name no others.
        judge: Who reads the mentions that the ranker is not sure of, where `dim judge` set one up: `saved`, `none`, or
            the URL of the server that has its model.
    """
    check_top_k(top_k)
    if bool(text) == (input is not None):
        raise ConfigError("--text, or --input FILE", "both" if text else "neither", "Give the text, or name its file.")
    if output is None and evidence:
        raise ConfigError("--evidence beside --output", "none", "Use --as_json true: it has all evidence.")
    if output is not None:
        _check_output(output, as_json)
    if input is not None:
        text = _read(input, encoding)
    linker = open_linker(model, device, trust, dataset, image_root, judge)
    if as_json or (output is not None and names_images(output)):
        linker.knowledge.tell_of_images_elsewhere()
    found = open_finder(linker.knowledge, finder, finder_model, finder_labels, ignore_case)
    annotations = linker.annotate(text, image=image, top_k=top_k, finder=found, collective=collective)
    say_calibration(linker)
    if output is not None:
        _write(annotations, output, evidence)
    elif annotations or as_json:
        show_annotations(annotations, as_json)
    if not annotations:
        warn(_nothing(finder, len(linker), ignore_case))


def _check_output(output: Path, as_json: bool) -> None:
    if as_json:
        raise ConfigError("--as_json for the screen", "--output", "The name of --output says the format: x.jsonl.")
    check_format(output)
    if output.exists():
        raise taken(output)


def _read(path: Path, encoding: str | None) -> str:
    """The text of a file, every character of it: places count them."""
    if str(path) != STDIN:
        with open_text(path, encoding, newline="") as file:
            text = file.read()
    else:
        try:
            text = sys.stdin.buffer.read().decode(encoding or "utf-8-sig")
        except LookupError as error:
            raise ConfigError("an encoding, such as utf-8 or cp1252", str(encoding), "Name another.") from error
        except UnicodeError as error:
            raise DataError(f"standard input in {encoding or 'utf-8'}", str(error), "Say its --encoding.") from error
    if not text.strip():
        raise DataError(f"a text in {path}", "none", "Write one.")
    return text


def _write(annotations: Sequence[Annotation], output: Path, evidence: bool) -> None:
    rows = [
        each.to_dict() | {ANSWERS: [as_written(answer, evidence) for answer in each.answers]} for each in annotations
    ]
    write_results(rows, output)
    say(f"{count_of(len(rows), 'mention')} linked: {output}")


def _nothing(finder: FinderKind, num_entities: int, ignore_case: bool) -> str:
    what = f"no name of the {num_entities:,} entities" if finder == "dictionary" else f"nothing that {finder} looks for"
    remedy = " (--ignore_case true looks in any case)" if finder == "dictionary" and not ignore_case else ""
    return f"no mention: {what} stands in the text{remedy}"
