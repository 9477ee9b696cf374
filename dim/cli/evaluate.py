"""`dim evaluate`: the results of any other system, scored like our own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from dim.core.locks import folder_lock
from dim.core.output import check_target
from dim.data.dataset import NIL, Dataset
from dim.display.terminal import Console
from dim.errors import ConfigError, DataError
from dim.evaluation.floor import rank_by_floors
from dim.evaluation.foreign import Foreign, read_ranks
from dim.evaluation.foreign_ids import MAX_UNKNOWN
from dim.evaluation.protocols import FullKB, Generative
from dim.evaluation.result_files import METRICS, RANKS, read_results, write_result
from dim.evaluation.results import measure, print_results, ranks_frame, results_kind
from dim.releases.prepare import open_dataset

EVALUATED = results_kind("results of dim evaluate", lambda entry: entry.get("model") == "external")


def evaluate(
    ranks: Path,
    dataset: Path,
    run: Path,
    name: str | None = None,
    split: str = "dev",
    protocol: str = "full_kb",
    cache_dir: Path = Path("cache"),
    max_unknown: float = MAX_UNKNOWN,
    overwrite: bool = False,
    encoding: str | None = None,
) -> None:
    """Scores another system's answers and writes a run folder that `dim report` compares like any other.

    The table has a row a mention: `mention_id` (or the release's own key), and `entity_ids` (ranked, best first; a
    JSON array, or ids with `|` between them), optionally `scores`; or `rank`, that of the gold (empty: missed).

    Args:
        ranks: The table: CSV, TSV, JSON lines or Parquet.
        dataset: The dataset folder that was answered, or the release that it is made of.
        run: Folder for ranks.parquet and metrics.json.
        name: What reports call the system; by default the name of the run's folder.
        split: The split that was answered.
        protocol: What the system ranked against, such as full_kb, or candidates(own search, 100). It stands beside
            the figures; results of different protocols are never compared.
        cache_dir: Where prepared releases are found.
        max_unknown: The share of entity ids that the KB may lack; more are taken for a mistake.
        overwrite: Whether to replace results of the same split and protocol in `run`, which this command wrote.
        encoding: Of the table; the default is told by its first bytes, else UTF-8.

    Raises:
        DataError: The table does not fit the dataset.
        ConfigError: `run` holds such results already, or is no place for them.
    """
    _check_run(run, ranks, dataset, split, protocol, overwrite)
    with folder_lock(run, "dim evaluate"):
        _check_run(run, ranks, dataset, split, protocol, overwrite)
        data = open_dataset(dataset, cache_dir)
        _check_hash(ranks, data, split, protocol)
        mentions = data.split(split)
        foreign = read_ranks(ranks, data, mentions, protocol, max_unknown, encoding)
        frame = _ranks(data, mentions, split, protocol, foreign)
        asked = {"ranks": str(ranks), "dataset": str(dataset), "split": split, "protocol": protocol}
        metrics = measure(
            data,
            frame,
            depth=foreign.depth,
            answers_nil=any(NIL in ids for ids in frame["top_ids"]),
            model="external",
            system=name or run.name,
            features={},
            seed=None,
            hardware=None,
            problems=foreign.problems.as_json(),
            config={"evaluate": asked},
        )
        write_result(run, frame, metrics, {"system": name or run.name})
        console = Console()
        print_results(console, metrics, frame)
        _say_problems(foreign, frame, console)
        console.say(f"written: {run / METRICS}, {run / RANKS}")


def _ranks(data: Dataset, mentions: pd.DataFrame, split: str, protocol: str, foreign: Foreign) -> pd.DataFrame:
    """A row a mention, as our own systems have them, with what names alone reach beside."""
    beside = {}
    if _is_of_whole_kb(protocol):
        golds = torch.from_numpy(data.golds_of(mentions))
        beside = rank_by_floors(data, mentions["mention"].tolist(), golds, FullKB(), None)
    frame = ranks_frame(data, mentions, split=split, protocol=protocol, ranked=foreign.ranked, beside=beside)
    # What the KB lacks was answered all the same: without it the second answer would be the first.
    frame["top_ids"], frame["top_scores"] = zip(*(answer.top for answer in foreign.answers), strict=True)
    if protocol == FullKB.name:
        # Every entity competed; a gold that is in no list was ranked, but nobody knows where.
        frame["candidate_hit"] = pd.Series([None] * len(frame), dtype=object)
    return frame


def _is_of_whole_kb(protocol: str) -> bool:
    """Whether every entity competed, or could be written, as it does where names alone are ranked."""
    return protocol == FullKB.name or protocol.startswith(Generative.name)


def _say_problems(foreign: Foreign, frame: pd.DataFrame, console: Console) -> None:
    """Says what of the table does not tell all that the figures need."""
    protocol = str(frame["protocol"].iloc[0])
    if not _is_of_whole_kb(protocol):
        console.say(f"names alone are ranked against the whole KB, so their figure does not stand beside {protocol}")
    missed = int((frame["rank"].isna() & frame["gold"].notna()).sum())
    if foreign.depth is not None and missed:
        console.say(
            f"{missed:,} golds are in no list (at most {foreign.depth} answers): missed, so MRR is a lower bound"
        )
    for note in foreign.notes:
        console.say(f"note: {note}")
    for reason, found in foreign.problems.as_json().items():
        console.say(f"{found['count']:,} {reason}; first: {'; '.join(found['examples'])}")


def _check_run(run: Path, ranks: Path, dataset: Path, split: str, protocol: str, overwrite: bool) -> None:
    # Results on another split or under another protocol stand beside those that are there.
    check_target(run, EVALUATED, sources=[ranks, dataset], overwrite=True)
    known = read_results(run).entry(split, protocol)
    if known is not None and not overwrite:
        raise ConfigError(
            f"a folder without results on {split} under {protocol} at {run}",
            f"those of {known.get('system') or known.get('model')}",
            "Name another, or add --overwrite true.",
        )


def _check_hash(ranks: Path, dataset: Dataset, split: str, protocol: str) -> None:
    """Raises DataError for the ranks.parquet of a run whose metrics.json names another dataset."""
    if ranks.name != RANKS:
        return
    answered = read_results(ranks.parent).entry(split, protocol) or {}
    if answered.get("dataset_hash", dataset.hash) != dataset.hash:
        raise DataError(
            f"answers to {dataset.name} (hash {dataset.hash}) in {ranks}",
            f"answers to {answered.get('dataset')} (hash {answered['dataset_hash']})",
            f"Name the dataset that was answered: --dataset {answered.get('dataset_folder') or 'FOLDER'}.",
        )
