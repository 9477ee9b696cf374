"""What a run reached, for the card of its linker: first the figures of what answers, then those of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dim.display.markdown import markdown_table
from dim.evaluation.result_files import JUDGED_FOLDER, RANKED_FOLDER, read_results
from dim.evaluation.results import percent
from dim.inference.method import Method
from dim.judge.stage import JudgeStage
from dim.linker.annotate import usual_sentences
from dim.reranker.ranker import OPTIONS, Ranker

SAMPLE = 2_000  #: Contexts, about, whose sentences are counted: all of a million take longer than opening the run.
#: What a figure never stands without.
KEPT = ("dataset", "split", "protocol", "kb_size", "n", "seed", "top1", "top5", "mrr")

Figure = dict[str, Any]


def figures_of_run(run: Path, ranker: Ranker | None = None, by: str = "vectors") -> list[Figure]:
    """The figures of a linker, each with what it must not stand without; those of what answers first.

    Args:
        run: The run's folder.
        ranker: What answers in the place of the run's own method; figures of an earlier one are left out.
        by: What the run's own method ranks by.
    """
    own = read_results(run).of_own_weights
    if ranker is None:
        return [_figure("this linker", entry) for entry in own]
    ranked = [entry for entry in read_results(run / RANKED_FOLDER).of_own_weights if is_of_ranker(entry, ranker)]
    return [
        *(_figure(f"this linker: {by} and ranker", entry) for entry in ranked),
        *(_figure(f"its {by} alone", entry) for entry in own),
    ]


def with_judge(figures: Sequence[Figure], run: Path, stage: JudgeStage, ranker: Ranker) -> list[Figure]:
    """The figures of a linker that has a judge: first those of ranker and judge together, where they are of these.

    Args:
        figures: Without it.
        run: The run's folder.
        stage: The judge, as it was set up; figures of one that was set up otherwise are left out.
        ranker: After which it judges.
    """
    entries = read_results(run / JUDGED_FOLDER).of_own_weights
    own = [entry for entry in entries if _is_of_stage(entry, stage) and is_of_ranker(entry, ranker)]
    before = [each | {"system": str(each["system"]).replace("this linker:", "its", 1)} for each in figures]
    told = "this linker: ranker, and a judge of {:.0%} of the mentions"
    return [*(_figure(told.format(entry["method"]["judge"]["share"]), entry) for entry in own), *before]


def about_run(
    task: Method,
    run: Path,
    recipe: Mapping[str, Any],
    ranker: Ranker | None = None,
    by: str = "vectors",
    **further: Any,
) -> dict[str, Any]:
    """What a linker's `about` says of the run that it comes from.

    Args:
        task: The run's method, opened.
        run: Its folder.
        recipe: How model and encoders are made again (`dim.linker.recipe`).
        ranker: What answers in the place of the run's own method.
        by: What that ranks by.
        **further: What else the method's linker tells.
    """
    dataset = task.data.dataset
    contexts = dataset.mentions.loc[dataset.mentions["split"] == "train", "context"].dropna()
    told = contexts[contexts.str.strip() != ""]
    sentences = usual_sentences(told.iloc[:: max(1, len(told) // SAMPLE)].tolist())
    return {
        "dataset": dataset.name,
        "kb_hash": dataset.kb_hash,
        "licence": dataset.meta.get("licence"),
        "run": run.name,
        "recipe": recipe,
        "figures": figures_of_run(run, ranker, by),
        **({} if sentences == 1 else {"context_sentences": sentences}),
        **further,
    }


def is_of_ranker(entry: Mapping[str, Any], ranker: Ranker) -> bool:
    """Whether a result is of this very ranker: its temperature, fitted on the folds, is as good as a hash."""
    options = (entry.get("config") or {}).get("rank") or {}
    calibration = (entry.get("method") or {}).get("calibration") or {}
    same_options = all(options.get(name) == ranker.facts.get(name) for name in OPTIONS)
    return same_options and calibration.get("temperature") == ranker.temperature


def _is_of_stage(entry: Mapping[str, Any], stage: JudgeStage) -> bool:
    """Whether a result is of a judge with these very numbers."""
    found = (entry.get("method") or {}).get("judge") or {}
    own = stage.fingerprint, stage.threshold, stage.top_k, vars(stage.weights), stage.facts
    return tuple(map(found.get, ("fingerprint", "threshold", "top_k", "weights", "learned"))) == own


def _figure(system: str, entry: Mapping[str, Any]) -> Figure:
    floor = (entry.get("floor") or {}).get("top1")
    return {"system": system, **{name: entry.get(name) for name in KEPT}, "floor": floor}


def figures_table(figures: Sequence[Figure], has_ranker: bool, by: str = "vectors") -> str:
    """The figures as a Markdown table; a ranker without any is named. Empty where there is nothing to say."""
    rows = list(_rows(figures))
    if has_ranker and not any("ranker" in figure["system"] for figure in figures):
        rows.insert(0, [f"this linker: {by} and ranker", "not evaluated: run dim rank", "", "", "", ""])
    if not rows:
        return ""
    head = ["", "on", "Top-1", "Top-5", "MRR", "names only: Top-1"]
    return "\n".join(["Figures of the run, in per cent:", "", *markdown_table(head, rows, num_labels=2)])


def _rows(figures: Sequence[Figure]) -> Iterator[list[str]]:
    for figure in figures:
        seed = "" if figure["seed"] is None else f" · seed {figure['seed']}"
        on = f"{figure['dataset']} · {figure['split']} · {figure['protocol']} · KB {figure['kb_size']:,}"
        values = [percent(figure[name]) for name in ("top1", "top5", "mrr", "floor")]
        yield [str(figure["system"]), f"{on} · n {figure['n']:,}{seed}", *values]
