"""Entities come and go over HTTP: folder and answers change together, or not at all."""

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, process, running, running_from
from waiting import HANG, wait_until

from dim.__main__ import main
from dim.cli.serve import opening_lines, serve
from dim.core.locks import folder_lock
from dim.encoders.tiny import TinyTextEncoder
from dim.errors import ConfigError, DataError, MemoryShortageError
from dim.linker import Linker
from dim.linker.folder import MANIFEST
from dim.serve.control import Opened
from dim.serve.entities import Changes
from dim.serve.problems import Problem, busy
from dim.serve.server import bound_socket
from dim.serve.settings import Settings

TOKEN = {"Authorization": "Bearer tell-nobody"}
KB = [{"id": "m1", "name": "Käthe Kollwitz"}, {"id": "m2", "name": "齐白石", "aliases": ["Qi Baishi"]}]
NOLDE = {"id": "http://kb/m 3", "name": "Emil Nolde", "aliases": ["Nolde", "نولده"], "text": "painted gardens"}


@pytest.fixture(scope="module")
def linker() -> Linker:
    return Linker.from_entities(KB, TinyTextEncoder(64))


@pytest.fixture
def folder(linker: Linker, tmp_path: Path) -> Path:
    linker.save(tmp_path / "linker")
    return tmp_path / "linker"


@pytest.fixture
def server(folder: Path) -> Iterator[Running]:
    with running_from(folder, token="tell-nobody", writable=True, max_entities=3) as server:
        server.client.headers.update(TOKEN)
        yield server


@pytest.fixture(scope="module")
def place(linker: Linker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `kept`."""
    place = tmp_path_factory.mktemp("kept") / "linker"
    linker.save(place)
    return place


@pytest.fixture(scope="module")
def kept(place: Path) -> Iterator[Running]:
    """A server for what changes nothing."""
    with running_from(place, token="tell-nobody", writable=True, max_entities=3) as server:
        server.client.headers.update(TOKEN)
        yield server


def found(client: httpx.Client, mention: str) -> list[str]:
    return [answer["id"] for answer in client.post("/link", json={"mention": mention}).json()["answers"]]


def in_folder(folder: Path) -> set[str]:
    return {entity.id for entity in Linker.from_pretrained(folder)}


def test_what_is_added_is_answered_at_once_and_stands_in_the_folder(server: Running, folder: Path) -> None:
    client = server.client
    more = {"id": "m4", "name": "Ernst Barlach", "text": None, "type": "person", "popularity": 12.5}
    answer = client.post("/entities", json={"entities": [NOLDE, more]})
    assert answer.json() == {"added": 2, "removed": 0, "entities": 4}, answer.text
    assert [found(client, name)[0] for name in ("Nolde", "نولده", "Barlach")] == [NOLDE["id"], NOLDE["id"], "m4"]
    again = Linker.from_pretrained(folder)
    assert (again[str(NOLDE["id"])].text, again["m4"].popularity) == ("painted gardens", 12.5)
    assert client.get("/about").json()["entities"] == 4
    gone = client.delete("/entities/http:%2F%2Fkb%2Fm%203")
    assert gone.json() == {"added": 0, "removed": 1, "entities": 3}
    assert NOLDE["id"] not in found(client, "Nolde")
    assert client.post("/entities/remove", json={"ids": ["m4", "m1", "m4"]}).json()["entities"] == 1
    assert in_folder(folder) == {"m2"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("POST", "", {"entities": [NOLDE, KB[0]]}, 409, "ids that the KB does not have yet"),
        ("POST", "", {"entities": [NOLDE, NOLDE]}, 422, "entities that the KB does not have yet"),
        ("POST", "", {"entities": [NOLDE, {"id": "m5"}]}, 422, "entities.1.name: Field required"),
        ("POST", "", {"entities": [NOLDE, {"id": "m5", "name": " "}]}, 422, "entities.1.name"),
        ("POST", "", {"entities": [NOLDE, {"id": "NIL", "name": "Nobody"}]}, 422, "an entity's id"),
        ("POST", "", {"entities": [{**NOLDE, "image": "/etc/passwd"}]}, 422, "entities.0.image: Extra inputs"),
        ("POST", "", {"entities": [{**NOLDE, "name": "a" * 100_000}]}, 422, "at most"),
        ("POST", "", {"entities": []}, 422, "1 to 3 entities in a request"),
        ("POST", "", {"entities": [NOLDE] * 4}, 422, "1 to 3 entities in a request"),
        ("POST", "/remove", {"ids": ["m1", "m9"]}, 404, "ids of the 2 entities"),
        ("POST", "/remove", {"ids": []}, 422, "1 to 3 ids in a request"),
        ("DELETE", "/m9", None, 404, "ids of the 2 entities"),
        ("DELETE", "/m1%00", None, 404, "ids of the 2 entities"),
    ],
)
def test_what_cannot_be_done_leaves_folder_and_answers(
    kept: Running, place: Path, method: str, path: str, body: Any, status: int, expected: str
) -> None:
    before, edition = (place / MANIFEST).read_bytes(), kept.served.edition
    answer = kept.client.request(method, f"/entities{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["expected"][: len(expected)]) == (status, expected), answer.text
    assert (place / MANIFEST).read_bytes() == before
    assert kept.served.edition is edition


def test_one_changes_it_at_a_time_and_a_server_that_stops_finishes_what_it_began(server: Running, folder: Path) -> None:
    with folder_lock(folder, "dim add"):
        refused = server.client.post("/entities", json={"entities": [NOLDE]})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "dim add" in refused.json()["error"]["found"]
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(server.client.post, "/entities", json={"entities": [NOLDE]})
        wait_until(lambda: bool(server.batcher.accepted))
        server.batcher.refuse()
        assert one.result().json()["entities"] == 3
    assert NOLDE["id"] in in_folder(folder)


def test_a_change_is_taken_in_after_a_reload_that_began_before_it(kept: Running) -> None:
    asked = []

    async def reload() -> None:
        asked.append(len(asked))
        if len(asked) < 3:
            raise busy("one reload at a time", "another that is under way", 5)

    changes = Changes(kept.served, lambda _: 7, reload)
    assert asyncio.run(changes.make(lambda _: None)) == 7
    assert asked == [0, 1, 2]


def test_a_changed_folder_that_is_not_opened_again_is_told_as_that(kept: Running) -> None:
    async def reload() -> None:
        raise MemoryShortageError("room for the linker", "none", "Free some.")

    with pytest.raises(Problem) as raised:
        asyncio.run(Changes(kept.served, lambda _: 7, reload).make(lambda _: None))
    assert raised.value.status_code == 500
    assert raised.value.found.startswith("the folder is changed, and answers are of before")
    assert "Do not send them again" in raised.value.remedy


def test_who_may_not_hears_what_to_do(linker: Linker, folder: Path) -> None:
    asked = {"entities": [NOLDE]}
    with running_from(folder, token="tell-nobody", writable=True) as server:
        assert server.client.post("/entities", json=asked).status_code == 401
        assert server.client.delete("/entities/m1").status_code == 401
    for made in (running_from(folder, token="tell-nobody"), running_from(folder), running(linker)):
        with made as server:
            server.client.headers.update(TOKEN)
            for answer in (server.client.post("/entities", json=asked), server.client.delete("/entities/m1")):
                assert answer.status_code == 403
                assert answer.json()["error"]["remedy"].startswith("Start it with --writable true and a token, or")
            assert "/entities" not in server.client.get("/openapi.json").json()["paths"]
    assert in_folder(folder) == {"m1", "m2"}


def test_the_documents_have_the_routes_and_their_limit(kept: Running) -> None:
    document = kept.client.get("/openapi.json").json()
    assert document["components"]["schemas"]["AskedEntities"]["properties"]["entities"]["maxItems"] == 3
    assert document["paths"]["/entities/{entity_id}"]["delete"]["security"] == [{"token": []}]
    page = kept.client.get("/docs").text
    assert "/entities -H &#39;Authorization: Bearer TOKEN&#39; -H &#39;Content-Type: application/json&#39; -d" in page
    assert 'data-method="DELETE" data-path="/entities/{entity_id}"' in page


def test_only_a_linkers_folder_with_a_token_is_writable(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIM_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="a token beside writable"):
        serve(str(place), port=0, writable=True)
    (tmp_path / "config.yaml").touch()
    for model, found in ((str(tmp_path), "a run"), ("someone/linker", "no folder someone/linker")):
        with pytest.raises(ConfigError, match=f"a linker's folder, whose entities may come and go[\\s\\S]*{found}"):
            serve(model, port=0, writable=True, token="a")
    with pytest.raises(DataError, match="a linker's folder"):
        serve(str(place.parent), port=0, writable=True, token="a")


@pytest.mark.long
def test_a_folder_that_dim_add_changed_is_answered_by_after_sighup(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("id;name;aliases\nm3;Emil Nolde;Nolde|E. Nolde\n")
    with process(folder, "token='tell-nobody', writable=True") as (served, client):
        client.headers.update(TOKEN)
        assert main(["add", str(folder), str(tmp_path / "more.csv")]) == 0
        assert client.get("/about").json()["entities"] == 2
        served.send_signal(signal.SIGHUP)
        wait_until(lambda: client.get("/about").json()["entities"] == 3)
        assert found(client, "Nolde")[0] == "m3"
        assert main(["remove", str(folder), "m3"]) == 0
        assert client.post("/entities", json={"entities": [NOLDE]}).json()["entities"] == 3  # of what stands there
        assert "m3" not in found(client, "Nolde")
        served.send_signal(signal.SIGTERM)
        _, log = served.communicate(timeout=HANG)
        assert "the linker's folder was changed by a request: 3 entities" in log


def test_it_says_that_it_is_writable() -> None:
    with bound_socket("127.0.0.1", 0) as listener:
        lines = opening_lines("a", Opened(1, ""), listener, Settings(token="a", writable=True), 1000)
    assert "writable: who has the token may add entities to the folder, and remove some" in lines


@pytest.mark.long
def test_all_processes_answer_by_what_one_of_them_was_given(folder: Path) -> None:
    with process(folder, "workers=2, token='tell-nobody', writable=True") as (_, client):
        client.headers.update(TOKEN)
        for place in range(3):
            entity = {"id": f"a{place}", "name": f"Somebody {place}"}
            assert client.post("/entities", json={"entities": [entity]}).json()["entities"] == 3 + place
            assert {client.get("/about").json()["entities"] for _ in range(10)} == {3 + place}
        assert client.delete("/entities/a0").json()["entities"] == 4
        assert {client.get("/about").json()["entities"] for _ in range(10)} == {4}
