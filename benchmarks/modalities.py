"""`dim bench modalities`: texts ask, images answer. What an index finds that was tuned on images, and one on texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.clock import say_measured, seconds
from benchmarks.search_curve import GOAL_RECALL, K, World, check_curve, write_curve
from dim.core.arrays import Floats
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.report.plots import PALETTE, STYLE
from dim.search.codes import build_codes
from dim.search.recall import RecallSample
from dim.search.stores import FaissStore, Storage, build_faiss

NUM_MEASURED, NUM_TUNING = 512, 500  # queries of each kind that are measured; texts that tune


@dataclass(frozen=True, slots=True)
class Modalities:
    """Images and texts of entities, in two cones: `normalize(z + cone·u)`, `normalize(z + cone·w + noise·ε/√width)`.

    z is the entity's vector of a `World`; u and w are the axes of the cones, at right angles; ε is normal. Any two
    images are at a cosine of about cone² / (1 + cone²), a text and its image of 1 / √((1 + cone²)(1 + cone² + noise²)).

    Attributes:
        images: [num_entities, width], float32, unit vectors: the KB.
        own: [num_entities, width], z.
        axis: [width], w.
        cone: Length of what all of one modality share.
        noise: Length of what a text has of its own.
    """

    images: Floats
    own: Floats
    axis: Floats
    cone: float
    noise: float

    @classmethod
    def draw(cls, world: World, num_entities: int, cone: float, noise: float, rng: np.random.Generator) -> Modalities:
        """The images of so many entities."""
        width = world.centres.shape[1]
        axes = np.linalg.qr(rng.standard_normal((width, 2)))[0].T.astype(np.float32)
        own = world.vectors(num_entities, rng)
        return cls(_unit(own + cone * axes[0]), own, axes[1], cone, noise)

    def texts(self, count: int, rng: np.random.Generator) -> Floats:
        """Texts [count, width] of entities that are drawn at random."""
        meant = self.own[rng.integers(len(self.own), size=count)]
        own = self.noise / np.sqrt(meant.shape[1]) * rng.standard_normal(meant.shape, dtype=np.float32)
        return _unit(meant + self.cone * self.axis + own.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Effort:
    """What an index finds when it probes so many lists.

    Attributes:
        of_images: Recall@10 of the KB's own vectors with noise, by which an index is tuned that is told no queries.
        of_texts: Recall@10 of texts.
        texts_per_second: In batches, by the clock.
    """

    storage: str
    effort: int
    lists: int
    of_images: float
    of_texts: float
    texts_per_second: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning chose and said, and what texts then find.

    Attributes:
        tuned_on: "images" or "texts".
        said: Recall@10 of the queries that it was tuned on.
        of_texts: Recall@10 of other texts.
        rescored: Candidates that are scored of `K` answers; 0 where no codes choose them.
    """

    storage: str
    tuned_on: str
    effort: int
    rescored: int
    said: float
    of_texts: float


def bench_modalities(
    num_entities: int = 200_000,
    width: int = 512,
    num_centres: int = 10_000,
    cone: float = 1.0,
    noise: float = 2.0,
    storages: list[Storage] | None = None,
    batch: int = 256,
    repeats: int = 3,
    out: Path | None = None,
) -> list[Effort]:
    """Measures IVF where queries follow another law than the vectors: texts ask for images, each in a cone of its own.

    An index that is told no queries is tuned on its own vectors with noise, which are in the wrong cone: what it says
    of its recall is not what texts find. The table has the recall of both over the lists that are probed.

    Args:
        num_entities: Images in the KB.
        width: Of the vectors.
        num_centres: Of the law (`dim bench search`).
        cone: Length of what all vectors of one modality share; 1: unrelated images are at a cosine of 0.5.
        noise: Length of what a text has of its own; by default a text and its image are at a cosine of 0.29.
        storages: Of IVF; by default float16 and int4.
        batch: Queries a search.
        repeats: Turns, after one that warms up.
        out: Folder for modalities.csv and modalities.png.

    Returns:
        The points of the curves.
    """
    if min(num_entities, width - 1, num_centres, batch, repeats) < 1 or min(cone, noise) < 0:
        found = f"{num_entities}, {width}, {num_centres}, {batch}, {repeats}, {cone}, {noise}"
        raise ConfigError("counts from 1 up, a width from 2 up, cone and noise from 0 up", found, "Choose others.")
    if out is not None:
        check_curve(out, "modalities", Effort.__slots__)
    rng = np.random.default_rng(0)
    law = Modalities.draw(World.draw(num_centres, width, rng), num_entities, cone, noise, rng)
    samples = _samples(law, rng)
    curves: list[Effort] = []
    tuned: list[Tuned] = []
    for storage in storages or ["float16", "int4"]:
        store = build_codes(law.images) if storage == "int4" else build_faiss(law.images, "ivf", storage)
        tuned += [_tuned(store, storage, name, samples) for name in ("images", "texts")]
        curves += _curve(store, storage, samples, batch, repeats)
    _print(curves, tuned, f"texts ask for {num_entities:,} images of width {width}: cone {cone}, noise {noise}")
    say_measured(f"{repeats} turns")
    if out is not None:
        write_curve(curves, _plot(curves, tuned), out, "modalities")
        Console().say(f"wrote {out / 'modalities.csv'} and {out / 'modalities.png'}")
    return curves


def _samples(law: Modalities, rng: np.random.Generator) -> dict[str, RecallSample]:
    """The queries that tune, by their modality, and the texts that measure."""
    return {
        "images": RecallSample(law.images, None, K),
        "texts": RecallSample(law.images, law.texts(NUM_TUNING, rng), K),
        "measured": RecallSample(law.images, law.texts(NUM_MEASURED, rng), K),
    }


def _tuned(store: FaissStore, storage: str, name: str, samples: dict[str, RecallSample]) -> Tuned:
    samples[name].tune(store, GOAL_RECALL)
    said, of_texts = (samples[each].measure(store, GOAL_RECALL).at_10 for each in (name, "measured"))
    return Tuned(storage, name, store.effort, getattr(store, "rescored", 0), said, of_texts)


def _curve(store: FaissStore, storage: str, samples: dict[str, RecallSample], batch: int, repeats: int) -> list[Effort]:
    """Over efforts, of which each is twice the one before, up to that which finds all; as tuned on texts otherwise."""
    points: list[Effort] = []
    queries = np.resize(samples["measured"].queries, (batch, store.vector_width))
    while not points or (points[-1].of_texts < 0.999 and points[-1].effort < store.most):
        store.effort = min(2 * points[-1].effort, store.most) if points else 1
        images, texts = (samples[name].measure(store, GOAL_RECALL).at_10 for name in ("images", "measured"))
        turns = [seconds(partial(store.found, queries, store.width)) for _ in range(repeats + 1)][1:]
        points.append(Effort(storage, store.effort, store.most, images, texts, batch / median(turns)))
    return points


def _print(curves: Sequence[Effort], tuned: Sequence[Tuned], title: str) -> None:
    table = Table(title=title)
    for heading in ("storage", "lists probed", "recall@10 of images", "of texts", "texts/s"):
        table.add_column(heading, justify="left" if heading == "storage" else "right")
    for point in curves:
        probed = f"{point.effort:,}/{point.lists:,}"
        recalls = f"{point.of_images:.4f}", f"{point.of_texts:.4f}"
        table.add_row(point.storage, probed, *recalls, f"{point.texts_per_second:,.0f}")
    Console().print(table)
    for each in tuned:
        scored = f", {each.rescored} candidates scored" if each.rescored else ""
        Console().say(
            f"{each.storage} tuned on {each.tuned_on}: {each.effort:,} lists{scored}; says recall@10 {each.said:.4f},"
            f" texts find {each.of_texts:.4f} (goal ≥ {GOAL_RECALL}):"
            f" {'met' if each.of_texts >= GOAL_RECALL else 'not met'}"
        )


def _plot(curves: Sequence[Effort], tuned: Sequence[Tuned]) -> Figure:
    """Recall@10 over the lists that are probed, a panel a storage, with what tuning chose."""
    storages = list(dict.fromkeys(point.storage for point in curves))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.5 + 4 * len(storages), 3.6), layout="constrained")
        for axes, storage in zip(figure.subplots(1, len(storages), squeeze=False)[0], storages, strict=True):
            own = [point for point in curves if point.storage == storage]
            for colour, name in zip(PALETTE, ("images", "texts"), strict=False):
                values = [getattr(point, f"of_{name}") for point in own]
                axes.plot([point.effort for point in own], values, marker="o", color=colour, label=f"{name} ask")
                [chosen] = [each for each in tuned if (each.storage, each.tuned_on) == (storage, name)]
                axes.axvline(chosen.effort, color=colour, linestyle="--", label=f"tuned on {name}")
            axes.axhline(GOAL_RECALL, color=PALETTE[-1], linestyle=":", label=f"goal {GOAL_RECALL}")
            axes.set_xscale("log", base=2)
            axes.set_title(storage)
            axes.set_xlabel("lists probed (log scale)")
            axes.set_ylabel("recall@10")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _unit(vectors: NDArray[np.floating]) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / lengths, dtype=np.float32)
