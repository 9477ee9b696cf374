"""What the KB lacks, and which of its names are shared."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dim.audit.findings import Finding, Thresholds, Verdict, first
from dim.audit.rows import paths_of, text_of
from dim.data.dataset import Dataset, gold_ids

REAL_KB = 1000  # a KB of this size and without one shared name was chosen so


def check_kb(dataset: Dataset, thresholds: Thresholds) -> Iterator[Finding]:
    """Entities without name, without text (a finding a variant), without image, and shared names."""
    entities = dataset.entities
    ids = pd.Series(entities["id"].to_numpy(dtype=object))
    names = pd.Series([text_of(name).strip().casefold() for name in entities["name"].tolist()], dtype=object)
    yield _missing("entities without name", ids[names == ""], ids, thresholds)
    for variant in dataset.variants:
        texts = pd.Series([not text_of(text).strip() for text in dataset.texts(variant).tolist()], dtype=bool)
        yield _missing(f"entities without text '{variant}'", ids[texts], ids, thresholds)
    if not dataset.variants:
        yield Finding("entities without text", "not checked", "The dataset has no entity text.")
    images = pd.Series([not paths for paths in paths_of(entities["images"].tolist())], dtype=bool)
    if images.all():
        yield Finding("entities without image", "not checked", "No entity of the KB has an image.")
    else:
        yield _missing("entities without image", ids[images], ids, thresholds)
    yield _shared_names(dataset, ids, names)


def _missing(name: str, missing: pd.Series, ids: pd.Series, thresholds: Thresholds) -> Finding:
    verdict: Verdict = "ok"
    if len(missing):
        verdict = "warning" if len(missing) / len(ids) >= thresholds.missing else "note"
    return Finding(
        name,
        verdict,
        "A method that reads this field is blind to these entities, and one that does not is not."
        if len(missing)
        else "Every entity has it.",
        count=len(missing),
        of=len(ids),
        examples=first(missing),
    )


def _shared_names(dataset: Dataset, ids: pd.Series, names: pd.Series) -> Finding:
    shared = (names != "") & names.duplicated(keep=False)
    such = set(ids[shared])
    num_rows = sum(not such.isdisjoint(golds) for golds in gold_ids(dataset.mentions))
    verdict: Verdict = "ok"
    says = "No name is shared."
    if shared.any():
        verdict = "note"
        says = "The name cannot tell these apart; ties count against the gold, so no name match can reach 100%."
    elif len(ids) >= REAL_KB:
        verdict = "note"
        says = "No name is shared, unlike in a real KB: the name decides more here than it would there."
    return Finding(
        "entities whose name another entity bears",
        verdict,
        says,
        count=int(shared.sum()),
        of=len(ids),
        figures={"names": int(names[shared].nunique()), "rows_with_such_a_gold": num_rows},
        examples=first(ids[shared]),
    )
