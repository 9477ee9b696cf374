"""Which linker opens what: of methods, of folders, of users' own classes and of installed packages."""

from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from demo_run import demo_run, linker_of

from dim.core import plugins
from dim.core.plugins import CLASSES, CONVERTERS, LINKERS, all_classes, classes_in, loaded
from dim.errors import ConfigError
from dim.linker import Entity, Linker, kinds
from dim.linker.classes import named_in
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.methods.contrastive.module import DIM
from dim.methods.generative.linker import GenerativeLinker


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds") / "saved"
    linker_of(demo_run(tmp_path_factory)).save(folder)
    return folder


class Mine(ContrastiveLinker):
    pass


class MyDIM(DIM):
    pass


class OfMyDIM(ContrastiveLinker):
    method, content = MyDIM, "my linker"


def test_a_folder_opens_as_the_class_that_is_asked(saved: Path) -> None:
    assert type(Linker.from_pretrained(saved, device="cpu")) is ContrastiveLinker
    mine = Mine.from_pretrained(saved, device="cpu")
    assert type(mine) is Mine
    assert repr(mine).startswith("Mine(")
    with pytest.raises(ConfigError, match=r"GenerativeLinker answers for[\s\S]*ContrastiveLinker[\s\S]*every kind"):
        GenerativeLinker.from_pretrained(saved, device="cpu")


def test_a_linker_is_a_container_of_its_entities(saved: Path) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    linker.add_entities(Entity("N1", "Ada"))
    assert "N1" in linker
    assert 7 not in linker
    assert linker["N1"].name == "Ada"
    assert [entity.id for entity in linker][-1] == "N1"
    assert len(list(linker)) == len(linker)


def test_what_cannot_be_searched_does_not_stay_in_the_kb(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linker = Linker.from_pretrained(saved, device="cpu")
    before = len(linker)

    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ContrastiveLinker, "_add_scored", fails)
    with pytest.raises(MemoryError):
        linker.add_entities(Entity("N1", "Ada"))
    assert (len(linker), "N1" in linker) == (before, False)


def test_the_linker_of_a_method_that_extends_another_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinds.kind_of_task(MyDIM(), "a run") is ContrastiveLinker
    monkeypatch.setattr(kinds, "linker_kinds", lambda: (ContrastiveLinker, GenerativeLinker, OfMyDIM))
    assert kinds.kind_of_task(MyDIM(), "a run") is OfMyDIM
    assert kinds.kind_of_task(DIM(), "a run") is ContrastiveLinker


@pytest.mark.parametrize("group", [CLASSES, LINKERS, CONVERTERS])
def test_a_package_that_cannot_be_used_is_said_and_left_out(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = EntryPoint("ours", "dim.errors:ConfigError", group)
    points = [EntryPoint("gone", "no_such_package", group), EntryPoint("other", "collections:Counter", group), own]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)

    def read(found: Any) -> Any:
        if found is not ConfigError:
            raise TypeError("not what is wanted")
        return found

    assert list(loaded(group, read)) == [ConfigError]
    said = capsys.readouterr().err
    assert "no_such_package of an installed package is left out: ModuleNotFoundError" in said
    assert "collections:Counter of an installed package is left out: TypeError: not what is wanted" in said
    monkeypatch.setattr(plugins, "entry_points", lambda group: points[:1])
    if group != CONVERTERS:  # dim's own stand in a tuple
        with pytest.raises(ConfigError, match="pip install -e"):
            list(loaded(group, read))


def test_a_package_whose_module_names_no_classes_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [*plugins.entry_points(group=CLASSES), EntryPoint("other", "tomllib._types", CLASSES)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert DIM in all_classes()
    assert named_in("NobodysClass") == ()
    assert capsys.readouterr().err.count("tomllib._types of an installed package is left out: AttributeError") == 2


def test_what_a_module_merely_imports_is_not_known() -> None:
    module: Any = SimpleNamespace(__all__=["Mine", "number"], Mine=Mine, number=1, Path=Path)
    assert classes_in(module) == [Mine]


def test_who_asks_again_after_an_import_that_failed_hears_of_all(monkeypatch):
    tries = []

    def loaded(*_):
        tries.append(1)
        yield ContrastiveLinker
        if len(tries) == 1:
            raise KeyboardInterrupt
        yield GenerativeLinker

    monkeypatch.setattr(kinds, "loaded", loaded)
    monkeypatch.setattr(kinds, "_found", [])
    monkeypatch.setattr(kinds, "_further", [])
    with pytest.raises(KeyboardInterrupt):
        list(kinds.linker_kinds())
    assert list(kinds.linker_kinds()) == [ContrastiveLinker, GenerativeLinker]
