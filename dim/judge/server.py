"""A judge behind an OpenAI-compatible server: a language model, or a vision-language model that sees the image."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from dim.core.coroutines import run_to_end
from dim.core.files import content_hash, file_name_of
from dim.display.log import log
from dim.errors import ConfigError
from dim.judge.contract import Case, Judge, Verdict
from dim.judge.question import MOST, Asked, JudgeTemplate
from dim.refresh.answers import Answer, AnswerLog, Keep
from dim.refresh.asking import Request
from dim.refresh.budget import Budget
from dim.refresh.chat_server import ChatServer
from dim.refresh.pictures import data_url
from dim.refresh.progress import answer_progress
from dim.refresh.prompt import Parameters
from dim.refresh.tokens import LARGEST_SIDE, TokenCounter

LOG = log("dim")
#: Options that say where, how fast and for how much is asked, and change no answer.
OF_ASKING = (
    *("base_url", "concurrency", "requests_per_minute", "timeout_s", "retries", "backoff_s", "max_requests"),
    *("max_total_tokens", "max_cost", "price_in", "price_out"),
)
MOST_LOGPROBS = 20  #: Alternatives of a token that OpenAI's servers give at most.
NOT_ASKED = "not asked"


@dataclass(frozen=True)
class ServerJudge(ChatServer, Judge):
    """A model behind a server that speaks OpenAI's chat completions, asked for the letter of a candidate.

    The candidates are shuffled, so that their places tell nothing of the ranker's order, and "none of them" may be
    answered. An answer that is no letter is counted, and never guessed at. OPENAI_API_KEY holds the key.

    Attributes:
        template: A Jinja2 file with the fields mention, context, options (each with letter, name and text), none and
            has_image; the default is dim/judge/default_prompt.txt.
        logprobs: Of how many tokens log-probabilities are asked for; 0: of none, and a chosen letter counts as it is.
        sees_images: Whether the mention's image is sent, as a data URL: of a vision-language model.
        image_side: Pixels of the longer side, at most 2,048, down to which images are scaled before they are sent.
    """

    PREFIX: ClassVar[str] = "--judge."
    is_elsewhere: ClassVar[bool] = True
    most_candidates: ClassVar[int] = MOST

    max_tokens: int = 16
    template: Path | None = None
    logprobs: int = 20
    sees_images: bool = False
    image_side: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.logprobs <= MOST_LOGPROBS:
            found = str(self.logprobs)
            raise ConfigError(f"logprobs between 0 and {MOST_LOGPROBS}", found, "Change it; servers give no more.")
        if not 1 <= self.image_side <= LARGEST_SIDE:
            found = f"{self.image_side:,}"
            raise ConfigError(f"an image_side of at least 1 and at most {LARGEST_SIDE:,}", found, "Change it.")

    @property
    def asked(self) -> Parameters:
        """What is sent beside the prompt."""
        return replace(super().asked, logprobs=self.logprobs or None)

    @property
    def label(self) -> str:
        """The model, as the server calls it."""
        return self.model

    @property
    def reads_images(self) -> bool:
        """As asked."""
        return self.sees_images

    @cached_property
    def prompts(self) -> JudgeTemplate:
        """The template, checked."""
        return JudgeTemplate(self.template)

    @property
    def prompt_hash(self) -> str:
        """Of the template and of what else shapes an answer."""
        return content_hash(self.prompts.source, str(self.sees_images and self.image_side), *self.asked.of_hash())

    @property
    def fingerprint(self) -> str:
        """Names the model by its name alone: which weights a server has is not to be known."""
        return f"ServerJudge({self.model}, prompt={self.prompt_hash[:16]}, logprobs={self.logprobs})"

    def options(self) -> dict[str, Any]:
        """All but address, rate and budget; the template's text stands in the prompt's hash."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in OF_ASKING}
        return own | {"template": None if self.template is None else str(self.template)}

    @cached_property
    def spent(self) -> Budget:
        """What was used since this judge was made: its limits are for all that it is asked."""
        return self.budget()

    @cached_property
    def _turn(self) -> threading.Lock:
        return threading.Lock()

    def decide(self, cases: Sequence[Case], record: Path | None = None) -> list[Verdict]:
        """A verdict on each case; `not asked` where the budget was spent before, which is said.

        Raises:
            ConfigError: The server cannot be reached, or answers nobody like this.
        """
        questions = [Asked.of(case, self.seed or 0) for case in cases]
        log = None if record is None else AnswerLog(record, record_name(self), "dim judge")
        with self._turn, ExitStack() as opened:
            add = None if log is None else opened.enter_context(log.open())
            known = [] if log is None else log.read()[0]
            latest = {answer.request_hash: answer for answer in sorted(known, key=self._is_finished)}
            self.spent.renew()
            stop = run_to_end(self._ask(questions, latest, add))
        if stop:
            LOG.warning("stopped before the next call: %s; what is left is the ranker's answer", stop)
        return [self._verdict(question, latest) for question in questions]

    async def _ask(self, questions: Sequence[Asked], latest: dict[str, Answer], add: Keep | None) -> str:
        """Asks what has no finished answer, and puts each answer into `latest`. Returns why it stopped early."""
        keyed = {self._key(each): each for each in questions}  # what two ask alike is asked once
        pending = [each for key, each in keyed.items() if not self._is_known(latest.get(key))]
        if not pending:
            return ""
        shows = add is not None
        with answer_progress("judge", self.spent, len(pending)) if shows else nullcontext(_nobody) as advance:
            async with self.endpoint() as endpoint:

                def keep(answer: Answer) -> None:
                    if add is not None:
                        add(answer)
                    latest[answer.request_hash] = answer
                    advance(replace(answer, status="ok") if self._is_finished(answer) else answer)  # a cut one is read

                has_answered = any(answer.is_to(self.model, self.prompt_hash) for answer in latest.values())
                asker = self.asker(endpoint, self.spent, TokenCounter(), self.prompt_hash, keep, has_answered)
                return await asker.run(self._requests(pending))

    def _requests(self, pending: Sequence[Asked]) -> Iterator[Request]:
        """The requests, each image encoded when its turn comes."""
        for question in pending:
            yield Request(question.case.key, question.prompt(self.prompts, self._url(question)), self._key(question))

    def _url(self, question: Asked) -> str:
        image = question.case.image if self.sees_images else None
        return "" if image is None else data_url(image, self.image_side)

    def _key(self, question: Asked) -> str:
        prompt = question.prompt(self.prompts, self._url(question))
        return content_hash(self.model, prompt.system, prompt.user, prompt.image, *self.asked.of_hash())

    def _is_finished(self, answer: Answer) -> bool:
        """Whether asking again gives nothing else: an answer that was cut is one, as long as no more is allowed."""
        return answer.status == "ok" or (
            answer.status in ("truncated", "looping") and answer.parameters.get("max_tokens", 0) >= self.max_tokens
        )

    def _is_known(self, answer: Answer | None) -> bool:
        return answer is not None and self._is_finished(answer)

    def _verdict(self, question: Asked, latest: dict[str, Answer]) -> Verdict:
        answer = latest.get(self._key(question))
        if answer is None:
            return Verdict(None, status=NOT_ASKED)
        is_text = self._is_finished(answer)
        found = question.read(answer.text, answer.alternatives) if is_text else Verdict(None, status=answer.status)
        cost = self.spent.prices.cost(answer.tokens_in, answer.tokens_out)
        return replace(
            found, requests=answer.tries, tokens_in=answer.tokens_in, tokens_out=answer.tokens_out, cost=cost
        )


def record_name(judge: Judge) -> str:
    """What a judge's record is called.

    Example:
        >>> record_name(ServerJudge("some-lab/Model 8B"))
        'judge-Model-8B'
    """
    return f"judge-{file_name_of(judge.label)}"


def _nobody(_: Answer) -> None:
    """Nobody watches."""
