"""A linker's judge: opened with it, and asked about the questions of which its ranker is not sure."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dim.data.entity import Entity
from dim.display.log import log
from dim.errors import ConfigError
from dim.features.live import ReadyImage
from dim.images.given import open_image
from dim.images.reading import UnusableImageError
from dim.images.scaled import shrunk
from dim.judge.contract import Candidate, Case, Judge, Verdict
from dim.judge.folder import JUDGE, SAVED, open_stage
from dim.judge.stage import JudgeStage, combined
from dim.linker.answer import Question
from dim.linker.images import ImageReader
from dim.reranker.ranker import Judged

LOG = log("dim")
REST_S = 60  #: Seconds that a server is left alone which could not be asked.
#: What the evidence of a judged mention says beside what the ranker reads.
EVIDENCE = {
    "judge": "the share that the judge gives the candidate; of a mention that was judged",
    "judge_none": "the share that the judge gives none of them",
    "judge_abstained": "1 where the judge was asked and gave no usable answer: the ranker's stands",
    "ranker_probability": "what the ranker alone says; of a mention that was judged",
}


def stage_for(
    linker: Any,
    folder: Path,
    judge: JudgeStage | Judge | str | None,
    device: str,
    trusted: Sequence[str],
    is_ours: bool = False,
) -> JudgeStage | None:
    """The stage that a linker is opened with; see `Linker.from_pretrained`.

    Raises:
        ConfigError: A judge, or its URL, is given where none was set up; or a stage where there is no ranker.
    """
    ranker = linker.ranker
    if isinstance(judge, JudgeStage) and ranker is None:
        raise ConfigError("a linker with a ranker, which the judge reads after", "none", "Leave judge out.")
    if judge is None or isinstance(judge, JudgeStage):
        return judge
    if not JUDGE.stands_at(folder):
        if judge == SAVED and not folder.exists():
            return None
        if judge != SAVED:
            remedy = "Set it up with its run, then export that: dim judge RUN; or give a JudgeStage."
            raise ConfigError(f"a judge at {folder}, with its weights", "none", remedy)
    return open_stage(folder, ranker, judge, device, trusted, is_ours)


def reader_for(stage: JudgeStage, reader: ImageReader) -> ImageReader:
    """A reader of questions' images that keeps what the judge sees, too."""
    if not stage.judge.reads_images:
        return reader
    return ImageReader(reader.live, reader.wanted, reader.decode, stage.judge.image_side)


def told_of(stage: JudgeStage) -> str:
    """What a model card says of a judge."""
    asked = " (asked once its server is named)" if stage.judge.is_elsewhere else ""
    kind = type(stage.judge).__name__
    return f"{kind} {stage.judge.label}{asked}, where the best candidate is less probable than {stage.threshold:.3f}"


def ask(
    stage: JudgeStage, questions: Sequence[Question], candidates: Sequence[Sequence[Entity]], judged: Sequence[Judged]
) -> tuple[list[Judged], list[Verdict | None]]:
    """What ranker and judge say together of questions, and the judge's verdicts; None of a question that is not judged.

    Where a server cannot be asked the ranker's answers stand: a warning says so, and the answers' evidence.

    Args:
        stage: The judge.
        questions: All of a batch.
        candidates: Of each question that is judged the best ones, the best first; nothing of the others.
        judged: What the ranker says of each.

    Raises:
        ConfigError: A judge on this machine cannot be loaded.
    """
    places = [place for place, said in enumerate(judged) if stage.asks(said)]
    verdicts: list[Verdict | None] = [None] * len(questions)
    cases = [case_of(stage, questions[place], candidates[place]) for place in places]
    found = _decided(stage, cases) if cases else []
    for place, verdict in zip(places, found, strict=True):
        verdicts[place] = verdict
    together = [
        said if verdict is None else combined(said, verdict, stage.top_k, stage.weights)
        for said, verdict in zip(judged, verdicts, strict=True)
    ]
    return together, verdicts


def _decided(stage: JudgeStage, cases: Sequence[Case]) -> list[Verdict]:
    if time.monotonic() >= stage.rests_until:
        try:
            return stage.judge.decide(cases)
        except ConfigError as error:
            if not stage.judge.is_elsewhere:
                raise
            told = "the judge %s cannot be asked, so the ranker's answers stand; it is tried again in %d s: %s"
            LOG.warning(told, stage.judge.label, REST_S, error.found)
            stage.rests_until = time.monotonic() + REST_S  # a question does not wait for the tries of each before it
    return [Verdict(None, status="unreachable")] * len(cases)


def case_of(stage: JudgeStage, question: Question, entities: Sequence[Entity]) -> Case:
    """A question as a judge is asked it."""
    shown = tuple(Candidate(each.id, each.name, each.text) for each in entities)
    asked = "\0".join((question.mention, question.context, *(each.id for each in shown)))
    key = hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16]
    return Case(key, question.mention, question.context, shown, _image(stage.judge, question), question.span)


def evidence_of(stage: JudgeStage | None, verdict: Verdict | None, before: Judged, place: int) -> Mapping[str, float]:
    """What an answer's evidence says of a judge; nothing where none was asked.

    Args:
        stage: The judge.
        verdict: What it said.
        before: What the ranker said.
        place: Of the candidate in the ranker's list.
    """
    if stage is None or verdict is None:
        return {}
    found = {"ranker_probability": float(before.probabilities[place])}
    if verdict.scores is None:
        return found | {"judge_abstained": 1.0}
    shown = before.order[: stage.top_k].tolist()
    if place in shown:
        found["judge"] = float(np.exp(verdict.scores[shown.index(place)]))
    return found if verdict.none is None else found | {"judge_none": float(np.exp(verdict.none))}


def _image(judge: Judge, question: Question) -> Image.Image | None:
    """What the judge sees of a question: of several images the first usable one, as the encoders and a run's judge do.

    Where none can be used, the question was refused before, if anybody else reads it.
    """
    images = question.image if isinstance(question.image, tuple) else (question.image,)
    failed: Exception | None = None
    for image in images if judge.reads_images else ():
        if isinstance(image, ReadyImage):
            return image.seen
        try:
            if image is not None:
                return shrunk(open_image(image), judge.image_side)
        except (UnusableImageError, OSError) as error:
            failed = error
    if failed is not None:
        LOG.warning("the judge sees no image of a question: %s", failed)
    return None
