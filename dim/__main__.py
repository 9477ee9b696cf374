"""`python -m dim COMMAND …`, also installed as `dim`."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from functools import cache

from dim.cli.commands import COMMANDS
from dim.core.choices import nearest
from dim.core.lazy import importing
from dim.core.shortages import shortage
from dim.core.termination import TERMINATION
from dim.display.lines import say, warn
from dim.errors import DimError

TRAINER_COMMANDS = {
    "fit": "train; prepares and embeds what is missing; ends with the results on dev",
    "validate": "evaluate a trained run on dev",
    "test": "evaluate a trained run on test",
    "predict": "answer the mentions of a split",
}


#: What Ctrl-C and SIGTERM leave of them, and how to go on.
TRAINER_INTERRUPTED = {
    "fit": "the last finished epoch is kept; the same command goes on from it with --ckpt_path last "
    "(where none was finished: without)",
    "validate": "the run is as it was; the same command starts anew",
    "test": "the run is as it was; the same command starts anew",
    "predict": "earlier predictions are as they were; the same command goes on",
}
#: What people call commands elsewhere.
OTHER_COMMANDS = {
    **dict.fromkeys(("train", "run", "start", "finetune"), "fit"),
    **dict.fromkeys(("val", "dev"), "validate"),
    "eval": "validate (a run), or dim evaluate (another system's results)",
    **dict.fromkeys(("infer", "inference", "answer"), "predict"),
    **dict.fromkeys(("convert", "import", "preprocess"), "prepare"),
    **dict.fromkeys(("save", "package"), "export"),
    **dict.fromkeys(("demo", "world"), "demo-world"),
    **dict.fromkeys(("ui", "server", "api"), "serve"),
    **dict.fromkeys(("rerank", "ranker"), "rank"),
    **dict.fromkeys(("features", "encode"), "embed"),
}


def usage() -> str:
    """The text of `dim --help`."""
    lines = ["usage: dim COMMAND [options]     (dim COMMAND --help lists a command's options)", ""]
    lines += ["Train and evaluate, with --config NAME (dim configs lists the names) or --config FILE.yaml:"]
    lines += [f"  {name:<14}{text}" for name, text in TRAINER_COMMANDS.items()]
    lines += ["", "Everything around it:"]
    lines += [f"  {name:<14}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0, 1 after an error with a remedy, 130 after Ctrl-C, 143 after SIGTERM.
    """
    with TERMINATION.taken():
        return _run(args)


def _run(args: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if args is None else args)
    name = arguments[0] if arguments else "--help"
    handler = signal.getsignal(signal.SIGINT)
    _end_at_once()
    try:
        import dim

        if name in ("-h", "--help"):
            say(usage())
        elif name == "--version":
            say(f"dim {dim.__version__}")
        elif name in TRAINER_COMMANDS:
            if name == "fit":
                from dim.cli.trainer_line import check_names, is_from_linker

                if is_from_linker(arguments):
                    from dim.cli.grown import from_linker

                    arguments = from_linker(arguments)
                check_names(arguments)
            with importing():
                from dim.cli.trainer import run_trainer

            run_trainer(arguments)
        elif name in COMMANDS:
            COMMANDS[name].run(name, arguments[1:])
        else:
            known = [*TRAINER_COMMANDS, *COMMANDS]
            meant = OTHER_COMMANDS.get(name) or nearest(name, known)
            raise DimError(f"a command ({', '.join(known)})", repr(name), f"Did you mean: dim {meant}?")
        sys.stdout.flush()  # a full disk, or a reader that has gone, is found out here and not at the very end
    except DimError as error:
        warn(f"error: {error}")
        return 1
    except BrokenPipeError:  # of `dim … | head`
        _let_go_of_stdout()
        return 128 + signal.SIGPIPE
    except Exception as error:
        if (short := shortage(error)) is None:
            raise
        _let_go_of_stdout()
        warn(f"error: {short}\nleft     {_left_by(name)}")
        return 1
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning makes an exit of Ctrl-C, and ignores it from then on.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if signal.getsignal(signal.SIGINT) != handler:
            signal.signal(signal.SIGINT, handler)
        warn(f"\ninterrupted: {_left_by(name)}")
        return 128 + (signal.SIGTERM if TERMINATION.came else signal.SIGINT)
    return 0


@cache
def _end_at_once() -> None:
    """Has Python not look for garbage in all that torch made, which takes a second, when the process ends anyway."""
    atexit.register(gc.freeze)


def _left_by(name: str) -> str:
    """What a command that did not end leaves, and how to go on."""
    return COMMANDS[name].interrupted if name in COMMANDS else TRAINER_INTERRUPTED.get(name, "nothing was changed")


def _let_go_of_stdout() -> None:
    """Where nothing can be written there, Python would say so once more when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
