"""Which training mentions stand before a mention as in-context examples (GEMEL, arXiv 2306.12725, section 3.3).

As in the release (HITsz-TMG/GEMEL at 906a221, `utils.py`): the 16 training mentions with the most similar strings, the
most similar one last. A mention is never its own example (same string, same text). Two differences from the release: it
excludes a mention's own row for training mentions only, here for all; and it allows examples with the same image as the
mention, which is an option here (`share_image`, off by default).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dim.core.distributed import process_of_run
from dim.core.files import atomic_path, content_hash
from dim.core.locks import folder_lock
from dim.core.progress import tracked
from dim.core.typed import shown
from dim.display.lines import warn
from dim.errors import ConfigError
from dim.images.regions import split_region
from dim.inference.data import LinkingData

FORMAT_VERSION = 1
BATCH = 256  # strings whose neighbours are searched at once
MARGIN = 1e-5  # the largest error of a cosine that FAISS computes in float32
DIGITS = 6  # cosines equal to so many digits are ties
MIN_STRINGS_TO_WATCH = 4096
MOST = 1000  #: Examples a mention: no prompt holds as many, and a number of a stranger's folder takes no memory.


class Examples(ABC):
    """Chooses the in-context examples of every mention.

    Attributes:
        num_examples: Examples a mention, at most.
        fields: The features of mentions that the choice reads.
    """

    num_examples: int
    fields: tuple[str, ...] = ()

    @abstractmethod
    def choose(self, data: LinkingData, train_rows: NDArray[np.int64], cache_dir: Path) -> NDArray[np.int64]:
        """For each mention its examples, as rows [num_mentions, num_examples] of `dataset.mentions`.

        The most similar one is last. Where there are fewer examples, the first places are -1.

        Args:
            data: The dataset, all of whose mentions get examples.
            train_rows: [n], the mentions that may be examples: those of the training split with a known answer.
            cache_dir: Where a choice that takes long is kept.
        """


class NoExamples(Examples):
    """The control: the question stands alone."""

    num_examples = 0

    def choose(self, data: LinkingData, train_rows: NDArray[np.int64], cache_dir: Path) -> NDArray[np.int64]:
        """Rows [num_mentions, 0]."""
        return np.empty((len(data.dataset.mentions), 0), np.int64)


class RandomExamples(Examples):
    """The control: examples drawn at random, a mention's by (seed, its id) alone.

    Args:
        num_examples: Examples a mention, at most.
        seed: Of the draw.
        share_image: Whether an example may show an image of the mention.
    """

    def __init__(self, num_examples: int = 16, seed: int = 0, share_image: bool = False) -> None:
        self.num_examples, self.seed, self.share_image = _within(num_examples), seed, share_image

    def choose(self, data: LinkingData, train_rows: NDArray[np.int64], cache_dir: Path) -> NDArray[np.int64]:
        """Rows [num_mentions, num_examples], in the order of the draw; -1 in front where fewer are allowed."""
        mentions = data.dataset.mentions
        ids = mentions["id"].astype(str).tolist()
        pool = np.array(
            sorted(train_rows.tolist(), key=ids.__getitem__), np.int64
        )  # by id: their order does not matter
        rule = _Rule(mentions, self.share_image)
        chosen = np.full((len(ids), self.num_examples), -1, np.int64)
        for row, name in enumerate(ids):
            generator = np.random.default_rng(int(content_hash("examples", str(self.seed), name), 16))
            _put(chosen[row], rule.first(row, draw(pool, generator, 4 * self.num_examples), self.num_examples))
        return chosen


class SimilarExamples(Examples):
    """The training mentions whose strings are most similar, by the cosine of the text encoder's vectors.

    Cosines that agree in six digits are ties, and go to the lower row. A mention that has no vector gets no examples.

    Args:
        num_examples: Examples a mention, at most.
        share_image: Whether an example may show an image of the mention, as released.
    """

    fields = ("mention",)

    def __init__(self, num_examples: int = 16, share_image: bool = False) -> None:
        self.num_examples, self.share_image = _within(num_examples), share_image

    def choose(self, data: LinkingData, train_rows: NDArray[np.int64], cache_dir: Path) -> NDArray[np.int64]:
        """Rows [num_mentions, num_examples], from the cache where they are known.

        Raises:
            ConfigError: No text encoder has read the mentions.
        """
        if "mention" not in data.mention_fields:
            raise ConfigError(
                "vectors of the mention strings, whose similarity chooses the in-context examples",
                "none",
                "Name a text encoder (--data.text_encoder TransformersTextEncoder --data.text_encoder.path FOLDER) "
                "and leave `mention` in, or use RandomExamples.",
            )
        train_rows = np.unique(train_rows)
        path = cache_dir / "examples" / f"{self._key(data, train_rows)}.npy"
        with folder_lock(path, "a search for examples", wait=True):
            chosen = _read(path, (len(data.dataset.mentions), self.num_examples), train_rows)
            if chosen is None:
                chosen = self._search(data, train_rows)
                with atomic_path(path) as temporary:
                    np.save(temporary, chosen, allow_pickle=False)
        return chosen

    def _key(self, data: LinkingData, train_rows: NDArray[np.int64]) -> str:
        # The rows of the table hold what --data.shuffle did to it.
        encoder = [data.fingerprints.get(name, "") for name in ("text_encoder", "blank")]
        encoder += [data.fingerprints[name] for name in ("feature_dtype",) if name in data.fingerprints]
        options = f"{FORMAT_VERSION} {self.num_examples} {self.share_image}"
        rows = data.mention_fields["mention"].rows.cpu().numpy()
        return content_hash(options, data.dataset.hash, *encoder, rows.tobytes(), train_rows.tobytes())

    def _search(self, data: LinkingData, train_rows: NDArray[np.int64]) -> NDArray[np.int64]:
        table = data.mention_fields["mention"].one_each()
        rows = table.rows.cpu().numpy()
        matrix = table.matrix.cpu().numpy()
        strings = Strings(matrix, rows, train_rows)
        rule = _Rule(data.dataset.mentions, self.share_image)
        chosen = np.full((len(rows), self.num_examples), -1, np.int64)
        asked = np.unique(rows[rows >= 0]) if len(strings) else np.empty(0, np.int64)
        askers = _grouped(rows)
        is_silent = len(asked) < MIN_STRINGS_TO_WATCH or process_of_run() > 0
        batches = [asked[start : start + BATCH] for start in range(0, len(asked), BATCH)]
        for pending in tracked(batches, "finding examples", len(batches), silent=is_silent):
            width = 2 * self.num_examples + 16
            while len(pending):
                width = min(width, len(strings))
                is_open = np.zeros(len(pending), bool)
                for place, candidates in enumerate(strings.nearest(matrix[pending], width)):
                    for row in askers[int(pending[place])]:
                        best = rule.first(row, candidates, self.num_examples)
                        _put(chosen[row], best)
                        is_open[place] |= len(best) < self.num_examples
                pending = pending[is_open & (width < len(strings))]
                width *= 4
        return chosen


class _Rule:
    """Says which training mentions may stand before a mention: not itself, and none with its image unless allowed."""

    def __init__(self, mentions: pd.DataFrame, share_image: bool) -> None:
        self.share_image = share_image
        self.images: list[frozenset[str]] = []
        self.items: list[tuple[str, ...]] = []
        columns = (mentions[name].tolist() for name in ("mention", "context", "images"))
        for mention, context, images in zip(*columns, strict=True):
            paths = () if images is None else tuple(images)
            texts = tuple(text if isinstance(text, str) else "" for text in (mention, context))
            self.images.append(frozenset(split_region(path)[0] for path in paths))
            # Regions of images may have neither string nor text: there the images tell them apart.
            self.items.append(texts if any(texts) else texts + paths)

    def first(self, row: int, candidates: Iterable[int], count: int) -> list[int]:
        """The first `count` different candidates that may stand before the mention `row`."""
        found: dict[int, None] = {}
        for candidate in candidates:
            if self._allows(row, candidate):
                found[candidate] = None
                if len(found) == count:
                    break
        return list(found)

    def _allows(self, row: int, candidate: int) -> bool:
        if candidate == row or self.items[candidate] == self.items[row]:
            return False
        return self.share_image or self.images[candidate].isdisjoint(self.images[row])


class Strings:
    """The strings of the training mentions, to be searched by vector.

    Args:
        matrix: [num_unique, width] float32, the vector of each string.
        rows: [num_mentions], the string of each mention; -1: none.
        train_rows: [n], the mentions that are searched.
    """

    def __init__(self, matrix: NDArray[np.float32], rows: NDArray[np.int64], train_rows: NDArray[np.int64]) -> None:
        owners = {string: train_rows[places] for string, places in _grouped(rows[train_rows]).items()}
        keys = np.array(sorted(owners), np.int64)
        self.owners = [owners[key] for key in keys.tolist()]
        self.matrix, self.norms = matrix[keys], _norms(matrix[keys])
        self.index = faiss.IndexFlatIP(matrix.shape[1])
        self.index.add(_units(self.matrix))

    def __len__(self) -> int:
        return len(self.owners)

    def nearest(self, vectors: NDArray[np.float32], width: int) -> list[list[int]]:
        """For each vector [n, width] the training mentions of its nearest strings, best first, as far as `width` tell.

        What is near the last of them in score is left out, since strings just as near may not be among them, unless
        `width` takes in all.
        """
        scores, found = self.index.search(_units(vectors), width)
        bounds = scores[:, -1] + MARGIN if width < len(self) else np.full(len(vectors), -np.inf)
        return [self._ordered(*each) for each in zip(vectors, _norms(vectors), found, bounds, strict=True)]

    def _ordered(self, vector: NDArray[np.float32], norm: float, found: NDArray[np.int64], bound: float) -> list[int]:
        # Anew, in float64: the order must not hang on how FAISS summed, which changes with the size of the batch.
        products = self.matrix[found].astype(np.float64) @ vector.astype(np.float64)
        cosines = np.round(products / (self.norms[found] * norm), DIGITS)
        is_sure = cosines > bound
        owners = [self.owners[place] for place in found[is_sure].tolist()]
        if not owners:
            return []
        rows, scores = np.concatenate(owners), np.repeat(cosines[is_sure], [len(of) for of in owners])
        return list(rows[np.lexsort((rows, -scores))].tolist())


def _norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.maximum(norms, 1e-12)  # a zero vector is like no other


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    units: NDArray[np.float64] = vectors / _norms(vectors)[:, None]
    return units.astype(np.float32)


def _grouped(labels: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Label → its places in order; those below 0 are left out."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    found, starts = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True)) if len(found) else {}


def draw(pool: NDArray[np.int64], generator: np.random.Generator, at_first: int) -> Iterator[int]:
    """Yields the pool in random order, some of it twice: a few draws mostly do, and cost less than an order of all."""
    if len(pool):
        yield from pool[generator.integers(len(pool), size=at_first)].tolist()
        yield from pool[generator.permutation(len(pool))].tolist()


def _put(place: NDArray[np.int64], best_first: list[int]) -> None:
    if best_first:
        place[-len(best_first) :] = best_first[::-1]


def _read(path: Path, shape: tuple[int, int], train_rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The choice kept in a file; None where there is none, or where the file cannot be what was written."""
    try:
        chosen: NDArray[np.int64] = np.load(path, allow_pickle=False)
        if chosen.shape == shape and chosen.dtype == np.int64 and np.isin(chosen, np.append(train_rows, -1)).all():
            return chosen
        reason = "it does not hold training mentions of this dataset"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error)
    warn(f"{path} is damaged ({reason}); the examples are chosen anew.")
    return None


def _within(num_examples: int) -> int:
    if not 1 <= num_examples <= MOST:
        remedy = "Change num_examples, or use NoExamples."
        raise ConfigError(f"1 to {MOST:,} in-context examples", shown(num_examples), remedy)
    return num_examples
