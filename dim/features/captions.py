"""What a captioner answers about images, kept in the feature cache as `captions.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dim.core.folder_files import read_json_lines, read_parquet
from dim.core.jobs import Block, Workplace
from dim.core.templates import check_template
from dim.data.dataset import LEAST, TIMES, Dataset
from dim.encoders.base import Captioner
from dim.errors import DataError
from dim.features.blocks import Job, decoded_blocks
from dim.features.cache import FeatureCache, Recipe, note_in_log
from dim.features.fields import image_paths
from dim.features.inputs import Inputs, file_state
from dim.features.spread import Means
from dim.images.batches import Paths

AGAIN = "Remove the folder, and run the same command again."
BLOCK_SIZE = 64  #: What a kill may cost: at two answers a second, half a minute.
Item = tuple[Paths, str]  #: The images of a mention and the question about them: what is captioned once.


def caption_inputs(dataset: Dataset, question: str, overwrite: bool = False) -> Inputs:
    """What is to be captioned: an item for each mention that has images and, unless `overwrite`, no caption.

    Raises:
        ConfigError: The question names a field other than `{mention}`.
    """
    mentions = dataset.mentions
    questions = render_questions(question, mentions["mention"].tolist())
    wanted = [overwrite or not has_text(caption) for caption in mentions["caption"].tolist()]
    owners = [
        (paths, asked) if want and paths is not None else None
        for want, paths, asked in zip(wanted, image_paths(mentions["images"]), questions, strict=True)
    ]
    unique = sorted({item for item in owners if item is not None})
    position: dict[Item | None, int] = {item: i for i, item in enumerate(unique)}
    rows = np.fromiter((position.get(owner, -1) for owner in owners), np.int64, len(owners))
    paths = sorted({path for paths, _ in unique for path in paths})
    return Inputs(unique, rows, [file_state(dataset.image_root, path) for path in paths])


def render_questions(template: str, mentions: Sequence[str | None]) -> list[str]:
    """The question about each mention.

    Raises:
        ConfigError: The template names a field other than `{mention}`, or its braces do not pair.

    Example:
        >>> render_questions("Is {mention} here? {{yes}}", ["Ana", None])
        ['Is Ana here? {yes}', 'Is  here? {yes}']
    """
    check_template(template, ["mention"], "a question")
    return [template.format(mention=mention or "") for mention in mentions]


def has_text(caption: Any) -> bool:
    """Tells whether a cell of the column `caption` says anything."""
    return isinstance(caption, str) and bool(caption.strip())


@dataclass(frozen=True)
class Captions:
    """What was said.

    Attributes:
        by_owner: A caption for each mention; None where there is no usable image, nothing was said, or none wanted.
        answers: Columns images, question, answer (null: no usable image) and block, one row an item.
        log: A line a finished block: `time` and `block`.
        manifest: As of other features: what is missing and why.
    """

    by_owner: list[str | None]
    answers: pd.DataFrame
    log: list[dict[str, str]]
    manifest: dict[str, Any]


def cached_captions(
    cache: FeatureCache, captioner: Captioner, inputs: Inputs, image_root: Path, means: Means
) -> Captions:
    """The captions of all owners, from the cache or computed now.

    Args:
        cache: Where finished captions are found and missing ones are kept.
        captioner: Says what is not there.
        inputs: The images and questions, of `caption_inputs`.
        image_root: Of the images.
        means: Who computes.
    """
    recipe = Recipe("captions", "image", captioner.fingerprint, width=0, block_size=BLOCK_SIZE)
    with cache.missing(recipe, inputs) as work:
        if work is not None:
            blocks = partial(caption_blocks, captioner, root=image_root.absolute())
            for block in means.compute("captions", work, blocks, inputs.unique):
                note_in_log(work, {"block": f"{work.plan.key}/{block.index}"})
                work.write(block)
            _write_answers(work, inputs)
    features, folder = cache.written(recipe, inputs), cache.folder(recipe, inputs)
    answers: pd.DataFrame = read_parquet(
        folder / "captions.parquet", f"captions in {folder}", AGAIN, most=(LEAST, TIMES)
    ).to_pandas()
    said = answers["answer"].tolist()
    by_owner = [said[row] if row >= 0 and has_text(said[row]) else None for row in features.rows]
    lines = read_json_lines(folder / "log.jsonl", dict[str, Any], f"the log of captions in {folder}", AGAIN)
    return Captions(by_owner, answers, [line for line in lines if "block" in line], features.manifest)


def _write_answers(work: Workplace, inputs: Inputs) -> None:
    plan = work.plan
    table = {
        "images": [list(paths) for paths, _ in inputs.unique],
        "question": [question for _, question in inputs.unique],
        "answer": [caption for index in sorted(work.notes) for caption in work.notes[index]["captions"]],
        "block": [f"{plan.key}/{row // plan.block_size}" for row in range(plan.num_rows)],
    }
    frame = pd.DataFrame(table, dtype=object)
    frame.to_parquet(work.result / "captions.parquet", index=False)


def caption_blocks(
    captioner: Captioner, items: Sequence[Item], root: Path, job: Job, pending: list[int]
) -> Iterator[Block]:
    """Captions the pending blocks of `items`: blocks of no width, whose notes hold `captions` (null: unusable).

    Raises:
        DataError: The captioner did not give one answer an image.
    """
    for index, batches in decoded_blocks(captioner.preprocess, [paths for paths, _ in items], root, job, pending):
        rows = job.plan.block(index)
        note: dict[str, Any] = {"missing": {}, "failures": {}, "captions": []}
        for first, batch in batches:
            asked = [question for _, question in items[rows.start + first :][: len(batch.inputs)]]
            images = [usable[0] for usable in batch.inputs if usable]
            questions = [question for question, usable in zip(asked, batch.inputs, strict=True) if usable]
            with job.stages.measure("encode"):
                answers = iter(_answers(captioner, images, questions))
            note["captions"] += [next(answers) if usable else None for usable in batch.inputs]
            batch.report(first, note)
            job.advance(len(batch.inputs))
        with job.stages.measure("write"):
            yield Block(index, np.empty((len(rows), 0), np.float32), note)


def _answers(captioner: Captioner, images: list[Any], questions: list[str]) -> list[str]:
    answers = captioner.caption(images, questions) if images else []
    if len(answers) != len(images):
        raise DataError(
            f"{len(images)} answers from the captioner",
            f"{len(answers)}",
            "Correct the captioner: one answer an image.",
        )
    return answers
