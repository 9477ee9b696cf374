"""An entity's old and new text side by side."""

from __future__ import annotations

from rich.table import Table

from dim.data.dataset import Dataset
from dim.display.terminal import Console, Text
from dim.errors import DataError
from dim.refresh.answers import Answer, AnswerLog
from dim.refresh.plan import old_texts
from dim.refresh.reply import usable_text


def print_side_by_side(dataset: Dataset, entity_id: str, variant: str, source_text: str) -> None:
    """Prints an entity's old and new text side by side, and what is recorded of the answer.

    Raises:
        DataError: The dataset has no such entity, or its answers cannot be read.
        ConfigError: It has no such source text.
    """
    if entity_id not in dataset.entity_index:
        raise DataError(f"an entity of {dataset.name}", f"'{entity_id}'", "Look its id up in entities.parquet.")
    row = dataset.entities["id"].tolist().index(entity_id)
    old = old_texts(dataset, source_text)[row]
    new: str | None = dataset.texts(variant).tolist()[row] if variant in dataset.variants else None
    answers = [answer for answer in AnswerLog(dataset.root, variant).read()[0] if answer.entity_id == entity_id]
    answer = next((a for a in reversed(answers) if a.status == "ok" and usable_text(a.text) == new), None)
    answer = answer or (answers[-1] if answers else None)
    texts = Table(title=Text(f"{entity_id}  {dataset.entity(entity_id).name}"), expand=True)
    texts.add_column(Text(f"old: {source_text}"), ratio=1, overflow="fold")
    texts.add_column(Text(f"new: {variant}"), ratio=1, overflow="fold")
    texts.add_row(Text(old or "(no text)"), Text(new or "(no text)"))
    facts = Table.grid(padding=(0, 2))
    for name, value in _answer_facts(answer, new):
        facts.add_row(Text(name, style="bold"), Text(value))
    console = Console()
    console.print(texts)
    console.print(facts)


def _answer_facts(answer: Answer | None, new: str | None) -> list[tuple[str, str]]:
    if answer is None:
        return [("status", "not asked")]
    by = answer.model if answer.served_model in (None, answer.model) else f"{answer.model} ({answer.served_model})"
    counted = "" if answer.tokens_reported else " (upper bound: the server did not report all)"
    facts = [
        ("status", f"{answer.status}, {answer.detail}" if answer.detail else answer.status),
        ("model", by),
        ("prompt hash", answer.prompt_hash),
        ("parameters", ", ".join(f"{name} {value}" for name, value in answer.parameters.items())),
        ("tokens", f"{answer.tokens_in:,} in, {answer.tokens_out:,} out{counted}"),
        ("cost", "-" if answer.cost is None else f"{answer.cost:g}"),
        ("date", answer.date),
        ("tries", f"{answer.tries}" + (f" (failed: {', '.join(answer.failures)})" if answer.failures else "")),
    ]
    return facts if new or not answer.text else [*facts, ("said, not used", answer.text)]
