"""A report in Weights & Biases: its tables, its plots, and the ranks that it was made from."""

from __future__ import annotations

import io
import os
from typing import Any

from PIL import Image

from dim.display.lines import say
from dim.display.visible import visible, visible_line
from dim.errors import ConfigError
from dim.evaluation.results import COLUMNS
from dim.report.contents import Contents, Part
from dim.report.grids import Grid, grids_of
from dim.report.plots import as_png, figures


def log_report(contents: Contents, project: str) -> None:
    """Logs tables, plots and ranks to a project.

    Without a network set WANDB_MODE=offline; `wandb sync` sends the folder later.

    Raises:
        ConfigError: Weights & Biases cannot start a run (no login, no such project).
    """
    import wandb

    try:
        # The library reads the environment once a process, and an earlier command may have been the first.
        place = os.environ.get("WANDB_DIR")
        mode: Any = os.environ.get("WANDB_MODE")
        config = {"command": visible(contents.command)}
        run = wandb.init(project=project, job_type="report", config=config, dir=place, mode=mode)
    except wandb.Error as error:
        raise ConfigError(
            "a Weights & Biases login", str(error), "Run wandb login, or set WANDB_MODE=offline and sync later."
        ) from error
    with run:
        for part in contents.parts:
            log_part(run, part, wandb)
    say(f"logged to Weights & Biases: {run.url or run.dir}")


def log_part(run: Any, part: Part, wandb: Any) -> None:
    """Logs one group under its dataset, split and KB."""
    head = part.comparison.group.head
    prefix = visible_line(f"{head['dataset']}/{head['split']}/{head['protocol']}/{str(head['kb_hash'])[:8]}")
    logged: dict[str, Any] = {}
    for heading, grids in grids_of(part):
        for grid in grids:
            if grid.rows:
                name = visible_line(heading if len(grids) == 1 else grid.title)
                rows = [[visible(cell) for cell in row] for row in grid.rows]
                logged[f"{prefix}/{name}"] = wandb.Table(columns=heads(grid), data=rows)
    for title, figure in figures(part.comparison).items():
        logged[f"{prefix}/{title}"] = wandb.Image(Image.open(io.BytesIO(as_png(figure))), caption=title)
    for name, estimates in part.comparison.estimates.items():
        logged |= {f"{prefix}/{visible_line(name)}/{c}": estimates[c].value for c in COLUMNS if c in estimates}
    run.log(logged)
    artifact = wandb.Artifact(f"ranks-{run.id}-{head['split']}-{str(head['kb_hash'])[:8]}", type="ranks")
    for number, system in enumerate(part.comparison.group.systems):
        for result in system.runs:
            for file in ("ranks.parquet", "metrics.json"):
                artifact.add_file(str(result.folder / file), name=f"{number}/{result.folder.name}/{file}")
    run.log_artifact(artifact)


def heads(grid: Grid) -> list[str]:
    r"""Column heads in one line each, none twice.

    Example:
        >>> heads(Grid("t", ["a", "b\nc", ""], []))
        ['a', 'b c', '(3)']
    """
    lines = [visible_line(head.replace("\n", " ")) or f"({place})" for place, head in enumerate(grid.head, start=1)]
    return [line if lines.count(line) == 1 else f"{line} ({place})" for place, line in enumerate(lines, start=1)]
