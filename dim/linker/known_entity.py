"""What a linker asks of an entity, beyond being one."""

from __future__ import annotations

from dim.data.dataset import NIL
from dim.data.entity import Entity
from dim.errors import DataError

KnownEntity = Entity  #: Its name in linkers until 0.1; it goes with the release after.


def check_new(entity: Entity) -> None:
    """As `check_known`, of an entity that is added: it needs a name, too."""
    if not entity.id.strip() or not entity.name.strip():
        raise DataError("an entity with an id and a name", f"id '{entity.id}', name '{entity.name}'", "Give both.")
    check_known(entity)


def check_known(entity: Entity) -> None:
    """Raises DataError where an entity has no id, or the one that says that the KB has none."""
    if not entity.id.strip():
        raise DataError("an entity with an id", f"'{entity.id}' for '{entity.name}'", "Give one.")
    if entity.id == NIL:
        raise DataError("an entity's id", f"'{NIL}', which says that the KB has none", "Choose another id.")
