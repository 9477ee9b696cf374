"""The quality of new texts, on the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from dim.display.terminal import Console, Text


def print_quality(quality: dict[str, Any], source_text: str, variant: str) -> None:
    """Prints the figures of `quality_report`, those of the old text beside the new one's."""
    lengths = Table(title="words a text")
    for column in ("", "texts", "min", "median", "mean", "95%", "max"):
        lengths.add_column(column, justify="right" if column else "left")
    for name, words in ((source_text, quality["words_old"]), (variant, quality["words_new"])):
        lengths.add_row(Text(name), *(f"{value:,g}" for value in words.values()))
    num = quality["num_texts"]
    facts = Table.grid(padding=(0, 2))
    for name, key in (
        ("equal to the old text", "identical"),
        ("mostly the old text's words in a row", "high_overlap"),
        ("the same text as another entity's", "shared"),
        ("with capitalised names that no source field holds", "texts_with_new_names"),
    ):
        facts.add_row(name, Text(f"{quality[key]:,} of {num:,} ({quality[key] / num:.0%})"))
    if told := quality["sentences"]:
        share = f"{quality['supported']:,} of {told:,} ({quality['supported'] / told:.0%})"
        facts.add_row("sentences that the old text or the attributes support", Text(share))
    console = Console()
    console.print(lengths)
    console.print(facts)
    if quality["examples"]:
        console.say(Text(f"{quality['num_new_names']:,} such names, e.g. {'; '.join(quality['examples'])}"))
    for said in quality["unsupported"]:
        console.say(Text(f"unsupported, e.g. {said}"))
