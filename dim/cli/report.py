"""`dim report`: reads the runs, compares what can be compared, and writes it in every form that is asked for."""

from __future__ import annotations

import shlex
from pathlib import Path

from dim.core.files import atomic_path
from dim.core.output import check_file
from dim.display.lines import say
from dim.errors import ConfigError
from dim.evaluation.significance import ROUNDS
from dim.report.comparison import check_reference
from dim.report.contents import Contents, columns_of, gather
from dim.report.latex_format import MARK, latex
from dim.report.reading import read_systems
from dim.report.records_format import COLUMNS_OF_CSV, as_csv
from dim.report.text_formats import markdown, print_report

SUFFIXES = (".md", ".csv", ".html", ".tex")


def report(
    runs: list[Path],
    split: str = "dev",
    protocol: str | None = None,
    by: str | None = None,
    against: str | None = None,
    out: list[Path] | Path | None = None,
    published: bool = True,
    wandb: str | None = None,
    rounds: int = ROUNDS,
    dataset: Path | None = None,
) -> None:
    """Compares runs: Top-k and MRR with intervals, spread over seeds, paired tests, breakdowns, published figures.

    Runs in sibling folders named seed0, seed1 … are one system. Runs of another dataset, KB or protocol stand in
    tables of their own; folders that hold no usable run are named with the reason.

    Args:
        runs: Run folders, or folders that hold run folders; one after another, or as a JSON list.
        split: The split to compare on.
        protocol: Compare what was found under this one, such as full_kb or "candidates(names, 100)"; by default what
            each run was fitted under.
        by: A column to break Top-1 down by (`type`, `seen_in_train` …), or `all`; files hold all unless one is named.
        against: The system that the others are tested against (`floor`, `alias_floor`, `frozen`, too); else the first.
        out: Files to write, by their suffix: .md, .csv, .html or .tex (booktabs); several as a JSON list.
        published: Whether quoted figures stand beside runs of the same protocol, dataset and KB size.
        wandb: A Weights & Biases project to log table, plots and ranks to.
        rounds: Draws of the bootstrap and of the randomisation tests.
        dataset: Where the dataset stands now, if it has moved: an HTML file shows the worst mistakes with texts and
            images.

    Raises:
        DataError: No folder holds results that can be compared.
        ConfigError: An option names a column, a system or a file format that there is not, or a file of `out` is there
            and no report.
    """
    files = [out] if isinstance(out, Path) else list(out or [])
    check_options(files, rounds)
    reading = read_systems(runs, split, protocol)
    check_reference(reading.groups, against)
    command = command_line(runs, split, protocol, by, against, files, published, wandb, rounds)
    columns = columns_of(by, everything=bool(files or wandb))
    contents = gather(reading, against, columns, published, rounds, command)
    contents.dataset = dataset
    print_report(contents, columns_of(by, everything=False))
    for path in files:
        write(contents, path)
        say(f"written: {path}")
    if wandb:
        from dim.report.upload import log_report

        log_report(contents, wandb)


def check_options(files: list[Path], rounds: int) -> None:
    """Raises ConfigError for a file of an unknown kind or of somebody else, or too few rounds for a 95% interval."""
    for path in files:
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"a file that ends in {', '.join(SUFFIXES)}", f"--out {path}", "Name the format by the file's suffix."
            )
        check_file(path, "a report", is_report)
    if rounds < 100:
        raise ConfigError("at least 100 rounds", str(rounds), "Leave --rounds at its default for a report.")


def is_report(path: Path) -> bool:
    """Whether an earlier report stands there, in the format of the file's suffix."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if path.suffix.lower() == ".html":
        return "<title>dim report:" in text
    if path.suffix.lower() == ".csv":
        return text.partition("\n")[0] == ",".join(COLUMNS_OF_CSV)
    if path.suffix.lower() == ".tex":
        return text.startswith(f"{MARK}\n")
    return text.startswith("# Comparison\n") and "\n## How it was made\n" in text


def write(contents: Contents, path: Path) -> None:
    """Writes the report in the format of the file's suffix, atomically."""
    kind = path.suffix.lower()
    if kind == ".html":
        from dim.report.page import page

        text = page(contents)
    else:
        text = {".csv": as_csv, ".tex": latex}.get(kind, markdown)(contents)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def command_line(
    runs: list[Path],
    split: str,
    protocol: str | None,
    by: str | None,
    against: str | None,
    files: list[Path],
    published: bool,
    wandb: str | None,
    rounds: int,
) -> str:
    """The command that makes this report again.

    Example:
        >>> command_line([Path("runs/a")], "dev", None, None, "a", [], True, None, ROUNDS)
        'dim report runs/a --against a'
    """
    words = ["dim", "report", *map(str, runs)]
    words += ["--split", split] if split != "dev" else []
    for name, value in (("protocol", protocol), ("by", by), ("against", against), ("wandb", wandb)):
        words += [f"--{name}", value] if value else []
    if files:
        words += ["--out", str(files[0]) if len(files) == 1 else f"[{', '.join(map(str, files))}]"]
    words += [] if published else ["--published", "false"]
    words += [] if rounds == ROUNDS else ["--rounds", str(rounds)]
    return shlex.join(words)
