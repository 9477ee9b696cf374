"""A server answers to its own names, and no page of another site makes a browser ask it."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from demo_run import demo_run, linker_of
from serving import QUESTION, Running, running

from dim.linker import Linker
from dim.serve.origin import names_of


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.fixture(scope="module")
def local(linker: Linker) -> Iterator[Running]:
    with running(linker, allowed_hosts=names_of("127.0.0.1", None, "linker.test")) as server:
        yield server


def ask(server: Running, path: str = "/link", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if path == "/link":
        return server.client.post(path, json=QUESTION, headers=named)
    return server.client.get(path, headers=named)


@pytest.mark.parametrize("path", ["/", "/about", "/health", "/metrics", "/link", "/entities/Q1/images/0", "/nowhere"])
def test_another_name_is_refused_wherever_it_asks(local: Running, path: str) -> None:
    for host in ("evil.test", "evil.test:8000", "127.0.0.1.evil.test", "localhost@evil.test", "[::2]", "127.0.0.2", ""):
        answer = ask(local, path, host=host)
        assert answer.status_code == 403, host
        assert answer.json()["error"]["expected"].endswith("as Host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:1234", "[::1]", "[::1]:99", "linker.test"])
def test_its_own_names_are_answered_whatever_the_port(local: Running, host: str) -> None:
    assert ask(local, host=host).status_code == 200


def test_http_1_0_without_a_host_is_refused(local: Running) -> None:
    with socket.create_connection(("127.0.0.1", local.port)) as client:
        client.sendall(b"GET /about HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 403 ")


def test_names_are_checked_where_a_page_could_misuse_them() -> None:
    assert names_of("127.0.0.1", "secret", None) is None
    assert names_of("0.0.0.0", None, None) is None
    assert names_of("::1", None, None) == ("localhost", "127.0.0.1", "[::1]")
    assert names_of("10.0.0.1", "secret", "a.test, b.test") == ("10.0.0.1", "a.test", "b.test")


def where(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "origin": "OWN"},
        {"origin": "http://evil.test"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
    ],
)
def test_a_post_of_another_sites_page_is_refused(local: Running, headers: dict[str, str]) -> None:
    sent: dict[str, Any] = {name: value.replace("OWN", where(local)) for name, value in headers.items()}
    assert ask(local, **sent).status_code == 403
    form = {name.replace("_", "-"): value for name, value in sent.items()}
    refused = local.client.post("/link/image", files={"image": b"a"}, data={"mention": "a"}, headers=form)
    assert refused.status_code == 403
    assert refused.json()["error"]["expected"] == "a request of this server's own page, or of a program"
    assert ask(local, "/about", **sent).status_code == 200  # a browser shows no other site what it says


@pytest.mark.parametrize(
    "headers", [{}, {"sec_fetch_site": "same-origin"}, {"sec_fetch_site": "none"}, {"origin": "OWN"}]
)
def test_its_own_page_and_programs_may_post(local: Running, headers: dict[str, str]) -> None:
    sent = {name: value.replace("OWN", where(local)) for name, value in headers.items()}
    assert ask(local, **sent).status_code == 200
