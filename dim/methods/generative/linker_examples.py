"""In-context examples of questions that stand in no dataset: the training mentions of a run, kept with its linker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dim.core.arrays import Rows
from dim.core.excerpts import one_line
from dim.core.files import content_hash
from dim.core.folder_files import read_array, read_parquet, write_arrays
from dim.errors import ConfigError, DataError
from dim.features.batch import FeatureTable
from dim.methods.generative.examples import Examples, NoExamples, RandomExamples, SimilarExamples, Strings, draw
from dim.methods.generative.network import GEMELNetwork

SAME_IMAGE = 1 - 1e-5  #: The least cosine of two features of one image: an encoder's last digits hang on its batch.

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("mention", "context", "name")),
        *((name, pa.int64()) for name in ("string", "image")),
    ]
)
Vector = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainingMentions:
    """What in-context examples show, and what they are chosen by.

    Attributes:
        table: Columns `mention`, `context` and `name` (of the gold entity) of the training mentions, and their rows
            `string` in `strings` and `image` in `images`, -1 where there is none.
        strings: [num_strings, width] float32, vectors of the mention strings; none unless examples are chosen by them.
        images: [num_images, width] float32, image features; none where the run reads no images.
    """

    table: pa.Table
    strings: Vector
    images: Vector

    def save(self, folder: Path) -> None:
        """Writes them into a new folder."""
        folder.mkdir()
        pq.write_table(self.table, folder / "mentions.parquet")
        write_arrays(folder, {"strings": self.strings, "images": self.images})

    @classmethod
    def load(cls, folder: Path) -> TrainingMentions:
        """What `save` wrote. Raises DataError where it is something else."""
        what, remedy = f"training mentions of a linker in {folder}", "Save the linker again, or get it again."
        strings, images = (read_array(folder / f"{name}.npy", what, remedy, "f", 2) for name in ("strings", "images"))
        table = read_parquet(folder / "mentions.parquet", what, remedy)
        try:
            table = table.select(SCHEMA.names).cast(SCHEMA)
        except (KeyError, ValueError, pa.ArrowException) as error:
            raise DataError(what, f"another table ({one_line(error)})", remedy) from error
        is_whole = not any(column.null_count for column in table.columns)
        for name, vectors in (("string", strings), ("image", images)):
            rows = table[name].to_numpy()
            if not is_whole or (len(rows) and not -1 <= rows.min() <= rows.max() < len(vectors)):
                raise DataError(what, f"rows of column {name} that are not below {len(vectors):,}", remedy)
        return cls(table, strings, images)


def training_mentions(task: GEMELNetwork) -> TrainingMentions:
    """Those of an opened run; none where its prompts have no examples."""
    module = task.datamodule
    rows = np.empty(0, np.int64) if isinstance(task.examples, NoExamples) else np.unique(module.train_rows().numpy())
    mentions = task.data.dataset.mentions.iloc[rows]
    by_string = "mention" in task.examples.fields
    string, strings = _features(task.data.mention_fields.get("mention") if by_string else None, rows)
    image, images = _features(task.data.mention_fields.get("image"), rows)
    columns = {name: [text if isinstance(text, str) else "" for text in mentions[name]] for name in TEXTS}
    names = [task.prompts.names[row] for row in rows.tolist()]
    table = pa.table(columns | {"name": pa.array(names, pa.string()), "string": string, "image": image})
    return TrainingMentions(table, strings, images)


class ExampleChoice:
    """Chooses the examples of a question, as the run's `Examples` choose those of its mentions.

    Two rules cannot be repeated exactly: images are the same where their features are, not where their paths are; and
    random examples are drawn by (seed, mention, context), since a question has no id.

    Raises:
        ConfigError: It chose in a way that needs a dataset.
    """

    def __init__(self, training: TrainingMentions, examples: Examples) -> None:
        if not isinstance(examples, NoExamples | RandomExamples | SimilarExamples):
            raise ConfigError(
                "examples that can be chosen for any question (SimilarExamples, RandomExamples, NoExamples)",
                type(examples).__name__,
                "Fit the run with one of these.",
            )
        self.training, self.examples = training, examples
        mentions, contexts = (training.table[name].to_pylist() for name in TEXTS)
        self.items: list[tuple[str, str]] = list(zip(mentions, contexts, strict=True))
        self.names: list[str] = training.table["name"].to_pylist()
        self.image_rows: Rows = training.table["image"].to_numpy()
        self._places: dict[tuple[str, str], list[int]] = {}
        for place, item in enumerate(self.items):
            self._places.setdefault(item, []).append(place)
        norms = np.linalg.norm(training.images, axis=1, keepdims=True)
        self._images = training.images / np.maximum(norms, 1e-12)
        self._strings: Strings | None = None
        if isinstance(examples, SimilarExamples):
            string_rows: Rows = training.table["string"].to_numpy()
            self._strings = Strings(training.strings, string_rows, np.arange(len(string_rows)))

    def __call__(self, mention: str, context: str, string: Vector | None, image: Vector | None) -> list[int]:
        """The training mentions that stand before a question, the best last.

        Args:
            mention: The mention.
            context: Its text.
            string: [width], the mention's vector; None where it has none.
            image: [width], its image's features; None: no image.
        """
        is_barred = self._barred(mention, context, image)
        if isinstance(self.examples, RandomExamples):
            key = content_hash("examples", str(self.examples.seed), mention, context)
            generator = np.random.default_rng(int(key, 16))
            found = draw(np.arange(len(self.items)), generator, 4 * self.examples.num_examples)
            allowed = [place for place in dict.fromkeys(found) if not is_barred[place]]
            return allowed[: self.examples.num_examples][::-1]
        return self._nearest(string, is_barred)[::-1]

    def _nearest(self, string: Vector | None, is_barred: NDArray[np.bool_]) -> list[int]:
        """Best first."""
        if self._strings is None or string is None or not len(self._strings):
            return []
        count, width = self.examples.num_examples, 2 * self.examples.num_examples + 16
        while True:
            width = min(width, len(self._strings))
            allowed = [place for place in self._strings.nearest(string[None], width)[0] if not is_barred[place]]
            if len(allowed) >= count or width == len(self._strings):
                return allowed[:count]
            width *= 4

    def _barred(self, mention: str, context: str, image: Vector | None) -> NDArray[np.bool_]:
        """[n], the training mentions that are the question itself, or show its image."""
        is_same_text = np.zeros(len(self.items), bool)
        is_same_text[self._places.get((mention, context), [])] = True
        shows_image = np.zeros(len(self.items), bool)
        if image is not None and len(self._images):
            is_same = self._images @ (image / max(float(np.linalg.norm(image)), 1e-12)) > SAME_IMAGE
            shows_image = (self.image_rows >= 0) & is_same[self.image_rows]
        if not mention and not context:  # where nothing is said, images tell questions apart
            is_same_text &= shows_image
        if isinstance(self.examples, NoExamples) or self.examples.share_image:
            return is_same_text
        return is_same_text | shows_image


TEXTS = ("mention", "context")


def _features(table: FeatureTable | None, rows: Rows) -> tuple[Rows, Vector]:
    """The places of mentions [n] in a matrix of their features alone, -1 where one has none; and that matrix."""
    if table is None:
        return np.full(len(rows), -1), np.zeros((0, 1), np.float32)
    table = table.one_each()
    owned = table.rows.cpu().numpy()[rows]
    kept = np.unique(owned[owned >= 0])
    matrix: Vector = table.matrix.cpu().numpy()[kept].astype(np.float32)
    return np.where(owned >= 0, np.searchsorted(kept, owned), -1), matrix


def padded(choices: Sequence[Sequence[int]], num_examples: int) -> Rows:
    """[n, num_examples] int64, the choices at the right ends of their rows, -1 before them.

    Example:
        >>> padded([[4, 7], []], 3).tolist()
        [[-1, 4, 7], [-1, -1, -1]]
    """
    rows = np.full((len(choices), num_examples), -1, np.int64)
    for row, chosen in zip(rows, choices, strict=True):
        row[num_examples - len(chosen) :] = chosen
    return rows
