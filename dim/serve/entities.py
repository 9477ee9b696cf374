"""Entities come and go over HTTP: the linker's folder is changed, and answers by what stands there then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from dim.core.excerpts import few_of
from dim.display.log import log
from dim.errors import InUseError, MemoryShortageError, StorageError
from dim.linker import Linker
from dim.serve.problems import Problem, busy
from dim.serve.schema import AskedEntities, AskedIds, Changed
from dim.serve.served import Served

LOG = log("dim.serve")
RETRY_S = 0.1  #: Until a reload is asked for again, where another is under way.

Responses = dict[int | str, dict[str, Any]]
PathId = Annotated[str, Path(max_length=1000)]
Change = Callable[[Linker], None]


class Changes:
    """Changes a linker's folder, one after the other, and has all processes answer by it.

    Args:
        served: Answers meanwhile, as before.
        changed: Applies a change to the folder, all of it or nothing, and gives the number of its entities then.
        reload: Has all processes open it again.
    """

    def __init__(self, served: Served, changed: Callable[[Change], int], reload: Callable[[], Awaitable[None]]) -> None:
        self.served, self.changed, self.reload = served, changed, reload

    async def make(self, change: Change) -> int:
        """Returns, with the number of entities, when all processes answer by the changed folder.

        Raises:
            DimError: It cannot be changed so; nothing is.
            Problem: 503, another changes it; 500, it cannot be written, or it is written and not opened again.
        """
        with self.served.batcher.place_of_text():  # a server that stops waits for it
            try:
                num_entities = await asyncio.to_thread(self.changed, change)
            except InUseError as error:
                raise busy(error.expected, error.found, 5) from error
            except (StorageError, MemoryShortageError) as error:
                raise Problem(500, error.expected, error.found, error.remedy) from error
            LOG.warning("the linker's folder was changed by a request: %s entities", f"{num_entities:,}")
            await self._take_in()
            return num_entities

    async def _take_in(self) -> None:
        while not self.served.batcher.is_stopping:
            try:
                await self.reload()
                return
            except Exception as error:
                if isinstance(error, Problem) and error.status_code == 503:  # one that may have begun before the change
                    await asyncio.sleep(RETRY_S)
                    continue
                LOG.exception("the changed folder was not opened again")
                remedy = "Do not send them again: see the server's log, then POST /reload."
                found = f"the folder is changed, and answers are of before: {error}"
                raise Problem(500, "a server that answers by the changed folder", found, remedy) from error


def add_entity_routes(
    router: APIRouter, served: Served, changes: Changes | None, adding: Responses, removing: Responses
) -> None:
    """Adds the routes that change the KB.

    Args:
        router: To it.
        served: Its settings count.
        changes: Makes them; None: they are refused, and no document has the routes.
        adding: The errors of what adds, as they are documented.
        removing: Of what removes.
    """
    if changes is None:
        _refuse(router)
        return
    make, most = changes.make, served.settings.max_entities

    @router.post("/entities", responses=adding, response_model=Changed)
    async def add_entities(asked: AskedEntities) -> Response:
        """Adds entities to the linker's folder, all or none; what is asked from then on is answered by them."""
        _check_number(len(asked.entities), "entities", most)
        given = [entity.model_dump(exclude_unset=True) for entity in asked.entities]
        return _told(len(given), 0, await make(lambda linker: _add(linker, given)))

    @router.post("/entities/remove", responses=removing, response_model=Changed)
    async def remove_entities(asked: AskedIds) -> Response:
        """Takes entities out of the linker's folder, all that are named or none."""
        _check_number(len(asked.ids), "ids", most)
        return _told(0, len(set(asked.ids)), await make(lambda linker: _remove(linker, asked.ids)))

    @router.delete("/entities/{entity_id:path}", responses=removing, response_model=Changed)
    async def remove_entity(entity_id: PathId) -> Response:
        """Takes an entity out of the linker's folder."""
        return _told(0, 1, await make(lambda linker: _remove(linker, [entity_id])))


def _refuse(router: APIRouter) -> None:
    async def refused() -> Response:
        remedy = "Start it with --writable true and a token, or change the folder with dim add and dim remove."
        raise Problem(403, "a server that changes its linker's folder", "one that only answers", remedy)

    for path, method in (("/entities", "POST"), ("/entities/remove", "POST"), ("/entities/{entity_id:path}", "DELETE")):
        router.add_api_route(path, refused, methods=[method], include_in_schema=False)


def _add(linker: Linker, given: list[dict[str, Any]]) -> None:
    if known := [each["id"] for each in given if each["id"] in linker]:
        remedy = "Nothing was added. Remove the old ones first, or give new ids."
        raise Problem(409, "ids that the KB does not have yet", _named(known), remedy)
    linker.add_entities(given)


def _remove(linker: Linker, ids: list[str]) -> None:
    lacking = [entity_id for entity_id in ids if entity_id not in linker]
    if lacking:
        raise Problem(
            404, f"ids of the {len(linker):,} entities", _named(lacking), "Nothing was removed. Take ids from answers."
        )
    linker.remove_entities(ids)


def _named(ids: list[str]) -> str:
    return few_of([f"'{each}'" for each in ids], 3)


def _check_number(count: int, what: str, most: int) -> None:
    if not 0 < count <= most:
        remedy = "Send several requests." if count else "Send at least one."
        raise Problem(422, f"1 to {most:,} {what} in a request", f"{count:,}", remedy)


def _told(added: int, removed: int, num_entities: int) -> Response:
    return Changed(added=added, removed=removed, entities=num_entities).response()
