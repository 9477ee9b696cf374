"""Fields of a mention that hold the id of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dim.audit.findings import Finding, Verdict, first
from dim.audit.rows import Rows, text_of
from dim.data.dataset import Dataset

#: Field → what it means that the answer stands there.
_MEANS = {
    "mention id": "The id of the row names the answer: whatever sorts, joins or prints by id can read it.",
    "image path": "The path names the answer: dim shows a model pixels alone, but a system that reads paths has it.",
    "context": "The text that a model reads names the answer.",
    "caption": "The text that a model reads names the answer.",
    "attributes": "Attributes reach no model of dim; keep them from a system of your own.",
}


def check_answers(dataset: Dataset, rows: Rows) -> Iterator[Finding]:
    """One finding a field: does it hold a gold's id?

    Ids that read as the entity's name (a page title) are left out: to name the entity is what a mention does. What
    chance would give, as with ids that are small numbers, is counted with the golds of other rows.
    """
    table = dataset.mentions
    fields: dict[str, Sequence[str]] = {
        "mention id": rows.ids,
        "image path": ["\n".join(paths) for paths in rows.images],
        "context": rows.context,
        "caption": [text_of(value) for value in table["caption"].tolist()],
        "attributes": [text_of(value) for value in table["attributes"].tolist()],
    }
    named = _ids_that_are_names(dataset)
    golds = {i: told for i, ids in enumerate(rows.golds) if (told := [gold for gold in ids if gold not in named])}
    for field, values in fields.items():
        yield _check(field, values, rows.ids, golds)


def _check(field: str, values: Sequence[str], ids: Sequence[str], golds: Mapping[int, Sequence[str]]) -> Finding:
    name = f"answer's id in the {field}"
    if not golds:
        return Finding(name, "not checked", "No row has an answer whose id differs from its name.")
    filled = [i for i in golds if values[i]]
    if not filled:
        return Finding(name, "not checked", f"No row with an answer has one ({field}).")
    holding = [i for i in filled if any(holds(values[i], gold) for gold in golds[i])]
    others = [golds[i] for i in [*filled[len(filled) // 2 :], *filled[: len(filled) // 2]]]
    by_chance = sum(
        any(gold not in golds[i] and holds(values[i], gold) for gold in of_other)
        for i, of_other in zip(filled, others, strict=True)
    )
    verdict: Verdict = "ok"
    says = "The answer's id does not stand there."
    if holding and len(holding) <= 2 * by_chance:
        verdict, says = "note", "Ids of other rows' answers stand there about as often: chance, no leak."
    elif holding:
        verdict, says = ("note" if field == "attributes" else "leak"), _MEANS[field]
    return Finding(
        name,
        verdict,
        says,
        count=len(holding),
        of=len(filled),
        figures={"by_chance": by_chance},
        examples=first(ids[i] for i in holding),
    )


def holds(text: str, entity_id: str) -> bool:
    """Tells whether an id stands in a text as a word of its own, in whatever case.

    Example:
        >>> holds("Q42/1.jpg", "Q42"), holds("Q421.jpg", "Q42"), holds("img_q42.jpg", "Q42")
        (True, False, True)
    """
    text, entity_id = text.casefold(), entity_id.casefold()
    start = text.find(entity_id) if entity_id else -1
    while start >= 0:
        end = start + len(entity_id)
        if not text[:start][-1:].isalnum() and not text[end : end + 1].isalnum():
            return True
        start = text.find(entity_id, start + 1)
    return False


def _ids_that_are_names(dataset: Dataset) -> set[str]:
    entities = dataset.entities
    columns = (entities["id"].tolist(), entities["name"].tolist(), entities["aliases"].tolist())
    return {
        entity_id
        for entity_id, name, aliases in zip(*columns, strict=True)
        if _words(entity_id) in {_words(text_of(other)) for other in (name, *(() if aliases is None else aliases))}
    }


def _words(text: str) -> str:
    return " ".join(text.replace("_", " ").replace("-", " ").split()).casefold()  # as `title_id` has it
