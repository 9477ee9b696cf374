"""The names that a generative linker may write, and whose they are, while entities come and go."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.data.dataset import NIL
from dim.display.lines import warn
from dim.errors import DataError
from dim.evaluation.protocols import NIL_ROW
from dim.inference.data import LinkingData
from dim.linker.knowledge import Knowledge
from dim.methods.generative.answers import Ordering
from dim.methods.generative.choices import NextTokens
from dim.methods.generative.decoding import Written
from dim.methods.generative.name_tokens import tokenize_names
from dim.methods.generative.name_tree import NameTree
from dim.methods.generative.names import build_tree, rows_of_names
from dim.methods.generative.network import GEMELNetwork
from dim.training.tie_break import Scorer


class WritableNames:
    """The names of a linker's KB: a prefix tree, or for an unconstrained run the names as texts.

    Added names can be written at once. After a removal everything is built anew when it is next asked for, so that no
    beam is spent on a name that nobody bears any more.

    Args:
        task: Whose tokenizer and options hold.
        knowledge: The KB.
        tree: Of the KB as it is, where that is known already.
    """

    def __init__(self, task: GEMELNetwork, knowledge: Knowledge, tree: NameTree | None = None) -> None:
        self._task, self._knowledge, self._tree = task, knowledge, tree
        self._owners: dict[str, Rows] | None = None
        self._ordering: Ordering | None = None
        self._is_stale = tree is None

    @property
    def tree(self) -> NameTree | None:
        """The prefix tree; None where nothing can be written, or where the run is unconstrained."""
        if self._is_stale and self._task.constrained:
            self._tree = self._build()
        self._is_stale = False
        return self._tree

    @property
    def ordering(self) -> Ordering:
        """Ranks the entities of written names."""
        if self._ordering is None:
            ids = np.full(self._knowledge.next_row, "", object)
            table = self._knowledge.table()
            ids[table["row"].to_numpy()] = table["id"].to_pylist()
            self._ordering = Ordering(ids, KnownPopularity(self._knowledge))
        return self._ordering

    @property
    def can_write(self) -> bool:
        """Whether there is any name."""
        return not self._task.constrained or self.tree is not None

    def choices(self) -> NextTokens:
        """What a decoder may write."""
        return self._task.choices(self.tree)

    def owners(self, name: Written) -> Rows:
        """The rows [k] of the entities that bear a written name, or NIL_ROW."""
        if self._task.constrained:
            assert self.tree is not None
            return self.tree.rows_of(name.tokens)
        model = self._task.language_model
        if self._owners is None:
            names, rows = self._pairs(self._knowledge.rows.tolist(), self._task.nil)
            self._owners = rows_of_names(names, np.array(rows, np.int64), model)
        return self._owners.get(model.detokenize(name.tokens), np.zeros(0, np.int64))

    def add(self, rows: Rows) -> None:
        """Makes the names of new entities writable; says on stderr which cannot be written, and why."""
        self._owners = self._ordering = None
        if not self._task.constrained:
            return
        names, bearers = self._pairs(rows.tolist(), nil=False)
        owners, model = np.array(bearers, np.int64), self._task.language_model
        limits = model.end_token, model.vocab_size, self._task.decoder.max_new_tokens
        _, left_out = tokenize_names(names, owners, model.tokenize_names, *limits, False, model.unknown_token)
        for why, what in left_out.items():
            first = ", ".join(what["first"])
            warn(f"{what['count']:,} of {len(names):,} new names cannot be written ({why}): {first}")
        if self._is_stale or self._tree is None:
            self._is_stale = True
        else:
            self._tree = self._tree.with_names(names, owners, model.tokenize_names, model.unknown_token)

    def forget(self) -> None:
        """Says that entities were removed."""
        self._owners = self._ordering = None
        self._is_stale = True

    def _build(self) -> NameTree | None:
        names, rows = self._pairs(self._knowledge.rows.tolist(), self._task.nil)
        model, longest = self._task.language_model, self._task.decoder.max_new_tokens
        try:
            return build_tree(names, np.array(rows, np.int64), model, longest)
        except DataError:  # no name is left
            return None

    def _pairs(self, rows: Iterable[int], nil: bool) -> tuple[list[str], list[int]]:
        """Each (name, row) once."""
        pairs = []
        for row in rows:
            entity = self._knowledge.entities[row]
            others = entity.aliases if self._task.aliases else ()
            pairs += [(name, row) for name in dict.fromkeys((entity.name, *others))]
        pairs += [(NIL, NIL_ROW)] if nil else []
        return [name for name, _ in pairs], [row for _, row in pairs]


class KnownPopularity(Scorer):
    """The popularity of the entities of a linker's KB; unknown counts as least popular."""

    name = "popularity"

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def open(self, data: LinkingData) -> None:
        """Nothing is to be read: the KB says it all."""

    def scores(self, mentions: Rows, entities: Rows) -> NDArray[np.float64]:
        """The entities' popularity, -inf where it is unknown."""
        known = [self._knowledge.entities[row].popularity for row in entities.tolist()]
        return np.array([-np.inf if value is None else value for value in known], np.float64)
