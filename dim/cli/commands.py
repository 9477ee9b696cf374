"""Every command that is no step of the trainer: plain functions, imported when they are called."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from dim.cli.outline import arguments_of, outline
from dim.core.lazy import importing
from dim.core.wrong_line import Line, words_and_options, wrong_name
from dim.errors import ConfigError

BENCHMARKS = "benchmarks"


@dataclass(frozen=True)
class Command:
    """A function whose signature and docstring are its command line.

    Attributes:
        module: Where it stands.
        functions: Its name; of several, the first word chooses.
        help: What it does, for `dim --help`.
        takes_many: Whether the words that are no option's value are together one argument, a list: its first.
        num_single: Words before those of the list that are arguments of their own.
        by_name: Whether required arguments are options, too: --ranks FILE.
        default: The word that is meant where none stands.
        interrupted: What Ctrl-C leaves, and how to go on.
    """

    module: str
    functions: tuple[str, ...]
    help: str
    takes_many: bool = False
    num_single: int = 0
    by_name: bool = False
    default: str = ""
    interrupted: str = "nothing was changed; the same command starts anew"

    def run(self, name: str, args: Sequence[str]) -> None:
        """Parses `args` by the signature and calls the function."""
        from jsonargparse import auto_cli

        from dim.core.options import Parser

        args = list(args) or [self.default] * bool(self.default)
        functions = self._functions(name, args)
        if self.takes_many:
            words, options = words_and_options(args)
            single, many = words[: self.num_single], words[self.num_single :]
            name_of_list = list(signature(functions[0]).parameters)[self.num_single]
            listed = f"--{name_of_list}={json.dumps(many)}" if self.by_name else json.dumps(many)
            args = [*single, *([listed] if many else []), *options]
        components: Any = functions[0]
        asked, command, given = functions[0], name, args
        if len(functions) > 1:
            components = parts = {function.__name__.partition("_")[2]: function for function in functions}
            word = args[0] if args else ""
            if word not in parts and not word.startswith("-h") and word != "--help":
                found, remedy = f"the word {word}" if word else "nothing", f"Such as: dim {name} {next(iter(parts))}."
                raise ConfigError(f"dim {name} and one of {', '.join(parts)}", found, remedy)
            asked, command, given = parts.get(word, asked), word, args[1:]
        required = (
            key
            for key, value in signature(asked).parameters.items()
            if value.default is value.empty and value.kind is not value.VAR_KEYWORD
        )
        Parser.line = Line(command, tuple(given), tuple(required))
        auto_cli(components, args=args, prog=f"dim {name}", as_positional=not self.by_name, parser_class=Parser)

    def _functions(self, name: str, args: Sequence[str]) -> list[Callable[..., Any]]:
        """The functions, by their outlines where these say all that a command line needs."""
        if self.module == BENCHMARKS:
            _find_benchmarks()
        return [outline(self.module, function) or self._imported(function, name, args) for function in self.functions]

    def _imported(self, function: str, name: str, args: Sequence[str]) -> Callable[..., Any]:
        """A function with its module, unless the line has an option that does not exist: imports take seconds."""
        if arguments := arguments_of(self.module, function):
            required = [key for key, is_required in arguments.items() if is_required]
            options = {"config": False} | dict.fromkeys(arguments, True)
            if error := wrong_name(Line(name, tuple(args), tuple(required)), options, required):
                raise error
        with importing():
            found: Callable[..., Any] = getattr(import_module(self.module), function)
        return found


def _find_benchmarks() -> None:
    """Has `dim bench` find its package, which stands in a checkout, beside dim's, and nowhere else."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "setup.cfg").is_file() or not (checkout / BENCHMARKS / "__init__.py").is_file():
        raise ConfigError("dim bench in a checkout of dim", "the installed package alone", "Clone the repository.")
    sys.path.insert(0, str(checkout))  # before whatever else is called so


COMMANDS = {
    "configs": Command(
        "dim.cli.configs",
        ("configs_list", "configs_copy"),
        "list the shipped configs; copy one, to change it",
        default="list",
    ),
    "demo-world": Command("dim.demo", ("demo_world",), "make the demo dataset, of any size"),
    "prepare": Command(
        "dim.releases.prepare",
        ("prepare",),
        "turn a release, your own tables, or a dump of Wikidata into a dataset folder",
        interrupted="the folder is as it was, or whole; the same command starts anew (with a dump it goes on)",
    ),
    "unpack": Command(
        "dim.releases.hdf5_images", ("unpack_images",), "write the images of an HDF5 file (FissFuse) as files"
    ),
    "fetch-images": Command(
        "dim.cli.fetch_images",
        ("fetch_images",),
        "get the images that a dataset names by URL, politely and resumably",
        interrupted="the images that came are kept; the same command gets the rest",
    ),
    "audit": Command("dim.cli.audit", ("audit",), "look for leaks in a dataset; write a clean and a hard subset"),
    "show": Command("dim.cli.show", ("show",), "show one mention or entity end to end"),
    "refresh": Command(
        "dim.cli.refresh",
        ("refresh",),
        "write new entity texts with a language model",
        interrupted="the answers that came are kept; the same command asks for the rest",
    ),
    "caption": Command(
        "dim.cli.caption",
        ("caption",),
        "write captions of the images by a model or a server, or import yours",
        interrupted="what is finished is kept; the same command goes on with the rest",
    ),
    "embed": Command(
        "dim.cli.embed",
        ("embed",),
        "compute the features that a run needs, resumable",
        interrupted="finished blocks are kept; the same command goes on with the rest",
    ),
    "demo-lm": Command("dim.demo.demo_lm", ("demo_lm",), "train the small language model of the generative demo"),
    "evaluate": Command("dim.cli.evaluate", ("evaluate",), "score another system's results like our own", by_name=True),
    "report": Command("dim.cli.report", ("report",), "compare runs in one table", takes_many=True),
    "compare": Command(
        "dim.cli.compare",
        ("compare",),
        "run configs over seeds and report on them, resumable",
        takes_many=True,
        by_name=True,
        interrupted="finished runs stay; the same command goes on, with this run at its last finished epoch",
    ),
    "rank": Command(
        "dim.cli.rank",
        ("rank",),
        "train and evaluate a run's ranker over names and vectors; NIL",
        by_name=True,
        interrupted="the folds that were fitted are kept; the same command goes on with the others",
    ),
    "collective": Command(
        "dim.cli.collective",
        ("collective",),
        "answer the mentions of a text together, by what goes together",
    ),
    "judge": Command(
        "dim.cli.judge",
        ("judge",),
        "have a judge read the mentions that a run's ranker is least sure of; its gain by share judged",
        interrupted="the answers that came are kept; the same command asks for the rest",
    ),
    "hold-out": Command(
        "dim.cli.hold_out",
        ("hold_out",),
        "make a dataset whose KB lacks some entities, to measure NIL on",
        by_name=True,
    ),
    "link": Command(
        "dim.cli.link",
        ("link",),
        "link a mention, or a file of them",
        by_name=True,
        interrupted="what was answered for --output is kept; the same command goes on with the rest",
    ),
    "annotate": Command(
        "dim.cli.annotate",
        ("annotate",),
        "find the mentions of a text, and link them",
        by_name=True,
        interrupted="nothing was written; the same command starts anew",
    ),
    "nif": Command(
        "dim.cli.nif",
        ("nif",),
        "measure a linker on a NIF file as GERBIL does: micro and macro F1, in the KB and outside",
        by_name=True,
        interrupted="nothing was written; the same command starts anew",
    ),
    "linker": Command(
        "dim.cli.linker",
        ("linker",),
        "make a linker of entities alone: no mentions, no training",
        interrupted="nothing was written; the same command starts anew",
    ),
    "add": Command("dim.cli.entities", ("add",), "add entities to a linker"),
    "remove": Command("dim.cli.entities", ("remove",), "take entities out of a linker", takes_many=True, num_single=1),
    "export": Command("dim.cli.link", ("export",), "write the linker of a run into one folder"),
    "index": Command("dim.cli.link", ("index",), "build the index of a linker anew"),
    "serve": Command(
        "dim.cli.serve",
        ("serve",),
        "serve a linker over HTTP, with a page",
        by_name=True,
        interrupted="what was accepted is answered; the same command serves again",
    ),
    "bench": Command(
        BENCHMARKS,
        (
            "bench_embed",
            "bench_encode",
            "bench_caption",
            "bench_train",
            "bench_train_encoder",
            "bench_search",
            "bench_modalities",
            "bench_rank",
            "bench_convert",
            "bench_dump",
            "bench_memory",
            "bench_kb",
            "bench_trie",
            "bench_generate",
            "bench_likelihoods",
            "bench_link",
            "bench_serve",
            "bench_hostile",
            "bench_start",
            "bench_earlier",
        ),
        "measure speed and memory against a peer or a ceiling",
    ),
}
