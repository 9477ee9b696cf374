"""`dim bench likelihoods`: what a language model that nobody trained brings to a run: names written, names scored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from benchmarks.clock import say_measured
from dim.core.arrays import Doubles, Rows
from dim.core.files import write_json
from dim.core.folder_files import peek_json
from dim.core.progress import tracked
from dim.display.terminal import Console
from dim.encoders.device import Precision
from dim.errors import ConfigError
from dim.evaluation.intervals import Bootstrap
from dim.evaluation.protocols import Generative
from dim.evaluation.significance import paired_randomization
from dim.methods.generative.examples import NoExamples, SimilarExamples
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.module import GEMEL
from dim.methods.generative.tokenizer import End
from dim.reranker.features import FEATURES
from dim.reranker.finder import Finder
from dim.reranker.lists import Lists
from dim.training.saved_run import open_run
from dim.training.task import LinkingTask

#: Of the mean log-likelihood of a name's tokens, in nats, beside a cosine.
WEIGHTS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
CONFIDENCE = "95% bootstrap intervals; p: paired randomisation"


@dataclass(frozen=True)
class Way:
    """How names are written.

    Attributes:
        examples: Training mentions with the most similar strings that stand before the question.
        tree: Whether only names of the KB can be written.
        end: What ends a name.
    """

    examples: int
    tree: bool
    end: End

    @property
    def file(self) -> str:
        """What its results are kept in."""
        return f"written_{self.examples}_{'tree' if self.tree else 'free'}_{self.end}.json"


def now() -> Doubles:
    """Seconds by the clock, and of the processor: on a busy machine these say more."""
    return np.array([time.perf_counter(), time.process_time()])


class ReadOnce(LanguageModel):
    """A language model that reads a batch of prompts once, however many ways go on from it: their beams copy its cache.

    Attributes:
        saved: As of `now`, what reading again would have taken.
    """

    saved = np.zeros(2)
    _read: tuple[Any, ...] = ()  # how, the mask, the vectors, the output, seconds

    def run(self, mask: Tensor, num_logits: int, vectors: Tensor, past: Any = None, is_last: bool = False) -> Any:
        """As of `LanguageModel`; the prompts that were read last are not read again."""
        if past is not None or is_last or num_logits != 1:
            return super().run(mask, num_logits, vectors, past, is_last)
        if self._read and self._read[0] == self.way and torch.equal(self._read[1], mask):
            _, _, known, output, seconds = self._read
            if torch.equal(known, vectors):
                self.saved = self.saved + seconds
                return output
        start = now()
        output = super().run(mask, num_logits, vectors)
        self._read = self.way, mask, vectors, output, now() - start
        return output


def bench_likelihoods(
    run: Path,
    language_model: str,
    out: Path,
    num_mentions: int = 500,
    num_tuned: int = 300,
    examples: list[int] | None = None,
    trees: list[bool] | None = None,
    ends: list[End] | None = None,
    score: bool = True,
    scored_examples: int = 4,
    scored_end: End = "line",
    num_candidates: int = 8,
    batch_size: int = 8,
    num_beams: int = 5,
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Asks a frozen language model about mentions of a run's dataset, by text alone, and sets it beside the run.

    First it writes names, as GEMEL without images: with each number of examples, with the prefix tree and without, with
    either end. Then it scores the names of the candidates that the run's vectors and the string baseline bring; the
    weight of its likelihood beside each of these is chosen on tune. Ways to write with as many examples read their
    prompts once; the time of each counts reading. What is finished is kept in `out`: the same command goes on.

    Args:
        run: A finished run of DIM whose dataset has the splits tune and dev.
        language_model: A folder, or an id on the Hugging Face hub.
        out: A folder for results.
        num_mentions: Mentions of dev, drawn by the seed; fewer are some of more.
        num_tuned: Mentions of tune, drawn by the seed.
        examples: Numbers of examples; by default 0, 4 and 16.
        trees: With the prefix tree, without; by default both.
        ends: What ends a name that is written; by default each.
        score: Whether the names of candidates are scored, too.
        scored_examples: Examples before the question whose names are scored.
        scored_end: What ends a name that is scored.
        num_candidates: Candidates from the vectors, and from the names, of each mention.
        batch_size: Prompts at once.
        num_beams: Beams of the search.
        precision: Of the language model.
        device: `auto`, `cpu`, `cuda` …
        seed: Of the draw.

    Returns:
        All that the tables show.

    Raises:
        ConfigError: The run has too few mentions.
    """
    task = open_run(run, device)
    if "image" in task.data.mention_fields:
        raise ConfigError(
            "a run that reads text alone", f"one with images at {run}", "Fit a config such as wikimel_text."
        )
    dev, tune = (_drawn(task, split, number, seed) for split, number in (("dev", num_mentions), ("tune", num_tuned)))
    model = ReadOnce(language_model, precision=precision)
    asked = {"language_model": model.fingerprint, "mentions": num_mentions, "seed": seed, "beams": num_beams}
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"run": run.name, **asked, "written": []}
    finder = Finder(task, num_candidates) if score else None
    lists = {split: finder.lists(task, rows) for split, rows in (("tune", tune), ("dev", dev))} if finder else {}
    task.data.protocol = Generative()

    def opened(way: Way) -> GEMEL:
        return _opened(task, model, way, num_beams, batch_size)

    scored = {}
    for split, of_split in lists.items():
        path = out / f"scored_{split}_{scored_examples}_{scored_end}.json"
        if not path.exists():
            gemel = opened(Way(scored_examples, True, scored_end))
            rows = dev if split == "dev" else tune
            write_json(path, asked | {"scores": _score(gemel, rows, of_split).tolist()})
        scored[split] = np.array(_checked(path, asked)["scores"])
    for number in examples if examples is not None else [0, 4, 16]:
        ways = [Way(number, *each) for each in product(trees or (True, False), ends or get_args(End))]
        missing = {way: opened(way) for way in ways if not (out / way.file).exists()}
        for way, written in _write(missing, model, dev).items():
            write_json(out / way.file, asked | asdict(way) | written)
        found["written"] += [_checked(out / way.file, asked) for way in ways]
    if score:
        found["scored"] = weigh(lists["tune"], lists["dev"], scored["tune"], scored["dev"])
    _print(found)
    write_json(out / "results.json", found)
    facts = f"{len(dev)} mentions of dev and {len(tune)} of tune, seed {seed}; {CONFIDENCE}"
    say_measured(facts)
    return found


def _drawn(task: LinkingTask, split: str, number: int, seed: int) -> Rows:
    """Rows of mentions whose gold the KB has, in their order; those of a smaller number are among them."""
    rows = task.datamodule.rows(split)
    known = rows[task.data.gold.cpu()[rows] >= 0].numpy()
    if len(known) < number:
        raise ConfigError(f"{number} mentions in {split}", f"{len(known)}", "Ask for fewer.")
    return np.sort(np.random.default_rng(seed).permutation(known)[:number])


def _opened(task: LinkingTask, model: LanguageModel, way: Way, num_beams: int, batch_size: int) -> GEMEL:
    gemel = GEMEL(
        model,
        SimilarExamples(way.examples) if way.examples else NoExamples(),
        constrained=way.tree,
        end=way.end,
        aliases=False,
        num_beams=num_beams,
        batch_size=batch_size,
        train_mapper=False,
    )
    gemel.open_for_scoring(task.datamodule, None, task.device)
    return gemel


def _checked(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = peek_json(path, dict[str, Any])
    if other := [name for name, value in asked.items() if kept.get(name) != value]:
        raise ConfigError(f"results of this {other[0]} in {path}", str(kept.get(other[0])), "Name another --out.")
    return kept


def _write(gemels: dict[Way, GEMEL], model: ReadOnce, rows: Rows) -> dict[Way, dict[str, Any]]:
    """Ranks of the golds, the shares of answers that ended and that are names of the KB, and how long it took.

    Args:
        gemels: Ways with as many examples, so that their prompts are the same.
        model: Theirs.
        rows: Mentions.
    """
    if not gemels:
        return {}
    for gemel in gemels.values():
        gemel.settle_names()
        gemel.rank(torch.from_numpy(rows[:1]))  # loads what loads at the first use
        gemel.on_scoring_start()
    first = next(iter(gemels.values()))
    prompts = first.prompts.of(rows)
    by_length = np.argsort([prompt.length(first.prefix_length) for prompt in prompts], kind="stable")
    batches = [by_length[start : start + first.batch_size] for start in range(0, len(rows), first.batch_size)]
    ranks = {way: np.full(len(rows), np.nan) for way in gemels}
    seconds = dict.fromkeys(gemels, np.zeros(2))
    with torch.inference_mode():
        for places in tracked(batches, "write names", len(batches)):
            for way, gemel in gemels.items():
                gemel.settle_names()
                start, saved = now(), model.saved
                ranks[way][places] = gemel.rank(torch.from_numpy(rows[places])).ranks
                seconds[way] = seconds[way] + now() - start + model.saved - saved
    return {way: _facts(gemel, ranks[way], seconds[way]) for way, gemel in gemels.items()}


def _facts(gemel: GEMEL, ranks: Doubles, seconds: Doubles) -> dict[str, Any]:
    about = gemel.describe()
    return {
        "hits": (ranks == 1).astype(int).tolist(),
        "hits_at_5": (ranks <= 5).astype(int).tolist(),
        "ended_share": about["ended_share"],
        "kb_name_share": about["kb_name_share"],
        "seconds": seconds[0] / len(ranks),
        "cpu_seconds": seconds[1] / len(ranks),
        "prompts": about["prompts"],
    }


def _score(gemel: GEMEL, rows: Rows, lists: Lists) -> Doubles:
    """The score of the name of each listed entity, in the order of the lists: log-likelihood by token."""
    names = gemel.data.dataset.column("entities", "name").to_pylist()
    prompts = gemel.prompts.of(rows)
    lengths = [prompt.length(gemel.prefix_length) for prompt in prompts]
    by_length = np.argsort(lengths, kind="stable")
    scores = np.empty(len(lists.rows))
    with torch.inference_mode():
        for first in tracked(range(0, len(rows), gemel.batch_size), "score names", -(-len(rows) // gemel.batch_size)):
            chosen = by_length[first : first + gemel.batch_size].tolist()
            encoded, _ = gemel.encode([prompts[place] for place in chosen], lambda mentions: torch.empty(0))
            places = [range(lists.starts[place], lists.starts[place + 1]) for place in chosen]
            tokens = [gemel.language_model.tokenize_names([names[lists.rows[each]] for each in own]) for own in places]
            found = gemel.decoder.score(gemel.language_model, encoded, tokens, gemel.score_batch_size)
            for own, of_prompt in zip(places, found, strict=True):
                scores[own.start : own.stop] = of_prompt
    return scores


def weigh(tune: Lists, dev: Lists, tune_scores: Doubles, dev_scores: Doubles) -> list[dict[str, Any]]:
    """The string baseline and the run's vectors, alone and with the likelihoods beside them.

    Args:
        tune: Candidates of the mentions that the weight is chosen on, by the share whose gold is first.
        dev: Of those that are reported.
        tune_scores: [num_pairs] of `tune`, log-likelihood by token.
        dev_scores: Of `dev`.

    Returns:
        For each way to score `system`, `weight` and `hits`, 0 or 1 a mention of dev; the likelihoods alone first.
    """
    columns = {"string similarity": "name", "DIM vectors": "vectors"}
    alone = {"system": "likelihood alone", "weight": None, "hits": _hits(dev, dev_scores).tolist()}
    rows = [alone]
    for system, column in columns.items():
        place = list(FEATURES).index(column)
        of_tune, of_dev = (lists.features[:, place].astype(np.float64) for lists in (tune, dev))
        best = max(WEIGHTS, key=lambda weight: _hits(tune, of_tune + weight * tune_scores).mean())
        rows.append({"system": system, "weight": 0.0, "hits": _hits(dev, of_dev).tolist()})
        both = _hits(dev, of_dev + best * dev_scores)
        rows.append({"system": f"{system} + likelihood", "weight": best, "hits": both.tolist()})
    return rows


def _hits(lists: Lists, scores: Doubles) -> Rows:
    """Whether the gold of each list [n] stands alone at the top: ties count against it."""
    hits = np.zeros(len(lists), np.int64)
    for place, (start, end) in enumerate(zip(lists.starts[:-1], lists.starts[1:], strict=True)):
        own, gold = scores[start:end], lists.gold[place]
        hits[place] = gold >= 0 and (own >= own[gold]).sum() == 1
    return hits


def _print(found: dict[str, Any]) -> None:
    boot = Bootstrap(np.arange(len(found["written"][0]["hits"])))
    table = Table(title="Names written, text alone, dev", title_justify="left")
    columns = "examples", "tree", "end", "Top-1", "Top-5", "ended", "of them KB names", "s a mention", "of a processor"
    for column in columns:
        table.add_column(column, justify="left" if column in ("tree", "end") else "right")
    for way in found["written"]:
        share = way["kb_name_share"]
        table.add_row(
            str(way["examples"]),
            "yes" if way["tree"] else "no",
            way["end"],
            _share(boot, way["hits"]),
            f"{np.mean(way['hits_at_5']):.1%}".rstrip("%"),
            f"{way['ended_share']:.1%}",
            "" if share is None else f"{share:.1%}",
            f"{way['seconds']:.2f}",
            f"{way['cpu_seconds']:.2f}",
        )
    Console().print(table)
    if "scored" not in found:
        return
    table = Table(title="Candidates' names scored, dev; weight chosen on tune", title_justify="left")
    for column in ("score", "weight", "Top-1", "Δ", "p"):
        table.add_column(column, justify="left" if column == "score" else "right")
    rows = found["scored"]
    for before, row in zip([None, *rows], rows, strict=False):
        is_added = row["system"].endswith("+ likelihood")
        change = [""] * 2
        if is_added and before is not None:
            gain = np.mean(row["hits"]) - np.mean(before["hits"])
            change = [f"{100 * gain:+.1f}", f"{paired_randomization(row['hits'], before['hits']):.4f}"]
        weight = f"{row['weight']:g}" if is_added else ""
        table.add_row(row["system"], weight, _share(boot, row["hits"]), *change)
    Console().print(table)


def _share(boot: Bootstrap, hits: Sequence[int]) -> str:
    low, high = boot.interval(np.array(hits)[:, None])
    return f"{100 * np.mean(hits):.1f} [{100 * low[0]:.1f}, {100 * high[0]:.1f}]"
