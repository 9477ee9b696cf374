"""Figures that others published, beside ours only where the protocol, the dataset and the KB size are the same."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from dim.evaluation.results import COLUMNS

FILE = Path(__file__).with_name("published_results.csv")
INJECTED = "candidates(released, 100, gold injected)"
NONE = "no published figure under this protocol and KB size"


@cache
def published_results() -> pd.DataFrame:
    """The quoted figures in per cent, with the file's columns (protocol, dataset, model, kb_size, verified …)."""
    return pd.read_csv(FILE, dtype={"kb_size": "Int64"})


def quoted(head: dict[str, Any]) -> pd.DataFrame:
    """The published rows that may stand beside a group; empty where there are none.

    Columns: model, top1 … mrr (shares, NaN where not published), protocol_note (`verified`, what is not known, or why
    it is doubtful) and source.

    Args:
        head: The metrics of the group: dataset, protocol, kb_size.
    """
    table = published_results()
    same_size = table["kb_size"].isna() | (table["kb_size"] == head["kb_size"])
    fits = (table["protocol"] == family(head["protocol"])) & (table["dataset"].map(plain) == plain(head["dataset"]))
    if head["protocol"] == "full_kb":
        same_size &= table["kb_size"].notna()
    rows = table[fits & same_size.astype(bool)].sort_values("top1", kind="stable", ignore_index=True)
    notes = list(map(_note, rows["verified"]))
    shares = {column: rows[column].astype(float) / 100 for column in COLUMNS}
    return pd.DataFrame({"model": rows["model"], **shares, "protocol_note": notes, "source": rows["source"]})


def _note(verified: str) -> str:
    """What a table says beside a figure; `doubtful` is one that another source contradicts."""
    if verified == "yes":
        return "verified"
    return verified if verified.startswith("doubtful") else f"protocol not verified ({verified})"


def family(protocol: str) -> str | None:
    """How the file calls our protocol; None where it has no figures of its kind.

    Example:
        >>> family("candidates(released, 100, gold injected)"), family("candidates(names, 100)")
        ('candidates100', None)
    """
    if protocol == INJECTED:
        return "candidates100"
    if protocol.startswith("generative"):
        return "generative"
    return "full_kb" if protocol == "full_kb" else None


def plain(name: str) -> str:
    """A dataset's name without case and punctuation.

    Example:
        >>> plain("Wiki-MEL") == plain("wikimel")
        True
    """
    return re.sub(r"[\W_]", "", name).casefold()
