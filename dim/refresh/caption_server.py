"""Captions by a vision model behind an OpenAI-compatible server: budgeted, recorded one by one, resumable."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from dim.core.files import content_hash
from dim.errors import ConfigError
from dim.images.reading import UnusableImageError, load_image
from dim.refresh.answers import Answer, AnswerLog, Keep
from dim.refresh.asking import Asker, Request
from dim.refresh.budget import Budget
from dim.refresh.chat_server import ChatServer
from dim.refresh.client import Endpoint
from dim.refresh.pictures import QUESTION, SightPicture, data_url
from dim.refresh.progress import answer_progress
from dim.refresh.prompt import Prompt
from dim.refresh.reply import RETRIED, usable_text
from dim.refresh.tokens import LARGEST_SIDE, TokenCounter

BLIND = "blind"  #: The status of a model that could not tell what a picture shows.
SIGHT = "(a picture made to see whether the model sees)"


@dataclass(frozen=True)
class CaptionServer(ChatServer):
    """A vision model behind a server that speaks OpenAI's chat completions, and what asking it may cost.

    Attributes:
        question: What is asked; `{mention}` is filled in with the mention's name.
        image_side: Pixels of the longer side, at most 2,048, down to which images are scaled before they are sent, as
            JPEG.
        check_sight: Ask about a picture made for it first: a model that cannot tell what it shows is refused.
    """

    PREFIX: ClassVar[str] = "--server."

    question: str = "Who are the characters in the picture?"
    image_side: int = 768
    check_sight: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.image_side <= LARGEST_SIDE:
            raise ConfigError(
                f"an image_side of at least 1 and at most {LARGEST_SIDE:,}", f"{self.image_side:,}", "Change it."
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that shape an answer, for the record."""
        return self.asked.as_json() | {"image_side": self.image_side}

    @property
    def fingerprint(self) -> str:
        """Names all that an answer depends on but the image. The weights behind a server's name are not to be known."""
        # A finished answer was not cut, so max_tokens is no part of it.
        options = f"temperature={self.temperature}, seed={self.seed}, image_side={self.image_side}"
        if self.request_fields:
            options += f", request_fields={json.dumps(self.request_fields, sort_keys=True)}"
        return f"CaptionServer({self.model}, question={self.question!r}, {options})"

    def request_hash(self, *parts: str) -> str:
        """A hash of all that a finished answer depends on; `parts` tell the image and the question."""
        temperature = None if self.temperature is None else float(self.temperature)
        asked = replace(self.asked, temperature=temperature)
        return content_hash(self.model, str(self.image_side), *asked.of_hash(), *parts)


@dataclass(frozen=True)
class Picture:
    """One question about an image.

    Attributes:
        paths: Relative to the image folder; the first usable one is shown.
        question: The question.
        state: Changes with the content of any of the files.
    """

    paths: tuple[str, ...]
    question: str
    state: str


@dataclass
class CaptionAsking:
    """Asks a server about pictures, and keeps each answer in a record when it comes.

    Attributes:
        server: The server.
        pictures: What is asked, each once.
        image_root: Of the images.
        log: The record; whoever asks holds it.
        failures: Path → why an image is unusable; filled by asking.
        missing: Picture → why none of its images can be used.
        asker: Who asks; None before.
    """

    server: CaptionServer
    pictures: Sequence[Picture]
    image_root: Path
    log: AnswerLog
    failures: dict[str, str] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    asker: Asker | None = None

    @cached_property
    def hashes(self) -> list[str]:
        """That of each picture's request."""
        return [self.server.request_hash(each.question, each.state) for each in self.pictures]

    @cached_property
    def latest(self) -> dict[str, Answer]:
        """The last answer to each request in the record, by hash."""
        return {answer.request_hash: answer for answer in self.log.read()[0]}

    def answer(self, picture: int) -> Answer | None:
        """The finished answer about a picture; None where there is none."""
        found = self.latest.get(self.hashes[picture])
        return found if found is not None and found.status == "ok" else None

    @property
    def pending(self) -> list[int]:
        """The pictures without a finished answer, those that failed before last."""
        left = [picture for picture in range(len(self.pictures)) if self.answer(picture) is None]
        return sorted(left, key=lambda picture: self.hashes[picture] in self.latest)

    @cached_property
    def budget(self) -> Budget:
        """What may be used, and what was."""
        return self.server.budget()

    async def run(self, add: Keep) -> str:
        """Asks for what is pending.

        Args:
            add: Keeps an answer in the log.

        Returns:
            Why it stopped early, in words; empty when all were asked.

        Raises:
            ConfigError: The model does not see, or the server cannot be reached, or answers nobody like this.
        """
        server, pending = self.server, self.pending
        requests = self._requests(pending)
        first = next(requests, None)
        if first is None:
            return ""
        num_asked = len({self.hashes[picture] for picture in pending})
        with answer_progress("caption", self.budget, num_asked) as advance:
            async with server.endpoint() as endpoint:
                if server.check_sight and (stop := await self._check_sight(endpoint, add)):
                    return stop

                def keep(answer: Answer) -> None:
                    self._keep(add, answer)
                    advance(answer)

                self.asker = self._asker(endpoint, keep, self._has_answered)
                return await self.asker.run(chain([first], requests))

    async def _check_sight(self, endpoint: Endpoint, add: Keep) -> str:
        """Asks about a picture made for it, once for each server and model. Returns why there is no answer."""
        key = self.server.request_hash(SIGHT, endpoint.url)
        known = self.latest.get(key)
        if known is not None and known.status == "ok":
            return ""
        picture = SightPicture.drawn(random.SystemRandom())
        told: list[Answer] = []
        prompt = Prompt("", QUESTION, data_url(picture.image, self.server.image_side))
        stop = await self._asker(endpoint, told.append).run([Request(SIGHT, prompt, key)])
        if not told:
            raise ConfigError("room in the budget for a first question", stop, "Raise it, or set check_sight to false.")
        (answer,) = told
        if answer.status in RETRIED:
            self._keep(add, answer)
            return stop
        is_told = answer.status == "ok" and picture.is_told_by(usable_text(answer.text))
        expected = f"{', '.join(picture.colours)}, {picture.number}"
        said = answer.text.strip()[:200] or f"nothing ({answer.status}, {answer.detail})"
        self._keep(add, replace(answer, status="ok" if is_told else BLIND, detail=f"shown: {expected}"))
        if not is_told:
            raise ConfigError(
                f"a model that sees images: the answer to a picture of {expected}",
                f"'{said}' from {self.server.model} at {endpoint.url}",
                "Name a vision model (a server may drop the image of one that is none), raise max_tokens where the "
                "answer was cut, or set check_sight to false for a model that sees and cannot count.",
            )
        return ""

    @property
    def _has_answered(self) -> bool:
        return any(answer.is_to(self.server.model, self._prompt_hash) for answer in self.latest.values())

    @property
    def _prompt_hash(self) -> str:
        return content_hash(self.server.question)

    def _asker(self, endpoint: Endpoint, keep: Callable[[Answer], None], has_answered: bool = False) -> Asker:
        return self.server.asker(endpoint, self.budget, TokenCounter(), self._prompt_hash, keep, has_answered)

    def _keep(self, add: Keep, answer: Answer) -> None:
        add(answer)
        self.latest[answer.request_hash] = answer

    def _requests(self, pending: Sequence[int]) -> Iterator[Request]:
        """The requests, each image decoded when its turn comes; what two pictures ask alike is asked once."""
        begun: set[str] = set()
        for picture in pending:
            asked = self.pictures[picture]
            url = self._shown(picture)
            if url is not None and self.hashes[picture] not in begun:
                begun.add(self.hashes[picture])
                yield Request(asked.paths[0], Prompt("", asked.question, url), self.hashes[picture])

    def _shown(self, picture: int) -> str | None:
        """The first usable image of a picture; None where there is none."""
        for path in self.pictures[picture].paths:
            try:
                image = load_image(self.image_root / path, self.image_root, self.server.image_side)
                return data_url(image, self.server.image_side)
            except UnusableImageError as error:
                self.failures[path] = error.reason
        self.missing[picture] = self.failures[self.pictures[picture].paths[0]]
        return None
