"""`dim judge`: a judge over the ranker's best candidates, asked where that pays, recorded, resumable, evaluated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.table import Table

from dim.core.command_line import command_line
from dim.core.known_classes import trusted_by
from dim.core.locks import folder_lock
from dim.core.output import check_target
from dim.display.terminal import Console, Text
from dim.errors import ConfigError
from dim.evaluation.result_files import JUDGED_FOLDER
from dim.evaluation.results import percent, results_kind
from dim.inference.places import JUDGE_FOLDER
from dim.judge.contract import Judge
from dim.judge.cross_training import TOP_K, facts_of
from dim.judge.folder import JUDGE, save_stage
from dim.judge.named import CrossEncoderJudge
from dim.training.answered import Answered
from dim.training.cases import CROSS_ENCODER, RunCases
from dim.training.judging import Asking, judge_split, learn
from dim.training.ranked_run import open_ranked
from dim.training.ranker_results import After, print_written, write_ranked

JUDGED = results_kind("results of dim judge", lambda entry: str(entry.get("system")).endswith("+ judge"))


def judge(
    run: Path,
    judge: Judge | None = None,
    share: float = 0.2,
    top_k: int = TOP_K,
    num_learned: int = 500,
    curve: float | None = None,
    control: bool = True,
    split: str = "dev",
    out: Path | None = None,
    device: str = "auto",
    dataset: Path | None = None,
    overwrite: bool = False,
    trust: str | None = None,
) -> None:
    """Has a judge read the mentions that the ranker is least sure of beside its best candidates, and evaluates it.

    What the judge says and what the ranker says are weighed by numbers that are learned on mentions of tune, so that
    the result is a calibrated probability again. The judge is set up in RUN/judge, from where `dim export` and `dim
    link` take it. Answers of language models are kept at once in RUN/answers, and never asked for again: stopped at any
    moment, the same command goes on.

    Args:
        run: A finished run with a ranker (`dim rank`).
        judge: Who judges. The default is the cross-encoder that `dim rank --cross_encoder` trained. A model behind a
            server: --judge ServerJudge --judge.model NAME --judge.base_url URL, with its budget, such as
            --judge.max_cost. A model of Transformers here: --judge LocalModelJudge --judge.path FOLDER.
        share: Of the mentions, those of which the ranker is least sure: so many are judged.
        top_k: Candidates that the judge is shown.
        num_learned: Mentions of tune that the weights are learned on, at most.
        curve: Up to which share of mentions more are judged, to show the gain by the share judged. By default all for a
            cross-encoder, and none beyond `share` for a language model.
        control: Judge the same mentions again with the candidates' texts shuffled among them: what is gained then is
            not gained by reading texts.
        split: What is evaluated.
        out: Folder for the ranks and metrics, that `dim report` compares with the run's own; by default RUN/judged.
        device: Where the run's vectors are computed.
        dataset: Where the run's dataset stands now, if it has moved.
        overwrite: Whether to replace results in `out`, which this command wrote.
        trust: Packages, separated by commas, whose classes the run may name beside dim's; they are imported.

    Raises:
        ConfigError: The run has no ranker, or no judge; `out` holds results; an option is out of range; or the server
            answers nobody (wrong key, URL or model).
    """
    out = out or run / JUDGED_FOLDER
    chosen = judge if judge is not None else _cross_encoder(run, device)
    _check(chosen, share, top_k, num_learned, curve, split)
    check_target(out, JUDGED, overwrite=overwrite)
    check_target(run / JUDGE_FOLDER, JUDGE, overwrite=True)
    reach = curve if curve is not None else share if chosen.is_costly else 1.0
    trusted, console = trusted_by(trust), Console()
    with folder_lock(run, "dim judge"), folder_lock(out, "dim judge"):
        check_target(out, JUDGED, overwrite=overwrite)  # another process may have written it until now
        task, ranker, finder = open_ranked(run, device, dataset, trusted)
        asking = Asking(chosen, top_k, share, num_learned, task.seed, run)
        cases = RunCases(task, finder)
        stage = learn(task, finder, ranker, cases, asking)
        weights = stage.weights
        console.say(
            f"weights learned on {weights.num:,} mentions of tune: ranker {weights.ranker:.2f}, "
            f"judge {weights.judge:.2f}"
        )
        save_stage(stage, ranker, run / JUDGE_FOLDER, with_model=False)
        answered = Answered.of_split(task, finder, ranker, split)
        outcome = judge_split(stage, asking, cases, answered, reach, control)
        options = {"share": share, "top_k": top_k, "judge": chosen.fingerprint}
        after = After("judge", outcome.summary, options)
        metrics, frame = write_ranked(run, answered, outcome.judged, out, after)
        print_written(task, metrics, frame, out)
        print_judged(console, outcome.summary)
        next_one = command_line(["export", str(run), "FOLDER"], trusted, dataset)
        console.say(Text(f"the judge: {run / JUDGE_FOLDER}; next: {next_one}"))


def print_judged(console: Console, found: dict[str, Any]) -> None:
    """Prints what a judge changed: Top-1 and calibration, the curve, costs and the control."""
    before, after = found["before"], found["after"]
    console.say(f"judged by {found['judge']}, which sees {found['top_k']} candidates:")
    table = Table()
    for heading in ("mentions judged", "Top-1", "ECE"):
        table.add_column(heading, justify="right")
    for step in found["curve"]:
        marked = "bold" if math.isclose(step["share"], found["share"]) else ""
        cells = (f"{step['share']:.0%}", percent(step["top1"]), f"{step['calibration_error']:.3f}")
        table.add_row(*(Text(cell, marked) for cell in cells))
    console.print(table)
    console.say(
        f"Top-1 {percent(before['top1'])} → {percent(after['top1'])} with {found['judged']:,} mentions judged "
        f"({found['share']:.0%}); {found['wins']} won, {found['losses']} lost, p {found['p']:.4f} (paired "
        f"randomisation); ECE {before['calibration_error']:.3f} → {after['calibration_error']:.3f}"
    )
    console.say(f"verdicts: {_counts(found['verdicts'])}{_used(found)}")
    console.say(f"learned on tune: {_counts(found['learned']['verdicts'])}{_used(found['learned'])}")
    if (control := found.get("control")) is not None:
        console.say(
            f"control, candidates' texts shuffled: Top-1 {percent(control['top1'])}, against the judge's "
            f"{percent(after['top1'])} p {control['p']:.4f}; {_counts(control['verdicts'])}{_used(control)}"
        )
    if found["weights"]["judge"] == 0:
        console.say("the judge tells nothing beyond the ranker on tune: its weight is 0")


def _counts(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in verdicts.items()) or "none"


def _used(found: dict[str, Any]) -> str:
    """What was used, where anything was: `; 50 requests, 9,000 tokens in, 100 out, cost 0.0123`."""
    if not found["requests"] and not found["tokens_in"]:
        return ""
    cost = "" if found["cost"] is None else f", cost {found['cost']:,.4f}"
    requests = f"{found['requests']:,} requests, " if found["requests"] else ""
    return f"; {requests}{found['tokens_in']:,} tokens in, {found['tokens_out']:,} out{cost}"


def _cross_encoder(run: Path, device: str) -> Judge:
    folder = run / CROSS_ENCODER
    if not folder.is_dir():
        raise ConfigError(
            f"a judge, or a cross-encoder at {folder}",
            "neither",
            f"Train one: dim rank --run {run} --cross_encoder TEXT_ENCODER --overwrite true (its folds stay); or name "
            "a judge: --judge ServerJudge.",
        )
    max_length = facts_of(folder).get("max_length", 192)
    if type(max_length) is not int:
        remedy = f"Train it again: dim rank --run {run} --cross_encoder TEXT_ENCODER --overwrite true."
        raise ConfigError(f"a whole number as max_length of {folder}", repr(max_length), remedy)
    return CrossEncoderJudge(str(folder.absolute()), max_length, device=device)


def _check(judge: Judge, share: float, top_k: int, num_learned: int, curve: float | None, split: str) -> None:
    for name, value in (("share", share), ("curve", share if curve is None else curve)):
        if not 0 < value <= 1:
            raise ConfigError(f"--{name} above 0 and at most 1", f"{value:g}", "Such as 0.2.")
    if not 2 <= top_k <= judge.most_candidates:
        raise ConfigError(f"--top_k between 2 and {judge.most_candidates:,}", str(top_k), "Change it.")
    if num_learned < 1:
        raise ConfigError("--num_learned of at least 1", str(num_learned), "Raise it.")
    if split == "tune":
        raise ConfigError("another split than tune, on which the weights are learned", "--split tune", "Evaluate dev.")
