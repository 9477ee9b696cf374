"""`dim collective`: has a run's ranker answer the mentions of a text together, and says what that changes."""

from __future__ import annotations

from pathlib import Path

from dim.collective.collective import FACT, TOP, Collective
from dim.core.known_classes import trusted_by
from dim.core.locks import folder_lock
from dim.core.output import check_target
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.evaluation.results import results_kind
from dim.inference.places import RANKER_FOLDER
from dim.training.answered import Answered
from dim.training.collective_results import Texts, coherence_of, evaluate_collective
from dim.training.ranked_run import open_ranked

RESULTS = results_kind("results of dim collective", lambda entry: str(entry.get("system")).endswith(f"+ {FACT}"))


def collective(
    run: Path,
    split: str = "dev",
    top: int = TOP,
    learn: str = "tune",
    out: Path | None = None,
    device: str = "auto",
    dataset: Path | None = None,
    overwrite: bool = False,
    trust: str | None = None,
) -> None:
    """Has a run's ranker answer the mentions of a text together: entities that go together become likelier.

    What it counts that two entities have near vectors, share words of their texts, or are the same, is learned on
    another split, saved with the run's ranker, and taken along by `dim export`: `Linker.annotate(…, collective=True)`.
    Mentions are of one text that have one `document` (attribute), or else one context. A mention that is alone in its
    text keeps its answers.

    Args:
        run: A finished run that `dim rank` was run on.
        split: What is evaluated.
        top: Candidates of a mention that are looked at together; the others keep their probabilities.
        learn: The split that it learns of.
        out: Folder for the ranks and metrics, that `dim report` compares with the run's own; by default RUN/collective.
        device: Where the vectors are computed.
        dataset: Where the run's dataset stands now, if it has moved.
        overwrite: Whether to replace results in `out`, which this command wrote.
        trust: Packages, separated by commas, whose classes the run may name beside dim's; they are imported.

    Raises:
        ConfigError: The run has no ranker; no text of a split has several mentions, or no mention a gold in the KB;
            `out` holds results.
    """
    out = out or run / FACT
    check_target(out, RESULTS, overwrite=overwrite)
    if top < 2:
        raise ConfigError("at least 2 candidates", str(top), "Raise --top.")
    if learn == split:
        raise ConfigError("two splits", f"--split {split} and --learn {learn}", "Learn of another than is evaluated.")
    with folder_lock(run, "dim collective"), folder_lock(out, "dim collective"):
        check_target(out, RESULTS, overwrite=overwrite)  # another process may have written it until now
        task, ranker, finder = open_ranked(run, device, dataset, trusted_by(trust))
        coherence = coherence_of(task, finder)
        known = Texts(Answered.to_learn_of(task, finder, ranker, learn))
        asked = Texts(Answered.of_split(task, finder, ranker, split))
        for texts in (known, asked):
            if not texts.shares_text.any():
                remedy = "Give mentions of one text the same context, or a document attribute."
                raise ConfigError(f"texts with several mentions in {texts.answered.split}", "none", remedy)
        if not asked.answered.in_kb.any():
            raise ConfigError(f"golds of the KB in {split}, to evaluate by", "none", "Choose another split: --split.")
        console = Console()
        console.say(
            f"{learn}: {len(known.by_text()):,} texts of {int(known.shares_text.sum()):,} mentions to learn of; "
            f"{split}: {len(asked.by_text()):,} of {int(asked.shares_text.sum()):,}"
        )
        learned = Collective.fit(known.by_text(), coherence, top)
        evaluate_collective(run, asked, learned, coherence, out)
        ranker.facts[FACT] = learned.to_fact()
        ranker.save(run / RANKER_FOLDER)
        console.say(f"saved with the ranker: {run / RANKER_FOLDER}")
