"""What a conversion kept and left out: the numbers that `dim prepare` prints and `dataset.json` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.table import Table

from dim.data.dataset import SPLITS, Dataset
from dim.display.terminal import Console, Text
from dim.releases.base import Release

NO_TEXTS = "no entity has one: names alone"


def summarize(release: Release) -> dict[str, Any]:
    """Counts of a release, as `dataset.json` holds them."""
    mentions, entities = release.mentions, release.entities
    gold = mentions["entity_id"].map(entities.set_index("id")["name"], na_action="ignore")
    in_kb = gold.notna()
    exact = mentions["mention"].str.casefold() == gold.astype("str").str.casefold()
    return {
        "rows_read": release.rows_read,
        "rows_kept": len(mentions),
        "skipped": release.skipped.as_json(),
        "num_nil": int((~in_kb).sum()),
        **_several_golds(mentions),
        "share_mention_is_name": round(float(exact[in_kb].mean()), 4) if in_kb.any() else None,
        "entities_without_name": int((entities["name"] == "").sum()),
        "entities_without_text": {variant: len(entities) - len(table) for variant, table in release.texts.items()},
        "notes": release.notes,
    }


def _several_golds(mentions: pd.DataFrame) -> dict[str, int]:
    """Counts that stand there only where they are not 0."""
    counts = {
        "num_several_golds": sum(map(bool, mentions["other_golds"])) if "other_golds" in mentions else 0,
        "num_lacking_golds": int(mentions["lacks_golds"].sum()) if "lacks_golds" in mentions else 0,
    }
    return {name: count for name, count in counts.items() if count}


def print_summary(dataset: Dataset) -> None:
    """Prints the summary of a prepared dataset."""
    meta = dataset.meta
    in_kb = meta["rows_kept"] - meta["num_nil"]
    share = meta["share_mention_is_name"]
    rows: list[tuple[str, str, str]] = [
        ("mention rows read", f"{meta['rows_read']:,}", ""),
        ("kept", f"{meta['rows_kept']:,}", ""),
        *((f"  in {split}", f"{meta['num_mentions'].get(split, 0):,}", "") for split in SPLITS),
        ("  with an answer in the KB", f"{in_kb:,}", ""),
        *(
            (f"  with {what}", f"{meta[name]:,}", said)
            for name, what, said in (
                ("num_several_golds", "several golds", "each is a right answer"),
                ("num_lacking_golds", "golds that the KB lacks", "those that it has count"),
            )
            if name in meta
        ),
        ("  NIL", f"{meta['num_nil']:,}", ""),
        ("skipped", f"{meta['rows_read'] - meta['rows_kept']:,}", ""),
        *_reasons(meta["skipped"]),
        ("mention is the gold's name", "n/a" if share is None else f"{share:.1%}", "of those with an answer"),
        ("mentions without image", f"{meta['mentions_without_image']:,}", ""),
        *_images_left_out(meta["images"]),
        ("entities (the KB)", f"{meta['num_entities']:,}", f"hash {meta['kb_hash']}"),
        ("  without name", f"{meta['entities_without_name']:,}", ""),
        *((f"  without text '{v}'", f"{n:,}", "") for v, n in meta["entities_without_text"].items()),
        *([] if meta["texts"] else [("  without text", f"{meta['num_entities']:,}", NO_TEXTS)]),
        ("dataset hash", "", meta["hash"]),
    ]
    _print(dataset, rows)


def print_kb_summary(dataset: Dataset) -> None:
    """Prints the summary of a KB without mentions."""
    meta, total = dataset.meta, dataset.meta["num_entities"]
    newest = meta["dump"]["newest_change"]
    _print(
        dataset,
        [
            ("lines read", f"{meta['lines_read']:,}", f"last change of an item: {newest or 'not said'}"),
            *_reasons(meta["skipped"]),
            ("entities (the KB)", f"{total:,}", f"hash {meta['kb_hash']}"),
            *((f"  without text '{v}'", f"{n:,}", "") for v, n in meta["entities_without_text"].items()),
            *([] if meta["texts"] else [("  without text", f"{total:,}", NO_TEXTS)]),
            ("  with an image", f"{meta['entities_with_image']:,}", ""),
            ("mentions", "0", ""),
            ("dataset hash", "", meta["hash"]),
        ],
    )


def _print(dataset: Dataset, rows: Sequence[tuple[str, str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    console.say(Text(f"{dataset.name} → {dataset.root}", style="bold"))
    for said in dataset.meta.get("said_of_images", ()):
        console.say(Text(said, style="bold"))
    console.print(table)
    for note in dataset.meta["notes"]:
        console.say(Text(f"note: {note}"))


def _images_left_out(reasons: dict[str, Any]) -> list[tuple[str, str, str]]:
    total = sum(of["count"] for of in reasons.values())
    return [("images left out", f"{total:,}", "of mentions and entities"), *_reasons(reasons)] if reasons else []


def _reasons(skipped: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (f"  {reason}", f"{of['count']:,}", f"first: {'; '.join(of['examples'])}") for reason, of in skipped.items()
    ]
