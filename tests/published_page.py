"""Writes docs/results/published.md from the published figures that dim has: python tests/published_page.py."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import dim  # noqa: F401 - first: it mends the import of torchvision
from dim.report.published import published_results

DOCUMENT = Path(__file__).parent.parent / "docs/results/published.md"
DATASETS = ("WikiMEL", "RichpediaMEL", "WikiDiverse")
PROTOCOLS = {
    "full_kb": """The whole KB of the release: WikiMEL 109,976 entities, RichpediaMEL 160,935, WikiDiverse 132,460.
`dim report` quotes a row beside a run over a KB of that size.""",
    "candidates100": """About 100 candidates a mention, the gold put among them. `dim report` quotes these beside
`candidates(released, 100, gold injected)`, as not verified: the sources do not say how candidates were drawn.""",
    "generative": """Names that a language model writes. What names it may write, the sources do not state.""",
    "unsupervised": """Without training mentions; candidates and KB as the source has them. Quoted beside no run.""",
}


def page() -> str:
    """The whole page."""
    parts = [
        "# Published figures\n",
        "Top-1 (and MRR) in per cent, on test, as others report them; none is ours, and none was run here. "
        "`python tests/published_page.py`\nmakes this page from the file that `dim report` quotes from; "
        "`?` marks a figure that another source contradicts.\n",
    ]
    table = published_results()
    for protocol, told in PROTOCOLS.items():
        parts += [f"## {protocol}\n", f"{told}\n", _table(table[table["protocol"] == protocol])]
    return "\n".join(parts)


def _table(rows: pd.DataFrame) -> str:
    of_model = {model: own.set_index("dataset") for model, own in rows.groupby("model", sort=False)}
    best = sorted(of_model, key=lambda model: -of_model[model]["top1"].mean())
    lines = [f"| | {' | '.join(DATASETS)} | source |", f"|---|{'---:|' * len(DATASETS)}---|"]
    for model in best:
        own = of_model[model]
        figures = [_figure(own.loc[dataset]) if dataset in own.index else "" for dataset in DATASETS]
        lines.append(f"| {model} | {' | '.join(figures)} | {'; '.join(own['source'].unique())} |")
    return "\n".join(lines) + "\n"


def _figure(row: pd.Series) -> str:
    doubt = " ?" if str(row["verified"]).startswith("doubtful") else ""
    return f"{row['top1']:.1f}" + ("" if pd.isna(row["mrr"]) else f" ({row['mrr']:.1f})") + doubt


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
