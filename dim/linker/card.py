"""The model card of a linker: what it is, what it was trained on, how it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from dim.display.counts import count_of
from dim.display.markdown import markdown_table, python_string
from dim.linker.figures import figures_table
from dim.linker.knowledge import Knowledge

CARD = """---
library_name: dim
tags: [entity-linking, multimodal]
{licence}---

# A dim linker of {count}{whose}

Links a mention (a name in a sentence, with an image) to an entity of its knowledge base.

```python
from dim import Linker

linker = Linker.from_pretrained("FOLDER_OR_ID")
linker.link({mention}, {context})
```

{table}

{note}{figures}
"""


def model_card(
    about: dict[str, Any],
    knowledge: Knowledge,
    rows: Mapping[str, str],
    whose: str = "",
    note: str = "",
    has_ranker: bool = False,
    by: str = "vectors",
) -> str:
    """The text of a linker's README.md, with the figures of the run that it comes from.

    Args:
        about: What the linker comes from.
        knowledge: Its KB.
        rows: Further rows of the table.
        whose: What the title says of the entities.
        note: A paragraph under the table.
        has_ranker: Whether a ranker answers.
        by: What the run's own method ranks by.
    """
    told = figures_table(about.get("figures") or [], has_ranker, by)
    first = next(iter(knowledge), None)
    name = first.name if first else "a name"
    whole = f"{about['dataset']} (KB {about['kb_hash']})" if about["kb_hash"] else str(about["dataset"])
    table = [["made of" if about.get("is_untrained") else "trained on", whole], *map(list, rows.items())]
    if about.get("judge"):
        table.append(["judge", str(about["judge"])])
    licence = {"license": str(about["licence"]).lower()} if about.get("licence") else None
    return CARD.format(
        licence=yaml.safe_dump(licence, allow_unicode=True, width=math.inf) if licence else "",
        count=count_of(len(knowledge), "entity"),
        whose=whose,
        mention=python_string(name),
        context=python_string(f"{name} …"),
        table="\n".join(markdown_table(["", ""], table, num_labels=2)),
        note=f"{note}\n\n" if note else "",
        figures=told,
    )


def encoder_names(about: dict[str, Any]) -> str:
    """The classes of a linker's encoders, and what computes them, if that is not torch in fp32."""
    found = {name: value for name, value in about["recipe"]["encoders"].items() if value}
    return ", ".join(f"{name}: {value['class_path'].rpartition('.')[2]}{_by(value)}" for name, value in found.items())


def _by(chosen: Mapping[str, Any]) -> str:
    options = chosen.get("init_args") or {}
    how = options.get("backend", "torch"), options.get("precision", "fp32")
    return "" if how == ("torch", "fp32") else f" by {how[0]} in {how[1]}"
