"""The model card of a linker: what it is, what it was trained on, how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dim.linker.figures import figures_table
from dim.linker.knowledge import Knowledge

CARD = """---
library_name: dim
tags: [entity-linking, multimodal]
{licence}---

# A dim linker of {count:,} entities{whose}

Links a mention (a name in a sentence, with an image) to an entity of its knowledge base.

```python
from dim import Linker

linker = Linker.from_pretrained("FOLDER_OR_ID")
linker.link("{mention}", "{mention} …")
```

| | |
|---|---|
| trained on | {dataset} (KB {kb_hash}) |
{rows}

{note}{figures}
"""


def model_card(
    about: dict[str, Any],
    knowledge: Knowledge,
    rows: Mapping[str, str],
    whose: str = "",
    note: str = "",
    has_ranker: bool = False,
) -> str:
    """The text of a linker's README.md, with the figures of the run that it comes from.

    Args:
        about: What the linker comes from.
        knowledge: Its KB.
        rows: Further rows of the table.
        whose: What the title says of the entities.
        note: A paragraph under the table.
        has_ranker: Whether a ranker answers.
    """
    figures = about.get("figures") or []
    if isinstance(figures, Mapping):  # of a linker that an older version made: those of its vectors
        lines = [f"- {name}: {value}" for name, value in figures.items()]
        told = "Figures of the run, without a ranker:\n\n" + "\n".join(lines) if lines else ""
    else:
        told = figures_table(figures, has_ranker)
    first = next(iter(knowledge), None)
    return CARD.format(
        licence=f"license: {str(about['licence']).lower()}\n" if about.get("licence") else "",
        count=len(knowledge),
        whose=whose,
        mention=first.name if first else "a name",
        dataset=about["dataset"],
        kb_hash=about["kb_hash"],
        rows="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        note=f"{note}\n\n" if note else "",
        figures=told,
    )


def encoder_names(about: dict[str, Any]) -> str:
    """The classes of a linker's encoders."""
    classes = {name: value["class_path"] for name, value in about["recipe"]["encoders"].items() if value}
    return ", ".join(f"{name}: {kind.rpartition('.')[2]}" for name, kind in classes.items())
