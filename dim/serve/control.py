"""What a process that answers and the one that looks after it tell each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Opened:
    """A linker is open and answers.

    Attributes:
        num_entities: Of its KB.
        calibrated_on: As of `Linker`.
    """

    num_entities: int
    calibrated_on: str


@dataclass(frozen=True)
class Ended:
    """How the serving ended.

    Attributes:
        num_accepted: Questions.
        num_died: Processes that ended by themselves, whose accepted questions may have got no answer.
        interrupted: Whether by Ctrl-C.
        forced: Whether the end was asked for twice: what was accepted may have got no answer.
    """

    num_accepted: int
    num_died: int
    interrupted: bool
    forced: bool


@dataclass(frozen=True)
class NotOpened:
    """A linker cannot be opened; its process ends."""

    error: Exception


@dataclass(frozen=True)
class AskReload:
    """A client wants all processes to open the linker again."""


@dataclass(frozen=True)
class ReloadNow:
    """Open the linker again."""


@dataclass(frozen=True)
class EndNow:
    """End at once, whatever was accepted."""


@dataclass(frozen=True)
class Reloaded:
    """How that ended: of one process, to the one that looks after it; of all, to the one whose client asked.

    Attributes:
        error: None: well.
    """

    error: Exception | None


Message = Opened | NotOpened | AskReload | ReloadNow | EndNow | Reloaded
