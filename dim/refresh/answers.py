"""The record of every answer: one JSON line each, written when it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from dim.core.files import explain_write_errors, growing, regular
from dim.core.folder_files import json_value
from dim.core.locks import folder_lock
from dim.core.typed import Mismatch, typed
from dim.data.dataset import ANSWERS
from dim.errors import DataError


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question.

    Attributes:
        entity_id: The entity; of a caption, the first path of the images.
        status: `ok`, or how it failed (`dim.refresh.reply.Status`).
        text: What the model said, whatever the status.
        model: The model that was asked for.
        served_model: The model as the server named it.
        prompt_hash: Of the template and the parameters.
        request_hash: Of all that a finished answer depends on: model, rendered prompt, parameters.
        parameters: What was sent beside the prompt.
        tokens_in: Tokens of all tries' prompts that count as used.
        tokens_out: Tokens of all tries' answers that count as used.
        tokens_reported: Whether the server counted them; else they are as `tokens_by` says.
        cost: Money at the prices of the run; None where none were given.
        date: When it came, ISO 8601 in UTC.
        seconds: How long the last try took.
        tries: Requests sent.
        failures: The status of each failed try before the last.
        finish_reason: Why the answer ended, in the server's words.
        detail: What was wrong.
        system_fingerprint: The state of the server in its own words, where it said any.
        whole_hash: Of the request as it would have been with the whole old text, where that lost its end to fit into
            the model's context; None: nothing was cut.
        tokens_by: Who counted the tokens: the `server`, a `tokenizer` for a server that did not, or nobody for some of
            them: those are what was set aside, an upper `bound`. None in records of before.
        alternatives: As of `Reply`, where log-probabilities were asked for and came.
    """

    entity_id: str
    status: str
    text: str
    model: str
    served_model: str | None
    prompt_hash: str
    request_hash: str
    parameters: dict[str, Any]
    tokens_in: int
    tokens_out: int
    tokens_reported: bool
    cost: float | None
    date: str
    seconds: float
    tries: int
    failures: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    detail: str = ""
    system_fingerprint: str | None = None
    whole_hash: str | None = None
    tokens_by: str | None = None
    alternatives: list[dict[str, float]] | None = None

    def is_to(self, model: str, prompt_hash: str) -> bool:
        """Whether a model gave it, finished, to a prompt of this template: the server answers such questions."""
        return self.status == "ok" and (self.model, self.prompt_hash) == (model, prompt_hash)


Keep = Callable[[Answer], None]  #: Takes an answer, which then stays.
_HINTS = get_type_hints(Answer)


class AnswerLog:
    """The answers of one text variant, or of one record of captions, in `answers/<name>.jsonl` of a dataset folder.

    Args:
        root: The dataset folder.
        name: Of the record.
        command: Who writes it, for those who wait.
    """

    def __init__(self, root: Path, name: str, command: str = "dim refresh") -> None:
        self.path, self.command = root / ANSWERS / f"{name}.jsonl", command

    def read(self) -> tuple[list[Answer], int]:
        """All answers in the order in which they came, and the number of lines that are none (a kill tears the last).

        Raises:
            DataError: The file cannot be read.
        """
        if not self.path.exists():
            return [], 0
        answers, num_lines = [], 0
        try:
            with regular(self.path).open("rb") as lines:
                for line in filter(bytes.strip, lines):
                    num_lines += 1
                    with suppress(Mismatch):
                        answers.append(_parse(line))
        except OSError as error:
            raise DataError(f"a readable {self.path}", str(error), "Check the file's permissions.") from error
        return answers, num_lines - len(answers)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from asking for the same answers, from the reading of answers to the use of new ones.

        Meanwhile the dataset folder cannot be replaced; another text may be refreshed, and captions written.

        Raises:
            ConfigError: Another process holds it.
            DataError: It is a link out of the dataset folder, which a stranger may have put there.
            StorageError: It cannot be written.
        """
        root, found = self.path.parents[1].resolve(), self.path.resolve()
        if not found.is_relative_to(root):
            raise DataError(f"a record of answers in {root}", f"a link to {found}", "Put a copy in the link's place.")
        with ExitStack() as held:
            with folder_lock(self.path.parents[1], f"the start of {self.command}", wait=True):
                held.callback(_remove_empty, self.path.parent)
                held.enter_context(folder_lock(self.path, self.command))
            yield

    @contextmanager
    def open(self) -> Iterator[Keep]:
        """Yields what adds an answer to the file, which is `held` meanwhile; a torn line gets its end.

        Raises:
            ConfigError: Another process holds it.
            StorageError: It cannot be written.
        """
        with self.held(), explain_write_errors(self.path), growing(self.path) as add:
            yield lambda answer: add(json.dumps(asdict(answer), ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _parse(line: bytes) -> Answer:
    found = json_value(line, dict[str, Any])
    for each in fields(Answer):
        if each.name in found:
            found[each.name] = typed(found[each.name], _HINTS[each.name], each.name)
        elif each.default is MISSING and each.default_factory is MISSING:
            raise Mismatch(each.name, "a value", "nothing")
    return Answer(**{name: value for name, value in found.items() if name in _HINTS})
