"""What answering the mentions of a text together changes on a split: ranks, calibration, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from dim.collective.coherence import Coherence
from dim.collective.collective import FACT, Alone, Collective
from dim.core.arrays import Rows
from dim.core.progress import tracked
from dim.data.splits import text_groups
from dim.display.terminal import Console
from dim.evaluation.intervals import Bootstrap
from dim.evaluation.results import percent
from dim.evaluation.significance import paired_randomization
from dim.inference.two_towers import TwoTowersNetwork
from dim.reranker.finder import Finder
from dim.reranker.ranker import Judged
from dim.training.answered import Answered
from dim.training.ranker_results import After, print_written, write_ranked
from dim.training.task import LinkingTask


class Texts:
    """The mentions of a split as its ranker answers them, text by text.

    Args:
        answered: They.

    Attributes:
        answered: As given.
        alone: What the ranker says of each, for `Collective`.
        groups: [n], the number of each mention's text.
    """

    def __init__(self, answered: Answered) -> None:
        self.answered = answered
        lists, mentions = answered.lists, answered.task.data.dataset.mentions
        self.groups = text_groups(mentions.iloc[answered.rows])
        names = [answered.finder.mentions[row] for row in answered.rows.tolist()]
        parts = zip(names, lists.starts[:-1], lists.starts[1:], answered.judged, lists.gold, strict=True)
        self.alone = [
            Alone(name, lists.rows[start:end], said.probabilities, int(gold)) for name, start, end, said, gold in parts
        ]

    @property
    def shares_text(self) -> NDArray[np.bool_]:
        """Whether each mention [n] has others in its text."""
        found: NDArray[np.bool_] = np.bincount(self.groups)[self.groups] > 1
        return found

    def by_text(self) -> list[list[Alone]]:
        """The mentions of each text that has several."""
        return [[self.alone[place] for place in part] for part in several(self.groups)]

    def together(self, collective: Collective, coherence: Coherence, groups: Rows, label: str) -> list[Judged]:
        """What is said of each mention where those of one group are answered together."""
        found = list(self.answered.judged)
        for part in tracked(texts := several(groups), label, len(texts)):
            likely = collective.together([self.alone[place] for place in part], coherence)
            for place, probabilities in zip(part, likely, strict=True):
                order = np.argsort(-probabilities, kind="stable")
                found[place] = replace(found[place], order=order, probabilities=probabilities)
        return found


def several(groups: Rows) -> list[Rows]:
    """The places of the mentions of each text, by groups [n], that has several."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [part for part in parts if len(part) > 1]


def coherence_of(task: LinkingTask, finder: Finder) -> Coherence:
    """Of a run's entities: by its vectors, if it has any, and by their texts."""
    if not isinstance(task, TwoTowersNetwork):
        return Coherence(finder.facts)
    vectors = task.kb_vectors.float().cpu().numpy()
    return Coherence(finder.facts, lambda rows: vectors[rows])


def shuffled(groups: Rows, shares: NDArray[np.bool_], seed: int) -> Rows:
    """Groups [n] of the same sizes, of other mentions: those that share a text are dealt out anew."""
    found = groups.copy()
    found[shares] = np.random.default_rng(seed).permutation(groups[shares])
    return found


def evaluate_collective(run: Path, texts: Texts, collective: Collective, coherence: Coherence, out: Path) -> None:
    """Answers a split text by text, writes what is found to `out`, and prints it beside each mention alone."""
    task = texts.answered.task
    judged = texts.together(collective, coherence, texts.groups, "texts")
    others = shuffled(texts.groups, texts.shares_text, task.seed)
    control = texts.together(collective, coherence, others, "shuffled texts")
    found = describe(texts, judged, control) | {"learned": collective.to_fact()}
    after = After(FACT, found, collective.to_fact())
    metrics, frame = write_ranked(run, texts.answered, judged, out, after)
    print_written(task, metrics, frame, out)
    Console().print(collective_table(found))


def describe(texts: Texts, judged: Sequence[Judged], control: Sequence[Judged]) -> dict[str, Any]:
    """Top-1 and calibration of mentions alone, of those together, and of mentions put together at random.

    Of mentions alone is spoken whose entity the KB has.

    Args:
        texts: Of the split.
        judged: Those of each text together.
        control: Those of texts dealt out anew.
    """
    answered = texts.answered
    ways = {"alone": answered.judged, "together": judged, "shuffled": control}
    hits = {name: answered.hits(said) for name, said in ways.items()}
    gain = hits["together"].astype(float) - hits["alone"]
    found, in_kb = dict[str, Any](), answered.in_kb
    for name, which in (("all", in_kb), ("shared", in_kb & texts.shares_text)):
        if not which.any():
            continue
        figures = {way: answered.figures(said, which) for way, said in ways.items()}
        low, high = Bootstrap(texts.groups[which]).interval(gain[which][:, None])
        found[name] = {
            "n": int(which.sum()),
            **{name: {way: of[name] for way, of in figures.items()} for name in ("top1", "calibration_error")},
            "gain": {"mean": float(gain[which].mean()), "low": float(low[0]), "high": float(high[0])},
            "p": paired_randomization(hits["together"][which], hits["alone"][which], clusters=texts.groups[which]),
        }
    return {"beside_alone": found}


def collective_table(found: dict[str, Any]) -> Table:
    """Mentions alone, those of a text together, and put together at random; what coherence weighs below."""
    weights = ", ".join(f"{name} {value:+.2f}" for name, value in found["learned"]["weights"].items())
    errors = found["beside_alone"]["all"]["calibration_error"]
    table = Table(
        title="Top-1, each mention alone and those of a text together",
        caption=f"shared: a text with others; shuffled: texts of mentions drawn at random\n"
        f"gain: 95% interval over texts; p: paired randomisation\n"
        f"ECE {errors['alone']:.3f} → {errors['together']:.3f}\nweights: {weights}",
        caption_justify="left",
    )
    for heading in ("", "n", "alone", "together", "gain", "p", "shuffled"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, part in found["beside_alone"].items():
        gain = part["gain"]
        table.add_row(
            name,
            f"{part['n']:,}",
            percent(part["top1"]["alone"]),
            percent(part["top1"]["together"]),
            f"{100 * gain['mean']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]",
            f"{part['p']:.4f}",
            percent(part["top1"]["shuffled"]),
        )
    return table
