"""The classes that a linker's folder may name, found by their names: others of the same packages are not imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from dim.core.plugins import CLASSES, classes_in, loaded

#: Methods of dim that are trained, too, by the module that has them → the class in its package that answers alone.
ANSWERING = {
    "dim.methods.baselines.bm25.BM25": "bm25_index.BM25Index",
    "dim.methods.baselines.frozen.FrozenVectors": "frozen_network.FrozenNetwork",
    "dim.methods.baselines.names.NamesAndPopularity": "name_methods.PopularityMethod",
    "dim.methods.baselines.names.NamesOnly": "name_methods.NameMethod",
    "dim.methods.contrastive.module.DIM": "network.DIMNetwork",
    "dim.methods.generative.module.GEMEL": "network.GEMELNetwork",
    "dim.methods.mimic.module.MIMIC": "network.MIMICNetwork",
}
#: Classes in a method's package that an option of it means where it names none: the only ones that its type allows.
UNNAMED = {"dim.methods.generative.module.GEMEL": ("language_model.LanguageModel",)}


def _names() -> Iterator[tuple[str, list[str]]]:
    """Each name of a method, and those of the class that answers and of classes that go without theirs."""
    for full, answers in ANSWERING.items():
        module, _, name = full.rpartition(".")
        package = module.rpartition(".")[0]
        for known in (full, f"{package}.{name}", name):
            yield known, [f"{package}.{each}" for each in (answers, *UNNAMED.get(full, ()))]


_ANSWERING = dict(_names())


def answering(model: Any) -> tuple[Any, tuple[type, ...]]:
    """A recipe's model, with dim's own method by the name of the class that answers without what trains it.

    Returns:
        The model, and that class, with those that its options mean without a name; of another method the model as it
        is, and none.

    Example:
        >>> answering({"class_path": "DIM", "init_args": {"width": 8}})[0]
        {'class_path': 'dim.methods.contrastive.network.DIMNetwork', 'init_args': {'width': 8}}
    """
    path = model.get("class_path") if isinstance(model, Mapping) else model
    found = _ANSWERING.get(path) if isinstance(path, str) else None
    if found is None:
        return model, ()
    options = model if isinstance(model, Mapping) else {}
    homes = (each.rpartition(".") for each in found)
    classes = tuple(getattr(import_module(module), name) for module, _, name in homes)
    return {**options, "class_path": found[0]}, classes


def named_in(*parts: Any) -> tuple[type, ...]:
    """The classes of installed packages that parts of a recipe name, by their last names; dim's own come first.

    Packages of others are imported where dim has not all. Whether a full name is that of such a class is for
    `dim.core.known_classes` to say.
    """
    texts = {text.rpartition(".")[2] for part in parts for text in _texts(part)}
    wanted = {path.rpartition(".")[2] for part in parts for path in _paths(part)}
    found: list[type] = []
    here = loaded(CLASSES, lambda module: classes_in(module, texts))
    while wanted and (kinds := next(here, None)) is not None:
        found += kinds
        wanted -= {kind.__name__ for kind in kinds}
    return tuple(found)


def _paths(part: Any) -> Iterator[str]:
    """What names a class for certain: a part that is a text, and `class_path` anywhere in it."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        yield from (value for key, value in part.items() if key == "class_path" and isinstance(value, str))
        for value in part.values():
            yield from () if isinstance(value, str) else _paths(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from () if isinstance(value, str) else _paths(value)


def _texts(part: Any) -> Iterator[str]:
    """All texts in a part: each may name a class."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping | list | tuple):
        for value in part.values() if isinstance(part, Mapping) else part:
            yield from _texts(value)
