"""What all routes share: the linker behind its batcher, and the way from a question to its answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from starlette.requests import Request

import dim
from dim.errors import DimError
from dim.linker import Answer, Linker, Question
from dim.linker.each import Outcome
from dim.linker.finders import MentionFinder
from dim.serve.about import about, image_url
from dim.serve.batcher import Batcher
from dim.serve.evidence import HowMuch, told
from dim.serve.images import Images
from dim.serve.kept_images import KeptImages
from dim.serve.metrics import Metrics
from dim.serve.problems import Problem, error_parts
from dim.serve.reader import Reader, while_there
from dim.serve.schema import AnswerOut, AskedWithImage, ErrorParts, Failed, Linked
from dim.serve.settings import Settings


class Edition:
    """A linker as it was opened, and what the server says of it; `/reload` makes another.

    Args:
        linker: The server owns it: nothing else may use it meanwhile.
        settings: The limits, which it says, too.
        images: The pictures of its folder, if it is one that has them.
        finder: Finds the mentions of texts; None: the linker's `name_finder`.
    """

    def __init__(
        self,
        linker: Linker,
        settings: Settings,
        images: KeptImages | None = None,
        finder: MentionFinder | None = None,
    ) -> None:
        self.linker, self.images, self.finder = linker, images, finder or linker.name_finder
        self.about = about(linker, settings)

    def picture(self, row: int, image: str) -> tuple[str, Path]:
        """Where an image of an entity stands, also when the linker's folder was replaced; and what it may not leave."""
        root = self.linker.knowledge.image_root(row, image)
        return (image, root) if self.images is None else self.images.place_of(image, root)


class Served:
    """A linker that is served.

    Attributes:
        edition: What answers a question that comes now. One that came before keeps the one that it came to.
    """

    def __init__(self, edition: Edition, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(dim.__version__)
        self.batcher = Batcher(settings, self.metrics)
        self.reader = Reader()
        self.images = Images(settings)
        self.finding = ThreadPoolExecutor(1, "finder")  # no finder needs to be made for threads
        self.show(edition)

    def show(self, edition: Edition) -> None:
        """Has a linker answer what comes from now on."""
        self.edition = edition
        self.metrics.entities.set(len(edition.linker))

    async def stop(self) -> None:
        """Returns when all that was accepted is answered."""
        await self.batcher.stop()
        self.images.stop()
        self.reader.stop()
        self.finding.shutdown()

    def check_top_k(self, top_k: int) -> None:
        """Raises Problem (422) where more answers are wanted than allowed."""
        if top_k > self.settings.max_top_k:
            raise Problem(422, f"top_k of at most {self.settings.max_top_k}", str(top_k), "Lower it.")

    async def answer(self, request: Request, questions: Sequence[Question], top_k: int) -> list[Outcome]:
        """What comes of questions, as long as their client is there."""
        with self.batcher.places(len(questions)):
            return await while_there(request, self.batcher.answer(self.edition.linker, questions, top_k))

    async def answer_with_image(self, request: Request, asked: AskedWithImage, image: bytes) -> Outcome:
        """What comes of a question with an uploaded image."""
        linker = self.edition.linker

        async def answered() -> list[Outcome]:
            ready = await self.images.ready(image, linker.question_reader)
            question = Question(asked.mention, asked.context, ready, asked.candidates)
            return await self.batcher.answer(linker, [question], asked.top_k)

        with self.batcher.places(1):
            return (await while_there(request, self.batcher.in_time(answered())))[0]

    def answers_of(self, outcome: Outcome) -> list[AnswerOut]:
        """The answers as JSON. Raises what stands there in their place."""
        if isinstance(outcome, Exception):
            raise outcome
        return [answer_out(answer, self.settings.root_path, self.settings.evidence) for answer in outcome]

    def result_of(self, outcome: Outcome) -> Linked | Failed:
        """The answers, or the error, of one question of many. Raises what is not the question's fault."""
        if isinstance(outcome, DimError) or (isinstance(outcome, Problem) and outcome.status_code < 500):
            return Failed(error=ErrorParts(**error_parts(outcome.expected, outcome.found, outcome.remedy)))
        return Linked(answers=self.answers_of(outcome))


def answer_out(answer: Answer, root_path: str = "", evidence: HowMuch = "full") -> AnswerOut:
    """An answer as JSON; its images are paths on this server."""
    return AnswerOut(
        id=answer.id,
        name=answer.name,
        text=answer.text,
        score=answer.score,
        probability=answer.probability,
        evidence=told(answer.evidence, evidence),
        images=[image_url(answer.id, place, root_path) for place in range(len(answer.images))],
    )
