"""Another linker takes the place of the one that is served, and no question is lost."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from demo_run import demo_run, linker_of, world_of
from PIL import Image
from serving import QUESTION, Held, client_of, process, running
from waiting import HANG, wait_until

from dim.data.entity import Entity
from dim.errors import DataError
from dim.linker import Linker
from dim.serve.kept_images import KeptImages
from dim.serve.served import Edition
from dim.serve.settings import Settings

TOKEN = {"Authorization": "Bearer tell-nobody"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def old(run: Path) -> Linker:
    return linker_of(run)


@pytest.fixture(scope="module")
def new(run: Path) -> Linker:
    linker = linker_of(run)
    linker.add_entities([Entity("Q-new", "Velton the Newer")])
    return linker


def test_each_question_is_answered_by_the_linker_that_it_came_to(old: Linker, new: Linker) -> None:
    with (
        running(old, lambda: Edition(new, Settings()), token="tell-nobody") as server,
        Held(old) as of_old,
        Held(new) as of_new,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(mention: str) -> httpx.Response:
            return server.client.post("/link", json={"mention": mention, "candidates": None}, headers=TOKEN)

        first = pool.submit(ask, "first")
        wait_until(lambda: len(of_old.batches) == 1)
        before = [pool.submit(ask, "before") for _ in range(3)]
        wait_until(lambda: server.batcher.accepted == 4)
        assert server.client.post("/reload", headers=TOKEN).json() == {"status": "reloaded"}
        after = [pool.submit(ask, "after") for _ in range(3)]
        wait_until(lambda: server.batcher.accepted == 7)
        of_new.go.set()
        of_old.go.set()
        assert {each.result().status_code for each in [first, *before, *after]} == {200}
        assert of_old.batches == [["first"], ["before"] * 3]
        assert of_new.batches == [["after"] * 3]
        assert server.client.get("/about", headers=TOKEN).json()["entities"] == 301
        assert server.count("dim_entities") == 301


def test_one_that_cannot_be_opened_leaves_the_old_one_and_says_why(old: Linker) -> None:
    def broken() -> Edition:
        raise DataError("a linker in the folder", "a damaged file", "Save it again.")

    with running(old, broken, token="tell-nobody") as server:
        answer = server.client.post("/reload", headers=TOKEN)
        assert (answer.status_code, answer.json()["error"]["found"]) == (422, "a damaged file")
        assert server.client.post("/link", json=QUESTION, headers=TOKEN).status_code == 200
        assert server.client.post("/reload").status_code == 401


def test_without_a_token_nobody_reloads(old: Linker, new: Linker) -> None:
    with running(old, lambda: Edition(new, Settings())) as server:
        answer = server.client.post("/reload")
        assert (answer.status_code, answer.json()["error"]["expected"]) == (403, "a server with a token")
        assert server.client.get("/about").json()["entities"] == 300
    with running(old, token="tell-nobody") as server:  # which was not opened from anywhere
        assert server.client.post("/reload", headers=TOKEN).status_code == 404


@pytest.fixture
def pictured(run: Path) -> Linker:
    linker = linker_of(run)
    picture = next(world_of(run).image_root.rglob("*.png"))
    linker.add_entities([Entity("Q-red", "Red", images=(str(picture),))])
    return linker


def red(client: httpx.Client) -> httpx.Response:
    return client.get("/entities/Q-red/images/0")


def test_a_folder_that_is_replaced_is_served_as_it_was_until_sighup(pictured: Linker, tmp_path: Path) -> None:
    folder = tmp_path / "linker"
    pictured.save(folder, images="copies")
    with process(folder) as (served, client):
        shown = red(client).content
        (picture,) = tmp_path.glob(".linker.dim-served-*")
        other = tmp_path / "other.png"
        Image.new("RGB", (40, 40), "blue").save(other)
        pictured.remove_entities(["Q-red"])
        pictured.add_entities([Entity("Q-red", "Red", images=(str(other),)), Entity("Q-more", "More")])
        pictured.save(folder, images="copies")
        assert red(client_of(client.base_url.port or 0)).content == shown
        assert client.get("/about").json()["entities"] == 301
        served.send_signal(signal.SIGHUP)
        wait_until(lambda: client.get("/about").json()["entities"] == 302)
        assert red(client).status_code == 200
        assert red(client).content != shown
        (folder / "model.safetensors").write_bytes(b"damaged")
        served.send_signal(signal.SIGHUP)
        assert served.stderr is not None
        said = iter(served.stderr.readline, "")
        assert any("not reloaded, the linker of before goes on: expected a linker in" in line for line in said)
        assert client.post("/link", json=QUESTION).status_code == 200
        served.send_signal(signal.SIGTERM)
        served.communicate(timeout=HANG)
    assert list(tmp_path.glob(".linker.dim-served-*")) == []
    assert picture.name.startswith(".linker")


def kept_of(folder: Path, *images: Path) -> KeptImages:
    kept = KeptImages(folder)
    kept.keep(str(image) for image in images or sorted((folder / "images").iterdir()))
    return kept


def test_kept_pictures_stay_what_they_are_and_go_with_their_keeper(pictured: Linker, tmp_path: Path) -> None:
    folder = tmp_path / "linker"
    pictured.save(folder, images="copies")
    left = tmp_path / ".linker.dim-served-of-a-killed-one"
    left.mkdir()
    kept = kept_of(folder)
    assert not left.exists()
    picture = next((folder / "images").iterdir())
    place, root = kept.place_of(str(picture), folder)
    there, content = Path(place), picture.read_bytes()
    assert there.is_relative_to(root)
    assert kept.place_of(f"{picture}#xywh=0,0,9,9", folder) == (f"{place}#xywh=0,0,9,9", root)
    folder.rename(tmp_path / "moved")
    picture = tmp_path / "moved" / "images" / picture.name
    picture.unlink()
    assert there.read_bytes() == content
    elsewhere = "/elsewhere/a.png", Path("/elsewhere")
    assert kept.place_of(*elsewhere) == elsewhere
    assert not kept.is_of_this_folder()
    other = kept_of(tmp_path / "moved")  # a second server of the folder
    assert there.exists()
    del kept
    assert not there.exists()
    assert other.is_of_this_folder()


def test_what_leads_out_and_what_no_entity_names_is_not_kept(pictured: Linker, tmp_path: Path) -> None:
    folder = tmp_path / "linker"
    pictured.save(folder, images="copies")
    picture, other, *_ = (folder / "images").iterdir()
    secret = picture.rename(tmp_path / "secret.png")
    picture.symlink_to(secret)
    (folder / "images" / "again").symlink_to(folder)  # nothing goes through folders
    kept = kept_of(folder, picture, other)
    assert not Path(kept.place_of(str(picture), folder)[0]).exists()
    assert kept.place is not None
    assert [each.name for each in kept.place.rglob("*")] == ["images", other.name]


def test_a_folder_without_pictures_keeps_none(pictured: Linker, tmp_path: Path) -> None:
    pictured.save(tmp_path / "linker", images="none")
    kept = KeptImages(tmp_path / "linker")
    kept.keep(["/elsewhere/a.png"])
    assert kept.place is None
    assert [each.name for each in tmp_path.iterdir()] == ["linker"]
