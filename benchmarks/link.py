"""`dim bench link`: one mention at a time and in batches, against encoding the same texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.table import Table

from benchmarks.clock import say_measured, seconds
from benchmarks.made_up_linker import Kind, Shape, Vectors, draw_questions, make_linker, make_world
from dim.display.terminal import Console
from dim.encoders.device import Backend
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError
from dim.linker import Question
from dim.linker.ranked import NUM_CANDIDATES
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.search.vector_index import VectorIndex

MAX_P50 = 1.4  # times encoding: the goal of one mention at a time
MIN_BATCH = 0.85  # of the throughput of encoding: the goal of batches
_CAPTION = """encoding: tokenising and encoding mention and context
in one call, a batch in the same calls as the linker's"""
_PARTS = {
    "encode": "encoding, spelling and towers",
    "vectors": "search by vector",
    "names": "search by name",
    "rest": "scores, features and ranker",
}


def bench_link(
    num_entities: int = 18_880,
    text_encoder: Path | None = None,
    num_mentions: int = 300,
    batch_size: int = 256,
    rounds: int = 5,
    kinds: Sequence[Kind] = ("exact",),
    ranker: bool = True,
    device: str = "cpu",
    backend: Backend = "torch",
    shape: Shape = "minilm",
    seed: int = 0,
) -> dict[str, float]:
    """Times a linker and its text encoder in turns on the same mentions: text only, a name and its context.

    The KB is a demo world without images. Towers, ranker and, unless a folder is named, the text encoder have random
    weights, which are as fast as trained ones; towers and spelling are as in lightning_configs/wikimel_text.yaml.

    Args:
        num_entities: Of the KB; at least 1,000.
        text_encoder: The folder of a Transformers text encoder; None: a BERT of MiniLM's shape.
        num_mentions: Asked one at a time.
        batch_size: Mentions of a batch.
        rounds: Batches, each of other mentions.
        kinds: Of the index: the first is the linker's, the others are searched beside it.
        ranker: Whether the linker has one.
        device: Where encoder and towers compute.
        backend: What computes the encoder, also where it is timed alone.
        shape: Of the made encoder; `tiny` is for tests.
        seed: Of the world, the mentions and all weights.

    Returns:
        What the tables show.

    Raises:
        ConfigError: There is nothing to measure.
    """
    if min(num_mentions, batch_size, rounds, len(kinds)) < 1:
        raise ConfigError("mentions, a batch, a round and a kind at least", "none of one of them", "Raise it.")
    with TemporaryDirectory() as folder:
        with Console(stderr=True).status("the world, the encoder and the KB's vectors"):
            world, encoder = make_world(Path(folder), num_entities, text_encoder, shape, seed)
            linker, vectors = make_linker(world, encoder, device, kinds[0], seed, backend)
            linker.ranker = linker.ranker if ranker else None
            questions = draw_questions(world, num_mentions + rounds * batch_size, seed)
        results = measure_single(linker, questions[:num_mentions])
        results |= measure_batches(linker, questions[num_mentions:], batch_size)
        results |= measure_kinds(linker, vectors, kinds, questions[:num_mentions])
    model = text_encoder.name if text_encoder else f"{shape} (random)"
    _print(results, f"{num_entities:,} entities, {model}, {kinds[0]} index, {'with' if ranker else 'no'} ranker", kinds)
    facts = f"{backend}, {torch.get_num_threads()} threads, {num_mentions} mentions, {rounds} batches of {batch_size}"
    say_measured(facts)
    return results


@dataclass(frozen=True)
class Encoding:
    """The bare encoder: what the linker cannot do without."""

    linker: ContrastiveLinker

    @property
    def encoder(self) -> TransformersTextEncoder:
        """The linker's."""
        encoder = self.linker.towers.live.choices.text_encoder
        assert isinstance(encoder, TransformersTextEncoder)
        return encoder

    def texts(self, questions: Sequence[Question]) -> list[list[str]]:
        """What is encoded for questions, each different text once, in calls of texts of like length."""
        live = self.linker.towers.live
        template = live.choices.context_template
        contexts = [template.format(mention=q.mention, context=q.context) for q in questions if q.context]
        unique = sorted({*contexts, *(question.mention for question in questions)}, key=len)
        return [unique[start : start + live.batch_size] for start in range(0, len(unique), live.batch_size)]

    def run(self, texts: Sequence[Sequence[str]]) -> None:
        """Tokenises and encodes."""
        for batch in texts:
            self.encoder.encode_text(batch)


def measure_single(linker: ContrastiveLinker, questions: Sequence[Question]) -> dict[str, float]:
    """Milliseconds of `link` and of encoding alone, one question at a time in turns, and where the rest goes."""
    encoding = Encoding(linker)
    taken: dict[str, list[float]] = {}
    for place, question in enumerate([*questions[:10], *questions]):  # the first ten warm up
        texts = encoding.texts([question])
        actions: dict[str, Callable[[], object]] = {
            "encoding": lambda texts=texts: encoding.run(texts),  # type: ignore[misc]
            "link": lambda q=question: linker.link(q.mention, q.context),  # type: ignore[misc]
        }
        for name in list(actions)[:: 1 if place % 2 else -1]:
            taken.setdefault(name, []).append(1000 * seconds(actions[name]))
        for name, value in _parts(linker, question).items():
            taken.setdefault(name, []).append(value)
    found = {name: np.array(values[10:]) for name, values in taken.items()}
    results = {f"{name}_p50": float(np.median(values)) for name, values in found.items()}
    results |= {f"{name}_p99": float(np.quantile(found[name], 0.99)) for name in ("encoding", "link")}
    results["rest_p50"] = results["link_p50"] - sum(results[f"{name}_p50"] for name in _PARTS if name != "rest")
    return results | {f"ratio_{p}": results[f"link_{p}"] / results[f"encoding_{p}"] for p in ("p50", "p99")}


def _parts(linker: ContrastiveLinker, question: Question) -> dict[str, float]:
    """Milliseconds of the parts of `link`, each called on its own."""
    scores = linker.by_vector(linker.towers.queries([question]), [question.mention])
    linker.names.forget_answers()
    return {
        "encode": 1000 * seconds(lambda: linker.towers.queries([question])),
        "vectors": 1000 * seconds(lambda: scores.nearest(NUM_CANDIDATES)),
        "names": 1000 * seconds(lambda: linker.names.search([question.mention], NUM_CANDIDATES)),
    }


def measure_batches(linker: ContrastiveLinker, questions: Sequence[Question], batch_size: int) -> dict[str, float]:
    """Mentions a second of `link_batch` and of encoding alone, in turns."""
    encoding = Encoding(linker)
    batches = [questions[start : start + batch_size] for start in range(0, len(questions), batch_size)]
    linker.link_batch(batches[0][:8])
    taken: dict[str, list[float]] = {"encoding": [], "link": []}
    for place, batch in enumerate(batches):
        texts = encoding.texts(batch)
        actions: dict[str, Callable[[], object]] = {
            "encoding": lambda texts=texts: encoding.run(texts),  # type: ignore[misc]
            "link": lambda batch=batch: linker.link_batch(batch),  # type: ignore[misc]
        }
        for name in list(actions)[:: 1 if place % 2 else -1]:
            taken[name].append(seconds(actions[name]))
    results = {f"batch_{name}": batch_size / float(np.median(values)) for name, values in taken.items()}
    pairs = zip(taken["encoding"], taken["link"], strict=True)
    return results | {"batch_ratio": float(np.median([bare / ours for bare, ours in pairs]))}


def measure_kinds(
    linker: ContrastiveLinker, vectors: Vectors, kinds: Sequence[Kind], questions: Sequence[Question]
) -> dict[str, float]:
    """Milliseconds of a search by one vector, and the share of the exact 10 nearest found, of each kind of index."""
    queries = [linker.towers.queries([question]) for question in questions]
    built = linker.index
    linker.index = VectorIndex.build(vectors, kind="exact")
    asked = [(query, [question.mention]) for query, question in zip(queries, questions, strict=True)]
    expected = [linker.by_vector(*each).nearest(10)[0] for each in asked]
    results: dict[str, float] = {}
    for kind in kinds:
        linker.index = built if kind == kinds[0] else VectorIndex.build(vectors, kind=kind)
        found = [linker.by_vector(*each) for each in asked]
        times = [1000 * seconds(lambda one=one: one.nearest(NUM_CANDIDATES)) for one in found]  # type: ignore[misc]
        hits = [np.isin(own, one.nearest(10)[0]).mean() for own, one in zip(expected, found, strict=True)]
        results |= {f"search_{kind}": float(np.median(times)), f"recall_{kind}": float(np.mean(hits))}
    linker.index = built
    return results


def _print(results: dict[str, float], title: str, kinds: Sequence[Kind]) -> None:
    of = results.__getitem__
    table = Table(title=title, caption=_CAPTION)
    for column in ("", "encoding", "link", "ratio", "goal"):
        table.add_column(column, justify="right" if column else "left")
    for p, goal in (("p50", f"≤ {MAX_P50}"), ("p99", "")):
        row = f"{of(f'encoding_{p}'):.2f}", f"{of(f'link_{p}'):.2f}", f"{of(f'ratio_{p}'):.2f}", goal
        table.add_row(f"one mention, {p}, ms", *row)
    row = f"{of('batch_encoding'):,.0f}", f"{of('batch_link'):,.0f}", f"{of('batch_ratio'):.2f}", f"≥ {MIN_BATCH}"
    table.add_row("batches, mentions a second", *row)
    Console().print(table)
    parts = Table(title="where one mention's time goes, p50")
    for column in ("", "ms", "of link"):
        parts.add_column(column, justify="right" if column else "left")
    for name, label in _PARTS.items():
        parts.add_row(label, f"{of(f'{name}_p50'):.2f}", f"{of(f'{name}_p50') / of('link_p50'):.0%}")
    Console().print(parts)
    searches = [f"{kind} {of(f'search_{kind}'):.2f} ms (recall@10 {of(f'recall_{kind}'):.3f})" for kind in kinds]
    Console().say(f"search by one vector: {', '.join(searches)}")
