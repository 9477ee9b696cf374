"""What a server says of its linker."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from urllib.parse import quote

import dim
from dim.data.entity import Entity
from dim.linker import Linker
from dim.serve.evidence import told
from dim.serve.schema import About, Example
from dim.serve.settings import Settings

NUM_EXAMPLES = 6
LOOKED_AT = 20_000  #: Entities, for examples.


def about(linker: Linker, settings: Settings) -> About:
    """The linker's size, abilities and evidence, questions to try, and the server's limits."""
    return About(
        name=str(linker.about.get("dataset") or linker.about.get("run") or "dim"),
        entities=len(linker),
        reads_images=linker.reads_images,
        has_probabilities=linker.has_probabilities,
        calibrated_on=linker.calibrated_on,
        evidence=told(linker.evidence, settings.evidence),
        examples=_examples(linker, settings.root_path),
        limits=settings.limits,
        version=dim.__version__,
    )


def image_url(entity_id: str, place: int, root_path: str = "") -> str:
    """Where the server has an image of an entity.

    Example:
        >>> image_url("Q 1/2", 0), image_url("Q1", 0, "/mel")
        ('/entities/Q%201%2F2/images/0', '/mel/entities/Q1/images/0')
    """
    return f"{root_path}/entities/{quote(entity_id, safe='')}/images/{place}"


def _examples(linker: Linker, root_path: str) -> list[Example]:
    """Questions of entities that have a text: first those whose name others bear, too; spread over the KB."""
    known = list(islice(linker.knowledge, LOOKED_AT))
    bearers = Counter(name for entity in known for name in {entity.name, *entity.aliases})
    with_text = [entity for entity in known if entity.text]
    shared = [entity for entity in with_text if _most_shared(entity, bearers)[0] > 1]
    chosen = _spread(shared, NUM_EXAMPLES // 2)
    chosen += _spread([entity for entity in with_text if entity not in chosen], NUM_EXAMPLES - len(chosen))
    with_images = linker.reads_images
    return [
        Example(
            mention=_most_shared(entity, bearers)[1],
            context=(entity.text or "")[:300],
            image=image_url(entity.id, 0, root_path) if with_images and entity.images else None,
        )
        for entity in chosen
    ]


def _most_shared(entity: Entity, bearers: Counter[str]) -> tuple[int, str]:
    # Of names that equally many bear the entity's own, which stands first.
    name = max((entity.name, *entity.aliases), key=lambda name: bearers[name])
    return bearers[name], name


def _spread(entities: list[Entity], count: int) -> list[Entity]:
    step = max(len(entities) // max(count, 1), 1)
    return entities[::step][:count]
