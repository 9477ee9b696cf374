"""The prefix tree of all names: which tokens a language model may write next, and whose name it has written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.core.folder_files import read_array, read_json, refit, write_arrays
from dim.core.output import Kind, output_folder
from dim.errors import DataError
from dim.methods.generative.choices import OfNames
from dim.methods.generative.name_tokens import LeftOut, See, Tokenize, join_left_out, tokenize_names
from dim.methods.generative.sorted_names import Integers, SortedNames, sort_names

FORMAT = 1
TREE = Kind("a tree of names", lambda folder: (folder / "tree.json").is_file(), lambda folder: ("tree.json", "*.npy"))
NO_ROWS = np.zeros(0, dtype=np.int64)


class About(TypedDict):
    """What tree.json says."""

    format: int
    hash: str
    end_token: int
    vocab_size: int
    max_tokens: int
    facts: dict[str, Any]
    left_out: dict[str, Any]


class NameTree:
    """All names that may be written, as sequences of tokens, with the rows of the KB that bear them.

    Make one by `NameTree.build`, or open one by `NameTree.load`. The end token after each name is understood, not
    stored. The names added by `with_names` are a second part beside the first.

    Attributes:
        end_token: Written after a name.
        vocab_size: Of the tokenizer; all tokens are smaller.
        max_tokens: That may be written, the end token among them.
        facts: What the caller has to say of the tree (hash of the KB, fingerprint of the tokenizer, source); JSON.
        left_out: For each reason to leave (name, row) pairs out, their `count` and the `first` five names.
    """

    def __init__(
        self,
        parts: tuple[SortedNames, ...],
        end_token: int,
        vocab_size: int,
        max_tokens: int,
        facts: dict[str, Any] | None = None,
        left_out: LeftOut | None = None,
    ) -> None:
        self._parts = parts
        self.end_token, self.vocab_size, self.max_tokens = end_token, vocab_size, max_tokens
        self.facts, self.left_out = facts or {}, left_out or {}

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        rows: NDArray[np.int64],
        tokenize: Tokenize,
        end_token: int,
        vocab_size: int,
        max_tokens: int = 32,
        show_progress: bool = True,
        unknown_token: int | None = None,
        see: See | None = None,
    ) -> NameTree:
        """The tree of these names.

        Args:
            names: One a (name, row) pair: an entity's aliases are further pairs, and entities may share a name.
            rows: [n] int64, KB rows, or NIL_ROW for an answer that stands for NIL.
            tokenize: Gives the tokens of each text, without special tokens, as they follow on the prompt.
            end_token: Written after a name.
            vocab_size: Of the tokenizer with its added tokens; all tokens are smaller.
            max_tokens: That may be written, the end token among them; longer names are left out.
            show_progress: Whether a bar appears on stderr where there are many names.
            unknown_token: Stands for characters that the vocabulary lacks: names with it are left out. None: there is
                none.
            see: Gets the names that can be written, and their tokens.

        Raises:
            ConfigError: A token is not in the vocabulary.
            DataError: There are no names, or none that can be written; or names and rows do not fit.
        """
        limits = end_token, vocab_size, max_tokens
        pairs, left_out = tokenize_names(names, rows, tokenize, *limits, show_progress, unknown_token, see)
        if not len(pairs.lengths):
            reasons = "; ".join(f"{what['count']:,} with {why}: {what['first']}" for why, what in left_out.items())
            raise DataError(
                "at least one name that the language model can write",
                f"{len(names):,} names in the KB" + (f", all left out: {reasons}" if names else ""),
                "Check the names of the KB, the tokenizer and max_tokens.",
            )
        return cls((sort_names(pairs, vocab_size),), *limits, left_out=left_out)

    def with_names(
        self, names: Sequence[str], rows: NDArray[np.int64], tokenize: Tokenize, unknown_token: int | None = None
    ) -> NameTree:
        """A tree with more (name, row) pairs, which shares the arrays of this one.

        Args:
            names: As for `build`; none is allowed.
            rows: [n] int64, as for `build`.
            tokenize: The same as for `build`.
            unknown_token: The same as for `build`.
        """
        limits = self.end_token, self.vocab_size, self.max_tokens
        pairs, left_out = tokenize_names(names, rows, tokenize, *limits, False, unknown_token)
        added = self._parts[1].pairs().join(pairs) if len(self._parts) > 1 else pairs
        parts = (self._parts[0], sort_names(added, self.vocab_size)) if len(added.lengths) else self._parts
        return NameTree(parts, *limits, self.facts, join_left_out(self.left_out, left_out))

    def __len__(self) -> int:
        """Distinct names, as sequences of tokens."""
        return len(self._whole)

    @cached_property
    def num_pairs(self) -> int:
        """Distinct pairs of a name and a row."""
        return int(len(self._whole) + np.diff(self._whole.several_starts).sum() - len(self._whole.several_starts) + 1)

    @cached_property
    def num_tokens(self) -> int:
        """One more than the largest token of any name or the end: scores must be so wide."""
        return max(self.end_token, *(int(part.tokens.max()) for part in self._parts)) + 1

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, with the map to the KB's rows."""
        return sum(part.nbytes for part in self._parts)

    @cached_property
    def hash(self) -> str:
        """Of names, rows and end token; the same whether names came at once or later."""
        return content_hash(str(FORMAT), str(self.end_token), str(self.vocab_size), self._whole.hash)

    def choices(self, device: torch.device) -> OfNames:
        """What may be written, for a search on a device: its nodes take eight bytes each, beside `nbytes`."""
        return OfNames([part.graph(self.end_token, device) for part in self._parts], self.num_tokens)

    def rows_of(self, tokens: Sequence[int]) -> Integers:
        """[k] int64, ascending, the KB rows (or NIL_ROW) whose name is exactly these tokens; empty where none is."""
        places = [(part, part.find(tokens)) for part in self._parts]
        found = [part.rows_at(place) for part, place in places if place is not None]
        return np.unique(np.concatenate([NO_ROWS, *found])).astype(np.int64)

    def __iter__(self) -> Iterator[tuple[list[int], list[int]]]:
        """Each name's tokens with its rows, in order."""
        starts = np.cumsum(self._whole.lengths, dtype=np.int64).tolist()
        for name, (first, last) in enumerate(zip([0, *starts[:-1]], starts, strict=True)):
            yield self._whole.tokens[first:last].tolist(), self._whole.rows_at(name).tolist()

    def save(self, folder: Path, facts: dict[str, Any] | None = None) -> None:
        """Writes the tree into a folder, which is there whole or not at all; a tree with added names as one.

        Args:
            folder: Where it shall stand; another tree is replaced, and nothing else.
            facts: Kept with the tree, JSON; by default those that it has.
        """
        description = {
            "format": FORMAT,
            "hash": self.hash,
            "names": len(self),
            "pairs": self.num_pairs,
            "end_token": self.end_token,
            "vocab_size": self.vocab_size,
            "max_tokens": self.max_tokens,
            "facts": self.facts if facts is None else facts,
            "left_out": self.left_out,
        }
        with output_folder(folder, TREE, "a tree of names", overwrite=True) as temporary:
            write_arrays(temporary, self._whole.arrays)
            text = json.dumps(description, indent=2, ensure_ascii=False)
            (temporary / "tree.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> NameTree:
        """Opens a saved tree, mapped into memory.

        Raises:
            DataError: The folder holds no tree, one of another format, or one that is damaged.
        """
        remedy = "Remove the folder and build the tree again."
        try:
            what = f"a tree of names in {folder}"
            about = read_json(folder / "tree.json", dict[str, Any], what, remedy)
            if about["format"] != FORMAT:
                found = f"format {str(about['format'])[:80]} in {folder}"
                raise DataError(f"a tree of names in format {FORMAT}", found, remedy)
            about = refit(about, About, "tree.json", what, remedy)
            names = SortedNames.__dataclass_fields__
            whole = SortedNames(**{name: _open(folder / f"{name}.npy", what, remedy) for name in names})
            keys = "end_token", "vocab_size", "max_tokens", "facts", "left_out"
            tree = cls((whole,), **{key: about[key] for key in keys})
            if tree.hash != about["hash"]:
                raise ValueError(f"its hash is not {about['hash']}, as tree.json says")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            found = f"{type(error).__name__}: {error}"
            raise DataError(f"a tree of names in {folder}", found, remedy) from error
        return tree

    @cached_property
    def _whole(self) -> SortedNames:
        """All names in one part; sorted anew, once, where some were added."""
        if len(self._parts) == 1:
            return self._parts[0]
        first, second = (part.pairs() for part in self._parts)
        return sort_names(first.join(second), self.vocab_size)


def _open(path: Path, what: str, remedy: str) -> NDArray[Any]:
    # A plain view of the mapped one is as fast as any array; the class for maps is not.
    return read_array(path, what, remedy, "iu", 1, "r").view(np.ndarray)
