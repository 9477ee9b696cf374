"""What commands import before they are asked to do anything: a help, and a wrong line, need no torch and no pandas."""

import json
import subprocess
import sys

import pytest

from dim.__main__ import main
from dim.cli import commands, trainer
from dim.cli.commands import BENCHMARKS, COMMANDS
from dim.cli.outline import arguments_of, outline, source_of
from dim.cli.trainer_line import PARTS, options_of_fit
from dim.core import options

#: Their options take objects, whose classes are to be imported, or are another class's.
FULL = {"refresh", "caption", "embed", "demo-lm", "linker", "judge"}
WRONG = (
    "fit --config demo --data.batch_sise 3",
    "fit --lr 1 --config nowhere.yaml",
    "caption x --captoner Tiny",
    "link",
    "annotate --model x --fnder spacy",
    "rank --rnu x",
    "report --splt dev",
    "evaluate --ranks x",
    "audit",
    "prepare a",
    "export a b --index nope",
    "index",
    "serve --prot 1",
    "compare",
    "show a",
    "bench nothing",
    "prepar",
)
#: What trains and draws, and what only some encoders need.
TRAINING = {"pytorch_lightning", "lightning_fabric", "torchmetrics", "pytorch_metric_learning", "matplotlib"}
RARE = {"sklearn", "torchvision", "transformers", "wandb"}
#: What commands work with: in this order, each of them brings at most what those before it brought.
WORK = {
    "torch": (
        *("dim.cli.configs", "dim.demo.world", "dim.releases.prepare", "dim.releases.hdf5_images"),
        *("dim.cli.fetch_images", "dim.cli.show", "dim.cli.refresh", "dim.cli.hold_out"),
    ),
    "rare": (
        *(
            "dim.cli.audit",
            "dim.cli.evaluate",
            "dim.cli.report",
            "dim.cli.link",
            "dim.cli.annotate",
            "dim.cli.nif",
            "dim.cli.serve",
            "dim.linker",
        ),
        *("dim.search.vector_index", "dim.reranker.ranker", "dim.features.live", "dim.inference.two_towers"),
        *("dim.methods.contrastive.linker", "dim.methods.baselines.linker", "dim.serve.settings"),
    ),
    "pictures": ("dim.cli.linker", "dim.cli.embed", "dim.cli.caption"),
    "training": ("dim.methods.generative.linker",),
}
IMPORTED = """
import json, sys
from importlib import import_module
for name in json.loads(sys.argv[1]):
    import_module(name)
    print(json.dumps([name, sorted(name for name in sys.modules if "." not in name)]))
"""
HEAVY = {"torch", "numpy", "pandas", "pyarrow", "PIL", "transformers", "pytorch_lightning", "matplotlib", "sklearn"}
ASKED = """
import json, sys
from dim.__main__ import main
for line in json.loads(sys.argv[1]):
    try:
        status = main(line.split())
    except SystemExit as error:
        status = error.code
    print("::", json.dumps([line, status, sorted(name for name in sys.modules if "." not in name)]))
"""


def asked(lines: list[str]) -> list[tuple[str, int, set[str]]]:
    """Each line with its exit status and what was imported until then, all of one new process."""
    done = subprocess.run([sys.executable, "-c", ASKED, json.dumps(lines)], capture_output=True, text=True, check=True)
    told = [json.loads(line.removeprefix(":: ")) for line in done.stdout.splitlines() if line.startswith(":: ")]
    return [(line, status, {*modules}) for line, status, modules in told]


def test_a_help_and_a_wrong_line_import_nothing_that_computes() -> None:
    helps = ["--help", "--version", *(f"{name} --help" for name in COMMANDS if name not in FULL)]
    found = asked([*helps, *WRONG])
    assert [line for line, status, _ in found if status] == [*WRONG]
    assert {line: HEAVY & modules for line, _, modules in found if HEAVY & modules} == {}


def test_what_commands_work_with_brings_no_more_than_they_need() -> None:
    names = [name for each in WORK.values() for name in each]
    command = [sys.executable, "-c", IMPORTED, json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = {name: {*modules} for name, modules in map(json.loads, done.stdout.splitlines())}
    unwanted = {
        "torch": TRAINING | RARE | {"torch"},
        "rare": TRAINING | RARE,
        "pictures": TRAINING | {"torchvision"},
        "training": TRAINING,
    }
    found = {name: told[name] & unwanted[which] for which, each in WORK.items() for name in each}
    assert {name: modules for name, modules in found.items() if modules} == {}
    assert "torch" in told["dim.cli.audit"]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - FULL - {"bench"}))
def test_a_help_is_that_of_the_function_itself(name, capsys, monkeypatch) -> None:
    lines = [[name, "--help"], *([name, word, "--help"] for word in parts(name))]
    shown = [help_of(line, capsys) for line in lines]
    monkeypatch.setattr(commands, "outline", lambda *_: None)
    assert [help_of(line, capsys) for line in lines] == shown


def test_the_help_of_fit_names_the_command_as_people_type_it(capsys) -> None:
    assert help_of(["fit", "--help"], capsys).startswith("usage: dim fit [")


def parts(name: str) -> list[str]:
    functions = COMMANDS[name].functions
    return [each.split("_", 1)[1] for each in functions] if len(functions) > 1 else []


def help_of(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(line)
    return capsys.readouterr().out


def test_a_benchmark_has_an_outline() -> None:
    found = outline(BENCHMARKS, "bench_link")
    assert found is not None
    assert arguments_of(BENCHMARKS, "bench_link")["num_entities"] is False


def test_a_function_that_takes_objects_or_another_s_options_has_none() -> None:
    assert [name for name, each in COMMANDS.items() if outline(each.module, each.functions[0]) is None] == sorted(
        FULL, key=list(COMMANDS).index
    )
    assert arguments_of("dim.cli.refresh", "refresh") == {}
    assert arguments_of("dim.cli.nothing", "nothing") == {}
    assert not source_of("dim.cli.nothing").exists()


def test_the_options_of_fit_are_read_as_its_parser_has_them(monkeypatch) -> None:
    known: list[dict[str, bool]] = []
    monkeypatch.setattr(options, "wrong_line", lambda line, names, positional=(): known.append(names))
    with pytest.raises(Exception, match="nonsense"):
        trainer.run_trainer(["fit", "--nonsense", "3"])
    read = dict(options_of_fit(*(arguments_of(*part) for part in PARTS)))
    assert list(read) == list(known[0])
    assert {name for name in read if read[name] != known[0][name]} == {"trainer.default_root_dir", "data.seed"}
    # Linked to others: what stands below them is left to the parser.


@pytest.mark.parametrize("command", ["fit", "caption", "embed", "demo-lm"])
def test_an_option_that_does_not_exist_is_told_alike_before_there_is_a_parser(command, capsys, monkeypatch) -> None:
    words = "--config demo --run x" if command == "fit" else "x" if command != "demo-lm" else "x y"
    line = [command, *words.split(), "--data.bach_size" if command == "fit" else "--bach_size", "3"]
    assert main(line) == 1
    told = capsys.readouterr().err
    monkeypatch.setattr(commands, "wrong_name", lambda *_: None)
    monkeypatch.setattr("dim.cli.trainer_line.wrong_name", lambda *_: None)
    assert main(line) == 1
    assert capsys.readouterr().err == told
    assert "batch_size?" in told


def test_a_line_of_fit_that_may_be_right_is_left_to_its_parser(capsys, tmp_path) -> None:
    line = f"fit --config demo --run {tmp_path / 'run'} --model.nothing 3 --data.root {tmp_path}"
    assert main(line.split()) == 1
    assert "'model.nothing' is not accepted" in capsys.readouterr().err
