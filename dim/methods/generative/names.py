"""The names of a KB as answers of a language model: which there are, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.core.locks import folder_lock
from dim.data.dataset import NIL, Dataset
from dim.evaluation.protocols import NIL_ROW
from dim.methods.generative.name_check import NameCheck, behind_prompt, say_names
from dim.methods.generative.name_tokens import See
from dim.methods.generative.name_tree import FORMAT, NameTree
from dim.methods.generative.tokenizer import Tokenized


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


def rows_of_names(names: Sequence[str], rows: NDArray[np.int64], model: Tokenized) -> dict[str, NDArray[np.int64]]:
    """Name, as the model's tokenizer would write it → the KB rows that bear it.

    Args:
        names: One a (name, KB row) pair.
        rows: [n] int64.
        model: Whose tokenizer it is.
    """
    written = [name.strip() for name in names]
    is_writable = [True] * len(names)
    if model.rules.name_tokens == "behind_prompt":
        tokens = model.tokenize_names(names)
        written = model.detokenize_all(tokens)
        is_writable = [bool(of_name) and model.unknown_token not in of_name for of_name in tokens]
    owners: dict[str, list[int]] = {}
    for name, row, can_write in zip(written, rows.tolist(), is_writable, strict=True):
        if can_write:
            owners.setdefault(name, []).append(row)
    return {name: np.array(found, dtype=np.int64) for name, found in owners.items()}


def open_tree(
    dataset: Dataset, model: Tokenized, aliases: bool, nil: bool, max_tokens: int, cache_dir: Path
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
    facts: dict[str, Any] = {
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
            check = NameCheck(model, names)
            tree = build_tree(names, rows, model, max_tokens, see=check)
            tree.save(folder, facts | {"written": check.facts, "behind_prompt": behind_prompt(model, names)})
        tree = NameTree.load(folder)
    say_names(tree.facts, tree.left_out)
    return tree


def build_tree(
    names: Sequence[str], rows: NDArray[np.int64], model: Tokenized, max_tokens: int, see: See | None = None
) -> NameTree:
    """The prefix tree of (name, row) pairs for a model's tokenizer (`NameTree.build`)."""
    limits = model.end_token, model.vocab_size, max_tokens
    return NameTree.build(names, rows, model.tokenize_names, *limits, unknown_token=model.unknown_token, see=see)
