"""Which entities still need an answer, and which answers make up the new text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from dim.data.dataset import Dataset, attributes_of
from dim.data.entity import Entity
from dim.errors import ConfigError
from dim.refresh.answers import Answer
from dim.refresh.asking import Request
from dim.refresh.context import Room
from dim.refresh.prompt import Parameters, Prompt, PromptTemplate, plain, request_hash
from dim.refresh.reply import usable_text

NOT_ASKED, TOO_LONG = "not asked", "too_long"


@dataclass
class RefreshPlan:
    """The questions about the entities of a dataset, and what is known of their answers.

    Attributes:
        ids: Entity ids in KB order.
        old: The text of each before, None where it has none.
        pending: The requests among the first `limit` that have no finished answer, those that failed before last.
        too_long: Entities among the first `limit` that have no finished answer and whose prompt is not sent, since it
            has no room in the model's context.
        latest: The last answer to each entity's request, the finished one where there is one.
        reported: Prompts and their tokens, as a server counted those of answers that took one try.
    """

    ids: list[str]
    old: list[str | None]
    pending: list[Request] = field(default_factory=list)
    too_long: set[str] = field(default_factory=set)
    latest: dict[str, Answer] = field(default_factory=dict)
    reported: list[tuple[Prompt, int]] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        """Takes an answer to a request of this plan in."""
        self.latest[answer.entity_id] = answer

    @property
    def has_answers(self) -> bool:
        """Whether any entity has a finished one."""
        return any(answer.status == "ok" for answer in self.latest.values())

    def status(self, entity_id: str) -> str:
        """The status of an entity's answer; `too_long` or `not asked` where there is none."""
        if entity_id in self.too_long:
            return TOO_LONG
        return self.latest[entity_id].status if entity_id in self.latest else NOT_ASKED

    def statuses(self) -> dict[str, int]:
        """The number of entities of each status, `ok` first."""
        counts = Counter(map(self.status, self.ids))
        return dict(sorted(counts.items(), key=lambda item: (item[0] != "ok", item[0] == NOT_ASKED, item[0])))

    def texts(self) -> list[str | None]:
        """The new text of each entity in KB order; None where no answer is finished."""
        answers = (self.latest.get(entity_id) for entity_id in self.ids)
        return [usable_text(answer.text) if answer and answer.status == "ok" else None for answer in answers]

    def table(self) -> pd.DataFrame:
        """The new texts as the table of a text variant; entities without one are left out."""
        rows = [(entity_id, text) for entity_id, text in zip(self.ids, self.texts(), strict=True) if text]
        return pd.DataFrame(rows, columns=["entity_id", "text"], dtype=object)


def plan_refresh(
    dataset: Dataset,
    old: Sequence[str | None],
    template: PromptTemplate,
    model: str,
    parameters: Parameters,
    answers: Sequence[Answer],
    limit: int | None,
    room: Room,
) -> RefreshPlan:
    """Renders every entity's prompt and sets the answers against them.

    An answer counts for its entity if model, rendered prompt, temperature and seed are those of now: an entity whose
    name or old text has changed since is asked again, the others are not. A prompt without room in the model's context
    loses the end of the old text; what was answered counts, whole or cut, whatever is known of the context by now. One
    without room even so is not asked.
    """
    plan = RefreshPlan(dataset.entities["id"].tolist(), list(old))
    by_request: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        for key in {answer.request_hash, answer.whole_hash} - {None}:
            by_request.setdefault((answer.entity_id, str(key)), []).append(answer)
    known = {answer.entity_id for answer in answers}
    for row, (entity, text) in enumerate(zip(entities_of(dataset), old, strict=True)):
        prompt = template.render(entity, text)
        key = whole = request_hash(model, prompt, parameters)
        found, is_asked, has_room = by_request.get((entity.id, whole), []), limit is None or row < limit, True
        if not any(map(_is_finished, found)) and (is_asked or entity.id in known):
            prompt, has_room = room.fit(template, entity, text, prompt)
            key = request_hash(model, prompt, parameters)
            found = found + [each for each in by_request.get((entity.id, key), []) if each not in found]
        for answer in sorted(found, key=_is_finished):
            plan.add(answer)
            if answer.tries == 1 and answer.tokens_reported and answer.tokens_in and answer.request_hash == key:
                plan.reported.append((prompt, answer.tokens_in))
        if not is_asked or any(map(_is_finished, found)):
            continue
        if not has_room:
            plan.too_long.add(entity.id)
            room.too_long.append(entity.id)
            continue
        plan.pending.append(Request(entity.id, prompt, key, None if key == whole else whole))
        if key != whole:
            room.cut.append(entity.id)
    plan.pending.sort(key=lambda request: request.entity_id in plan.latest)
    return plan


def _is_finished(answer: Answer) -> bool:
    return answer.status == "ok"


def entities_of(dataset: Dataset) -> Iterator[Entity]:
    """The entities in KB order."""
    table = dataset.entities
    columns = ("id", "name", "aliases", "type", "attributes")
    for entity_id, name, aliases, kind, attributes in zip(*(table[column].tolist() for column in columns), strict=True):
        yield Entity(
            id=entity_id,
            name=name if isinstance(name, str) else "",
            aliases=tuple(aliases),
            type=kind if isinstance(kind, str) else None,
            attributes=attributes_of(attributes),
        )


def sources_of(dataset: Dataset, old: Sequence[str | None]) -> Iterator[str]:
    """All that a prompt can say of each entity, in KB order."""
    for entity, text in zip(entities_of(dataset), old, strict=True):
        yield " | ".join([entity.name, *entity.aliases, entity.type or "", plain(entity.attributes), text or ""])


def old_texts(dataset: Dataset, variant: str) -> list[str | None]:
    """The text of each entity in KB order; all None where the dataset has no text at all.

    Raises:
        ConfigError: It has texts, but not this one.
    """
    if not dataset.variants:
        return [None] * len(dataset.entities)
    if variant not in dataset.variants:
        raise ConfigError(
            f"an entity text '{variant}' in {dataset.root / 'texts'}",
            f"the variants {', '.join(dataset.variants)}",
            "Choose one of them with --source_text.",
        )
    texts: list[str | None] = dataset.texts(variant).tolist()
    return texts
