"""The names of a KB as answers of a language model: which there are, and whose they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.core.locks import folder_lock
from dim.data.dataset import NIL, Dataset
from dim.evaluation.protocols import NIL_ROW
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.name_tree import FORMAT, NameTree


def name_pairs(dataset: Dataset, aliases: bool, nil: bool) -> tuple[list[str], NDArray[np.int64]]:
    """Every (name, KB row): an entity's name, then its aliases, then NIL if it may be answered.

    Args:
        dataset: The KB.
        aliases: Whether an alias is an answer too.
        nil: Whether `NIL` is one.
    """
    names: list[str] = dataset.column("entities", "name").to_pylist()
    rows = list(range(len(names)))
    if aliases:
        for row, others in enumerate(dataset.column("entities", "aliases").to_pylist()):
            for other in dict.fromkeys(others or ()):
                if other != names[row]:
                    names.append(other)
                    rows.append(row)
    if nil:
        names.append(NIL)
        rows.append(NIL_ROW)
    return names, np.array(rows, dtype=np.int64)


def rows_of_names(dataset: Dataset, aliases: bool, nil: bool) -> dict[str, NDArray[np.int64]]:
    """Name, without blanks around it → the KB rows that bear it."""
    names, rows = name_pairs(dataset, aliases, nil)
    owners: dict[str, list[int]] = {}
    for name, row in zip(names, rows.tolist(), strict=True):
        owners.setdefault(name.strip(), []).append(row)
    return {name: np.array(found, dtype=np.int64) for name, found in owners.items()}


def open_tree(
    dataset: Dataset, model: LanguageModel, aliases: bool, nil: bool, max_tokens: int, cache_dir: Path
) -> NameTree:
    """The prefix tree of a KB's names for a model's tokenizer, from the cache or built now.

    Args:
        dataset: The KB.
        model: Whose tokenizer it is for.
        aliases: Whether an alias is an answer too.
        nil: Whether `NIL` is one.
        max_tokens: The longest name, its end token included.
        cache_dir: Where trees are kept.

    Raises:
        DataError: There is no name that the model could write.
    """
    facts = {
        "kb_hash": dataset.kb_hash,
        "tokenizer": model.tokenizer_hash,
        "source": "names and aliases" if aliases else "names",
        "nil": nil,
        "max_tokens": max_tokens,
    }
    folder = cache_dir / "names" / content_hash(str(FORMAT), repr(sorted(facts.items())))
    with folder_lock(folder, "a tree of names", wait=True):
        if not folder.exists():
            names, rows = name_pairs(dataset, aliases, nil)
            tree = NameTree.build(names, rows, model.tokenize, model.end_token, model.vocab_size, max_tokens)
            tree.save(folder, facts)
        return NameTree.load(folder)
