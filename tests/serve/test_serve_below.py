"""Behind a proxy that has the server below a path, the page, its pictures and the API are there, too."""

import re
from importlib.resources import files
from urllib.parse import urljoin

import httpx
import pytest
from demo_run import demo_run, linker_of, world_of
from proxies import proxied
from serving import QUESTION, running

from dim.data.entity import Entity
from dim.errors import ConfigError
from dim.linker import Linker
from dim.serve.settings import Settings


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    run = demo_run(tmp_path_factory)
    linker = linker_of(run)
    linker.add_entities([Entity("Q/1", "Ölaf", images=(str(next(world_of(run).image_root.rglob("*.png"))),))])
    return linker


def named_in(page: httpx.Response) -> set[str]:
    """The addresses that a page or a script names, as a browser resolves them."""
    told = re.findall(r'(?:src|href|from)[= ]"([^"#]+)"', page.text)
    return {urljoin(str(page.url), each) for each in told if not each.startswith("data:")}


@pytest.mark.parametrize("strips", [False, True])
def test_all_that_the_pages_name_is_there_below_the_path(linker: Linker, strips: bool) -> None:
    with running(linker, root_path="/mel") as server, proxied(server.port, strips) as client:
        waiting, seen = {str(client.base_url.join("/mel/")), str(client.base_url.join("/mel/docs"))}, set[str]()
        while waiting:
            seen.add(address := waiting.pop())
            found = client.get(address)
            assert found.status_code == 200, address
            waiting |= named_in(found) - seen
        assert all("/mel/" in address for address in seen)
        assert {address.rpartition("/")[2] for address in seen} >= {"page.js", "server.js", "page.css", "openapi.json"}


def test_no_file_of_the_pages_names_an_address_from_the_root() -> None:
    for folder in ("page", "docs"):
        for file in files("dim.serve").joinpath(folder).iterdir():
            assert re.findall(r"""["'(]/(?:page|docs|openapi|link|about|entities)""", file.read_text()) == [], file.name


@pytest.mark.parametrize("strips", [False, True])
def test_answers_name_pictures_where_the_client_finds_them(linker: Linker, strips: bool) -> None:
    with running(linker, root_path="/mel") as server, proxied(server.port, strips) as client:
        (answer,) = client.post("/mel/link", json={"mention": "Ölaf", "candidates": ["Q/1"]}).json()["answers"]
        assert answer["images"] == ["/mel/entities/Q%2F1/images/0"]
        assert client.get(answer["images"][0]).headers["content-type"] == "image/jpeg"
        images = [example["image"] for example in client.get("/mel/about").json()["examples"] if example["image"]]
        assert all(client.get(image).status_code == 200 for image in images)
        assert client.get("/mel/openapi.json").json()["servers"] == [{"url": "/mel"}]


def test_the_path_itself_leads_to_the_page_and_others_are_not_taken_for_it(linker: Linker) -> None:
    with running(linker, root_path="/mel") as server:
        found = server.client.get("/mel")
        assert (found.status_code, found.headers["location"]) == (308, "/mel/")
        assert server.client.post("/mel/link", json=QUESTION).status_code == 200
        assert server.client.post("/link", json=QUESTION).status_code == 200
        assert server.client.post("/melon/link", json=QUESTION).status_code == 404
        assert server.count("dim_requests_total", route="/link", status="200") == 2


def test_a_token_is_asked_for_below_the_path_too(linker: Linker) -> None:
    with running(linker, root_path="/mel", token="tell-nobody") as server:
        assert server.client.post("/mel/link", json=QUESTION).status_code == 401
        assert server.client.get("/mel/").status_code == 200
        right = {"Authorization": "Bearer tell-nobody"}
        assert server.client.post("/mel/link", json=QUESTION, headers=right).status_code == 200


@pytest.mark.parametrize("wrong", ["mel", "/mel/", "//mel", "/mel?a", "/m el", "/../mel", "/mel%20"])
def test_what_is_no_path_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="a root_path such as /mel"):
        Settings(root_path=wrong)
