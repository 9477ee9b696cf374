import os
import re
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser, set_parsing_settings
from jsonargparse._common import parsing_settings
from marker_module import NAME, forms, importable
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import Timer
from pytorch_metric_learning.losses import NTXentLoss
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from waiting import ending

from dim.__main__ import main
from dim.core.known_classes import Chosen, KnownClasses, made, only_these
from dim.core.typed import Mismatch, typed
from dim.encoders.base import ImageEncoder, TextEncoder
from dim.encoders.tiny import TinyTextEncoder
from dim.errors import DataError
from dim.inference.places import RunConfig, RunPlaces
from dim.linker.manifest import GenerativeManifest, LinkerManifest
from dim.methods.contrastive.losses import NPair, ReleasedNPair
from dim.methods.contrastive.module import DIM
from dim.methods.contrastive.negatives import NameNegatives, Negatives
from dim.methods.generative.language_model import LanguageModel
from dim.training.registry import registered
from dim.training.saved_run import classes_of_runs, known_to_runs
from dim.training.task import LinkingTask

#: Where a class stands in a configuration, or a parser could take one.
OPTIONS = (
    *("data", "data.text_encoder", "data.protocol", "model", "model.init_args.negatives"),
    *("trainer", "trainer.callbacks", "trainer.strategy", "trainer.logger"),
    *("early_stopping", "early_stopping.log_rank_zero_only", "optimizer", "seed_everything"),
)
CLASSES = ("data.text_encoder", "data.protocol", "model", "model.init_args.negatives")
FULL = ("data.text_encoder", "model", "trainer.callbacks", "trainer.logger")  #: Tried in every form.
SHORT = ("text", "mapping", "file")
CONTRASTIVE = "pytorch_metric_learning.losses.ContrastiveLoss"
TIMER = "pytorch_lightning.callbacks.timer.Timer"
WANDB = "pytorch_lightning.loggers.WandbLogger"
TEXT = f"{{class_path: {NAME}.Marker, init_args: {{}}}}"
DATE = date(2001, 1, 1)  # to the parser a text
LOSS = NPair | ReleasedNPair | BaseMetricLossFunction | None
OWN = registered()
HINTS: list[Any] = [
    TextEncoder | None,
    ImageEncoder,
    LinkingTask,
    Negatives | None,
    LOSS,
    list[Callback],
    LanguageModel,
    Any,
]


@pytest.mark.parametrize("form", list(forms(Path())))
def test_a_strangers_class_is_refused_in_every_form_and_nothing_is_imported(tmp_path: Path, form: str) -> None:
    with importable(tmp_path / "modules") as imported:
        value = forms(tmp_path / "modules")[form]
        for hint in HINTS:
            try:
                found = KnownClasses(OWN).read(value, hint, "option")
            except DataError:
                continue
            assert hint is Any, (form, hint, found)  # a text without an annotation stays a text
            assert found == value
        assert NAME not in sys.modules
        assert not imported.exists()
        assert not imported.with_name("made").exists()


def test_below_a_trusted_package_a_class_is_imported_and_below_no_other(tmp_path: Path) -> None:
    with importable(tmp_path / "modules") as imported:
        for trusted in ((), ("own",), ("own_marker_of_another",), ("own_mark",)):
            with pytest.raises(
                DataError, match=rf"made of dim's classes\nfound    {NAME}\.Marker as option\n.*--trust"
            ):
                KnownClasses(OWN, trusted).read(f"{NAME}.Marker", TextEncoder, "option")
        assert not imported.exists()
        found = made(KnownClasses(OWN, (NAME,)).read(f"{NAME}.Marker", TextEncoder | None, "option"))
        assert type(found).__name__ == "Marker"
        with pytest.raises(DataError, match=r"option is a class of ImageEncoder\nfound    Marker"):
            KnownClasses(OWN, (NAME,)).read(f"{NAME}.Marker", ImageEncoder, "option")
        with pytest.raises(DataError, match="none of that name"):
            KnownClasses(OWN, (NAME,)).read(f"{NAME}.Other", TextEncoder, "option")
        with pytest.raises(DataError, match="ModuleNotFoundError"):
            KnownClasses(OWN, ("absent_package",)).read("absent_package.Other", TextEncoder, "option")


def test_a_class_that_is_imported_and_not_dims_is_refused_too() -> None:
    for name in ("subprocess.Popen", "pathlib.Path", "dim.linker.Linker", "torch.nn.Linear", "builtins.object"):
        with pytest.raises(DataError, match="dim"):
            KnownClasses(OWN).named(name, "option")


def test_dims_own_classes_are_made_with_their_options_by_type() -> None:
    known = KnownClasses(OWN)
    assert made(known.read("TinyTextEncoder", TextEncoder | None, "x")).width == TinyTextEncoder().width
    negatives = known.read({"class_path": "NameNegatives", "init_args": {"pool": 8}}, Negatives | None, "x")
    assert negatives == Chosen(NameNegatives, {"pool": 8})
    loss = {
        "class_path": "pytorch_metric_learning.losses.NTXentLoss",
        "init_args": {
            "temperature": "1e-1",  # as YAML reads it
            "distance": {"class_path": "pytorch_metric_learning.distances.CosineSimilarity"},
        },
    }
    found = made(known.read({"class_path": "DIM", "init_args": {"loss": loss, "width": 32}}, LinkingTask, "model"))
    assert isinstance(found, DIM)
    assert isinstance(found.loss, NTXentLoss)
    assert type(found.loss.distance).__name__ == "CosineSimilarity"
    assert made(known.read({"path": "somewhere"}, LanguageModel, "lm")) == LanguageModel("somewhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widht": 3}, "model is options that DIM has\nfound    'widht'"),
        ({"width": "3"}, "model.width is a whole number\nfound    '3'"),
        ({"width": True}, "model.width is a whole number\nfound    true|True"),
        ({"fusion": "mean"}, "model.fusion is 'attention' or 'sum' or 'linear'\nfound    'mean'"),
        ({"mention_fields": ["a", 3]}, r"model.mention_fields is a list or null\nfound    a list of 2"),
        ({"loss": "DIM"}, "model.loss is a class of NPair or ReleasedNPair or BaseMetricLossFunction\nfound    DIM"),
        ([], "model is the options of DIM|found"),
    ],
)
def test_options_are_checked_by_their_annotations(options: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        made(KnownClasses(OWN).read({"class_path": "DIM", "init_args": options or [1]}, LinkingTask, "model"))


def test_very_deep_options_are_refused() -> None:
    value: Any = 1
    for _ in range(3000):
        value = {"class_path": "pytorch_metric_learning.losses.NTXentLoss", "init_args": {"distance": value}}
    with pytest.raises(DataError, match=r"few levels|inside of each other"):
        KnownClasses(OWN).read({"class_path": "DIM", "init_args": {"loss": value}}, LinkingTask, "model")


def combined() -> Iterator[Any]:
    """Each option that may name a class in each form; in make test each once, in one form or another."""
    for place, option in enumerate(OPTIONS):
        of_option = list(forms(Path()) if option in FULL else SHORT)
        for number, form in enumerate(of_option):
            is_every = option == FULL[0] or number == place % len(of_option)
            yield pytest.param(option, form, marks=[] if is_every else [pytest.mark.long])


@pytest.mark.parametrize(("option", "form"), list(combined()))
def test_a_class_that_a_runs_configuration_names_is_neither_imported_nor_made(
    tmp_path: Path, option: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config: dict[str, Any] = {
        "run": str(tmp_path / "run"), "data": {"root": "w"}, "model": {"class_path": "DIM", "init_args": {}}
    }  # fmt: skip
    with importable(tmp_path / "modules") as imported:
        owner, (*parents, name) = config, option.split(".")
        for parent in parents:
            owner = owner.setdefault(parent, {})
        owner[name] = forms(tmp_path / "modules")[form]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
        assert not imported.exists()
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if form in ("text", "mapping") and option in CLASSES:
        assert re.search(rf"made of dim's classes[\s\S]*{NAME}\.Marker[\s\S]*--trust {NAME}", said)


def test_a_parser_imports_what_is_trusted_and_after_the_command_what_it_did_before(tmp_path: Path) -> None:
    with importable(tmp_path / "modules") as imported:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--kind", type=Callback)
        for trusted in ((), ("elsewhere",), (f"{NAME}x",)):
            with only_these(OWN, trusted), pytest.raises(ArgumentError, match="not allowed"):
                parser.parse_args([f"--kind={NAME}.Marker"])
        assert not imported.exists()
        with only_these(OWN, (NAME,)), pytest.raises(ArgumentError, match=r"not a subclass|does not"):
            parser.parse_args([f"--kind={NAME}.Marker"])  # which is no callback
        assert imported.exists()
    with pytest.raises(ArgumentError, match="not correspond to a subclass"):  # which was imported to see that
        parser.parse_args(["--kind=collections.Counter"])


@pytest.mark.parametrize("name", [f"{TIMER}.mro", f"{TIMER}.__subclasses__", f"{TIMER}.__init__", f"{TIMER}.setup"])
def test_what_is_in_a_class_that_may_be_named_may_not(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("StochasticWeightAveraging", "pytorch_lightning.callbacks.StochasticWeightAveraging"):
        averaging = {"class_path": kind, "init_args": {"swa_lrs": 0.1, "avg_fn": name}}
        config = {"run": "r", "data": {"root": "w"}, "model": "DIM", "trainer": {"callbacks": [averaging]}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
        assert f"expected a configuration made of dim's classes\nfound    {name}" in capsys.readouterr().err
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--function", type=Callable[..., Any])
    with only_these(classes_of_runs(), typed_in=[f"--x={TIMER}"]), pytest.raises(ArgumentError, match="not allowed"):
        parser.parse_args([f"--function={name}"])
    with only_these(classes_of_runs(), typed_in=[f"{TIMER}.mro"]):  # the user's own word
        assert parser.parse_args([f"--function={TIMER}.mro"]).function == Timer.mro


def test_a_class_on_the_command_line_is_the_users_own_word(tmp_path: Path) -> None:
    for value in (f"{NAME}.Marker", f'[{{"class_path": "{NAME}.Marker"}}]', f"[{NAME}.Marker]"):
        with importable(tmp_path / "modules") as imported:
            assert main(["test", "--run", "r", "--data.root", "w", "--model", "DIM", "--trainer.callbacks", value]) == 1
            assert imported.exists()
            imported.unlink()
    config = {"run": "r", "data": {"root": f"{NAME}.yaml"}, "model": {"class_path": f"{NAME}.Marker"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for typed_in in (f"{NAME}.yaml", f"runs/{NAME}.Marker", f"{NAME}.Marker/x", f"{NAME}.Markers"):
        with importable(tmp_path / "modules") as imported:
            assert main(["test", "--config", str(tmp_path / "config.yaml"), "--data.root", typed_in]) == 1
            assert not imported.exists()


@pytest.mark.parametrize(
    "name", ["my-package", "*", "jsonargparse", "jsonargparse.typing", "1abc", "my package", "a:b"]
)
def test_what_is_trusted_is_the_name_of_a_package(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--run", "r", "--data.root", "w", "--model", "DIM", f"--trust={name}"]) == 1
    assert "packages that are trusted, by their names in Python" in capsys.readouterr().err


ALIASES = "[" + ", ".join(["&a0 [x, x]", *(f"&a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 12))]) + "]"


def _nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = {"class_path": "pytorch_metric_learning.losses.NTXentLoss", "init_args": {"distance": value}}
    return value


@pytest.mark.parametrize(
    "config",
    [
        {"data": {"root": "w", "context_template": ALIASES}},
        {"data": {"root": "w", "context_template": "&a [*a, *a]"}},
        {"model": {"class_path": "DIM", "init_args": {"loss": _nested(9)}}},
        {"model": {"class_path": "DIM", "init_args": {"loss": yaml.safe_dump(_nested(9))}}},
    ],
    ids=["aliases", "itself", "nested", "nested in a text"],
)
def test_what_would_take_a_parser_very_long_is_refused(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {"run": str(tmp_path / "run"), "data": {"root": "w"}, "model": {"class_path": "DIM", "init_args": {}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole | config))
    assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_model_names_no_part_of_the_trainer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loss = {"class_path": CONTRASTIVE, "init_args": {"distance": {"class_path": WANDB, "init_args": {"offline": True}}}}
    config = {"run": "run", "data": {"root": "w"}, "model": {"class_path": "DIM", "init_args": {"loss": loss}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
    assert "WandbLogger" in capsys.readouterr().err
    with pytest.raises(DataError, match="WandbLogger"):  # as link, export, rank and serve read it
        known_to_runs(tmp_path).read(config["model"], LinkingTask, "model")
    assert not (tmp_path / "wandb").exists()


def test_a_callback_that_writes_where_it_is_told_needs_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = "pytorch_lightning.callbacks.OnExceptionCheckpoint"
    trainer = {"callbacks": [{"class_path": callback, "init_args": {"dirpath": str(tmp_path)}}]}
    config = {"run": "r", "data": {"root": "w"}, "model": {"class_path": "DIM"}, "trainer": trainer}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
    assert f"found    {callback}" in capsys.readouterr().err


def test_no_module_of_the_folder_of_a_configuration_is_imported_while_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with importable(tmp_path / "run") as imported:
        monkeypatch.setattr(sys, "path", ["", *(place for place in sys.path if place != str(tmp_path / "run"))])
        monkeypatch.chdir(tmp_path)
        trainer = {"callbacks": [{"class_path": f"{NAME}.Marker"}]}
        config = {"run": "r", "data": {"root": "w"}, "model": "DIM", "trainer": trainer}
        (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
        assert main(["test", "--config", "run/config.yaml", "--trust", NAME]) == 1
        assert not imported.exists()
        sys.path.append(str(tmp_path / "run"))  # for `importable`, which takes it away


def test_what_the_process_allowed_before_is_not_allowed_in_a_run(tmp_path: Path) -> None:
    before = dict(parsing_settings)
    try:
        set_parsing_settings(import_path_allowlist=[NAME])
        with importable(tmp_path / "modules") as imported, only_these(OWN):
            assert "" not in sys.path
            parser = ArgumentParser(exit_on_error=False)
            parser.add_argument("--kind", type=Callback)
            with pytest.raises(ArgumentError, match="not allowed"):
                parser.parse_args([f"--kind={NAME}.Marker"])
            assert not imported.exists()
    finally:
        parsing_settings.clear()
        parsing_settings.update(before)


#: A class where a parser finds one that looks further: in a text, in a file, below a dotted key.
HIDDEN: dict[str, Any] = {
    "text of a loss": {"model": {"init_args": {"loss": {"class_path": CONTRASTIVE, "init_args": {"distance": TEXT}}}}},
    "text of a logger": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"settings": TEXT}}}},
    "text in a list": {"trainer": {"callbacks": [TEXT]}},
    "text of an option that is passed on": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"more": TEXT}}}},
    "file": {"trainer": {"profiler": "evil"}},
    "file of a strategy": {"trainer": {"strategy": "evil"}},
    "dotted key": {"trainer.profiler": "evil"},
    "dotted key further in": {"trainer": {"logger.init_args": {"settings": "evil"}}},
    "further configuration": {"config": "sub/evil"},
    "text of the model": {"model": TEXT},
    "text of options": {"model": {"class_path": "DIM", "init_args": TEXT}},
    "text where a text may stand": {"data": {"context_template": TEXT}},
    "file named as the model": {"model": "DIM"},
    "file named as an encoder": {"data": {"text_encoder": "TinyTextEncoder"}},
    "file named as a logger": {"trainer": {"logger": "CSVLogger"}},
    "file named as a callback": {"trainer": {"callbacks": ["EarlyStopping"]}},
    "file named as a class with its module": {"trainer": {"logger": WANDB}},
    "file named as a group of options": {"trainer": "Trainer"},
    "file named as a date": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"settings": DATE}}}},
    "file at home": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"settings": "~/evil"}}}},
    "file by an address": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"settings": "file://RUN/evil"}}}},
    "file by another": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"settings": "local://RUN/evil"}}}},
}
#: Files of the run, each with a class in it.
FILES = ("evil", "sub/evil", "DIM", "TinyTextEncoder", "CSVLogger", "EarlyStopping", WANDB, str(DATE))


@pytest.mark.parametrize("how", list(HIDDEN))
def test_a_class_that_a_parser_would_find_further_on_is_made_by_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    config: dict[str, Any] = {
        "run": str(tmp_path / "run"), "data": {"root": "w"}, "model": {"class_path": "DIM", "init_args": {}}
    }  # fmt: skip
    for name, value in HIDDEN[how].items():
        both = isinstance(value, dict) and isinstance(config.get(name), dict)
        config[name] = config[name] | value if both else value
    with importable(tmp_path / "modules") as imported:
        run = tmp_path / "run"
        (run / "sub").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(run))
        for file in FILES:
            (run / file).write_text(yaml.safe_dump({"class_path": f"{NAME}.Marker"}))
        (run / "Trainer").write_text(yaml.safe_dump({"logger": {"class_path": f"{NAME}.Marker"}}))
        (run / "config.yaml").write_text(yaml.safe_dump(config).replace("RUN", str(run)))
        assert main(["test", "--config", str(run / "config.yaml")]) != 0
        assert not imported.exists()


#: Where a text is taken for a file, and what it is of.
PLACES = {
    "trainer": {"trainer": "pipe"},
    "callback": {"trainer": {"callbacks": ["pipe"]}},
    "callbacks": {"trainer": {"callbacks": "pipe"}},
    "settings": {"trainer": {"logger": {"class_path": WANDB, "init_args": {"settings": "pipe"}}}},
    "loss": {"model": {"class_path": "DIM", "init_args": {"loss": "pipe"}}},
    "options": {"model": {"class_path": "DIM", "init_args": "pipe"}},
    "model": {"model": "pipe"},
    "data": {"data": "pipe"},
    "encoder": {"data": {"root": "w", "text_encoder": "pipe"}},
    "stdin": {"trainer": {"callbacks": ["-"]}},
    "whole": {},
}


@pytest.mark.parametrize("how", list(PLACES))
def test_a_runs_configuration_has_no_pipe_read_and_no_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"run": "r", "data": {"root": "w"}, "model": {"class_path": "DIM", "init_args": {}}, **PLACES[how]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("sys.stdin", Unread())
    with ending():
        assert main(["test", "--config", str(tmp_path / ("pipe" if how == "whole" else "config.yaml"))]) == 1
    assert "Traceback" not in capsys.readouterr().err


class Unread(StringIO):
    def read(self, size: int | None = -1, /) -> str:
        raise AssertionError("stdin was read")


def test_a_text_of_a_runs_configuration_is_no_file_and_one_of_the_command_line_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kept:
        """Has options that may stand in a file."""

        def __init__(self, number: int = 0) -> None:
            self.number = number

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Kept, "kept", sub_configs=True)
    (tmp_path / "run").mkdir()
    for place, number in ((tmp_path, 1), (tmp_path / "run", 2)):
        (place / "kept.yaml").write_text(f"number: {number}")
    (tmp_path / "run" / "config.yaml").write_text("kept: kept.yaml")
    monkeypatch.chdir(tmp_path)
    with only_these(OWN, typed_in=["kept.yaml", "run/config.yaml"]):
        assert parser.parse_args(["--kept", "kept.yaml"]).kept.number == 1
        with pytest.raises(ArgumentError):
            parser.parse_args(["--config", "run/config.yaml"])
    assert parser.parse_args(["--config", "run/config.yaml"]).kept.number == 2  # as fit reads it


def test_what_a_trusted_package_has_from_elsewhere_is_not_trusted(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "of_mine.py").write_text("from collections import Counter\nclass Mine(Counter): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    known = KnownClasses(OWN, ["of_mine."])
    assert known.named("of_mine.Mine", "an option").__name__ == "Mine"
    with pytest.raises(DataError, match=r"made of dim's classes[\s\S]*of_mine\.Counter"):
        known.named("of_mine.Counter", "an option")


def test_of_a_trusted_package_classes_may_be_named_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of_ours.py").write_text(
        "from pytorch_lightning.callbacks import Callback, Timer\n"
        "class Mine(Callback):\n    def make(self) -> Callback: raise RuntimeError('called')\n"
        "    class Inner(Callback): pass\n"
        "def make() -> Callback: raise RuntimeError('called')\n"
        "given = Mine()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    known = KnownClasses(OWN, ["of_ours"])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=Callback)
    for name in ("make", "given", "Mine.make", "Mine.Inner", "Mine.mro"):
        with pytest.raises(DataError, match=r"made of dim's classes|a class of_ours|the trusted class of_ours"):
            known.read({"class_path": f"of_ours.{name}"}, Callback, "callback")
        with only_these(OWN, ["of_ours"]), pytest.raises(ArgumentError, match="not allowed"):
            parser.parse_args([f"--callback=of_ours.{name}"])
        config = {"run": "r", "data": {"root": "w"}, "model": "DIM", "trainer": {"callbacks": [f"of_ours.{name}"]}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        assert main(["test", "--config", str(tmp_path / "config.yaml"), "--trust=of_ours"]) == 1
        assert f"expected a configuration made of dim's classes\nfound    of_ours.{name}" in capsys.readouterr().err
    with only_these(OWN, ["of_ours"]):
        assert parser.parse_args(["--callback=of_ours.Mine"]).callback.class_path == "of_ours.Mine"
        with pytest.raises(ArgumentError, match="has no attribute"):
            parser.parse_args(["--callback=of_ours.nothing.Mine"])


def test_a_wrong_value_inside_of_a_library_s_class_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = {"class_path": WANDB, "init_args": {"settings": "hello"}}  # which has an option `config` of its own
    config = {"run": "run", "data": {"root": "w"}, "model": "DIM", "trainer": {"logger": logger}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
    assert re.search(r"--trainer\.logger\.init_args\.settings as [\s\S]*found    hello", capsys.readouterr().err)


def test_an_option_inside_of_classes_is_named_by_its_whole_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(options: dict[str, Any], *line: str) -> str:
        negatives = {"class_path": "NameNegatives", "init_args": options}
        model = {"class_path": "DIM", "init_args": {"negatives": negatives}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"run": "r", "data": {"root": "w"}, "model": model}))
        for command in ("fit", "test"):
            assert main([command, "--config", str(tmp_path / "config.yaml"), *line]) == 1
        return capsys.readouterr().err

    assert said({"pool": "x"}).count("--model.init_args.negatives.init_args.pool as a whole number\nfound    x") == 2
    assert said({"pol": 3}).count("Option 'model.init_args.negatives.init_args.pol' is not accepted") == 2
    assert said({"pool": 3}, "--model.negatives.pool=x").count("--model.negatives.pool as a whole number") == 2
    model = {"class_path": "DIM", "init_args": {"negatives": "own.Marker"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"run": "r", "data": {"root": "w"}, "model": model}))
    assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 1
    assert "own.Marker as model.init_args.negatives\n" in capsys.readouterr().err
    callbacks = [{"class_path": "EarlyStopping", "init_args": {"monitor": "m", "patience": "x"}}]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": "DIM", "trainer": {"callbacks": callbacks}}))
    assert main(["test", "--run=r", "--data.root=w", "--config", str(tmp_path / "config.yaml")]) == 1
    assert "expected --trainer.callbacks.init_args.patience as a whole number" in capsys.readouterr().err


def test_a_wrong_key_is_named_where_the_configuration_is_given_from_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"run": "run", "data": {"root": "w"}, "model": {"class_path": "DIM", "init_args": {"widht": 3}}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    for command in ("fit", "test"):
        assert main([command, "--config", "run/config.yaml"]) == 1
        said = capsys.readouterr().err
        assert "widht" in said
        assert "no such file" not in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    JSON, st.sampled_from([LinkerManifest, GenerativeManifest, RunConfig, RunPlaces, dict[str, int | None], list[str]])
)
def test_whatever_stands_in_a_file_is_of_the_type_or_a_mismatch(value: Any, hint: Any) -> None:
    with suppress(Mismatch):  # and nothing else
        assert typed(value, hint) == value
