"""The model card of a linker: what it is, what it was trained on, how it is used."""

from __future__ import annotations

from typing import Any

from dim.linker.knowledge import Knowledge
from dim.ranking.ranker import Ranker
from dim.search.vector_index import VectorIndex

CARD = """---
library_name: dim
tags: [entity-linking, multimodal]
{licence}---

# A dim linker of {count:,} entities

Links a mention (a name in a sentence, with an image) to an entity of its knowledge base.

```python
from dim import Linker

linker = Linker.from_pretrained("FOLDER_OR_ID")
linker.link("{mention}", "{mention} …")
```

| | |
|---|---|
| trained on | {dataset} (KB {kb_hash}) |
| encoders | {encoders} |
| index | {kind}, recall@10 {recall:.3f} against exact search |
| ranker | {ranker} |

{figures}
"""


def model_card(about: dict[str, Any], knowledge: Knowledge, index: VectorIndex, ranker: Ranker | None) -> str:
    """The text of a linker's README.md, with the figures of the run that it comes from."""
    encoders = {name: value["class_path"] for name, value in about["recipe"]["encoders"].items() if value}
    figures = [f"- {name}: {value}" for name, value in about.get("figures", {}).items()]
    first = next(iter(knowledge), None)
    return CARD.format(
        licence=f"license: {str(about['licence']).lower()}\n" if about.get("licence") else "",
        count=len(knowledge),
        mention=first.name if first else "a name",
        dataset=about["dataset"],
        kb_hash=about["kb_hash"],
        encoders=", ".join(f"{name}: {kind.rpartition('.')[2]}" for name, kind in encoders.items()),
        kind=index.kind,
        recall=index.recall.at_10,
        ranker="calibrated" if ranker is not None else "none: scores are no probabilities",
        figures="Figures of the run:\n\n" + "\n".join(figures) if figures else "",
    )
