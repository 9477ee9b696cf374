"""`dim fetch-images` against a server on loopback, and what it refuses to ask for."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_kgmel import write_kgmel
from fake_wikidiverse import write_mentions
from forked_commands import killed
from image_server import DRIP, encoded, image_server
from releases import entity_rows, write_json, write_table

from dim.__main__ import main
from dim.data.dataset import FAILURE_FILE, URL_FILE, Dataset
from dim.images import remote
from dim.images.fetching import Pace, fetch_all
from dim.images.remote import FETCHED, FetchError, Limits, fetch, fetched_path
from dim.releases.prepare import prepare

IMAGE = encoded()
OK = (200, {"Content-Type": "image/png"}, IMAGE)
HERE = Limits(timeout_s=5, own_network=True)


def dataset_of(tmp_path: Path, *urls: str) -> Dataset:
    """A dataset whose mentions name one image each."""
    rows = [{"mention": "Ada", "context": f"Ada {n}", "entity_id": "0", "image": url} for n, url in enumerate(urls)]
    entities = [{key: value for key, value in row.items() if key != "image"} for row in entity_rows()]
    write_table(tmp_path / "mine" / "entities.csv", entities)
    write_table(tmp_path / "mine" / "mentions.csv", rows)
    return prepare(tmp_path / "mine", tmp_path / "data", audit=False)


def run(dataset: Dataset, *more: str) -> int:
    return main(["fetch-images", str(dataset.root), "--delay_s", "0", "--own_network", "true", *more])


def failures(dataset: Dataset) -> dict[str, str]:
    lines = (dataset.root / FAILURE_FILE).read_text().splitlines()
    return {row["url"].rsplit("/", 1)[1]: row["reason"] for row in map(json.loads, lines)}


def test_images_come_into_the_image_folder_and_what_failed_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        "/a.png": OK,
        "/b.png": (404, {}, b""),
        "/c.png": (200, {}, b"<html>no image</html>"),
        "/to": (302, {"Location": "/a.png"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
        "/large.png": (200, {"Content-Length": str(3 << 20)}, b"x" * (3 << 20)),
        "/short.png": (200, {"Content-Length": "999"}, IMAGE),
    }
    with image_server(lambda path, _: answers[path]) as server:
        dataset = dataset_of(tmp_path, *(server.url + path for path in answers))
        assert "fetch-images" in capsys.readouterr().out
        assert run(dataset, "--max_mb", "2", "--retries", "0", "--user_agent", "museum/1 (me@example.org)") == 0
        assert server.requests[0][1]["User-Agent"] == "museum/1 (me@example.org)"
        shown = " ".join(capsys.readouterr().out.split())
        first = len(server.requests)
        assert run(dataset, "--max_mb", "2", "--retries", "0") == 0
        assert {path for path, _ in server.requests[first:]}.isdisjoint({"/to"})
    assert sorted(path.name for path in (tmp_path / "mine" / "fetched").iterdir()) == sorted(
        fetched_path(server.url + path).split("/")[1] for path in ("/a.png", "/to")
    )
    assert failures(dataset) == {
        "b.png": "HTTP 404",
        "c.png": "no image that can be used: unreadable",
        "round": "more than 5 redirects",
        "file": "neither http nor https: file",
        "large.png": "larger than 2 MiB",
        "short.png": "cut off",
    }
    assert "8 images by URL, 0 here already fetched 2 into" in shown
    assert "failed: HTTP 404: 1, first http://127.0.0.1" in shown
    assert f"all 6 that failed: {dataset.root / FAILURE_FILE}; the same command tries them again" in shown
    again = prepare(tmp_path / "mine", tmp_path / "data", audit=False)
    assert again.meta["mentions_without_image"] == 6


def test_a_busy_host_is_asked_again_when_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(path: str, before: int) -> Any:
        return (503, {"Retry-After": "0"}, b"") if before < 2 else OK

    with image_server(script) as server:
        dataset = dataset_of(tmp_path, f"{server.url}/a.png")
        assert run(dataset) == 0
        assert len(server.requests) == 3
    assert failures(dataset) == {}
    assert (dataset.image_root / fetched_path(f"{server.url}/a.png")).read_bytes() == IMAGE


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_never_ends_is_cut_off(scheme: str) -> None:
    with image_server(lambda *_: DRIP) as server:
        url = f"{server.url}/a.png" if scheme == "http" else _silent()
        with pytest.raises(FetchError, match=r"no whole answer in 0\.3 s"):
            fetch(url, Limits(timeout_s=0.3, own_network=True))


LISTENING = []  # kept open for as long as the tests run


def _silent() -> str:
    """A URL whose host takes the connection and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    LISTENING.append(listener)
    return f"https://127.0.0.1:{listener.getsockname()[1]}/a.png"


def test_a_host_without_tls_is_no_secure_one() -> None:
    with image_server(lambda *_: OK) as server, pytest.raises(FetchError, match="no secure connection"):
        fetch(server.url.replace("http:", "https:") + "/a.png", HERE)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/a.png", "neither http nor https: ftp"),
        ("http:///a.png", "no URL"),
        ("http://[::1/a.png", "no URL"),
        ("http://me:secret@example.org/a.png", "a user name or password"),
        ("http://127.0.0.1:9/a.png", "own network"),
        ("http://[::1]/a.png", "own network"),
        ("http://localhost/a.png", "own network"),
        ("http://2130706433/a.png", "own network"),
        ("http://169.254.169.254/latest", "own network"),
        ("http://10.0.0.7/a.png", "own network"),
    ],
)
def test_what_is_never_asked_for(url: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        fetch(url, Limits())


def test_a_name_that_leads_home_is_refused_and_so_is_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    with image_server(lambda *_: (302, {"Location": "http://localhost/a.png"}, b"")) as server:
        real, port = socket.getaddrinfo, server.server.server_address[1]

        def addresses(host: str, *rest: Any, **more: Any) -> Any:
            return real("127.0.0.1", *rest, **more) if host.endswith("example.org") else real(host, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        with pytest.raises(FetchError, match="own network"):
            fetch(f"http://example.org:{port}/a.png", Limits())
        monkeypatch.setattr(remote, "is_public", lambda address: address == "127.0.0.1" and not server.requests)
        with pytest.raises(FetchError, match="own network"):
            fetch(f"http://example.org:{port}/a.png", Limits())
        assert len(server.requests) == 1


def test_a_dataset_does_not_say_where_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = dataset_of(tmp_path, "https://example.org/a.png")
    pd.DataFrame({"path": ["../../evil.png"], "url": ["https://example.org/a.png"]}).to_parquet(dataset.root / URL_FILE)
    assert run(dataset) != 0
    assert "found    ../../evil.png" in capsys.readouterr().err


def test_a_link_out_of_the_image_folder_in_the_place_of_fetched_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    with image_server(lambda *_: OK) as server:
        dataset = dataset_of(tmp_path, f"{server.url}/a.png")
        (dataset.image_root / FETCHED).symlink_to(tmp_path / "home")
        assert run(dataset) == 1
        assert server.requests == []
    assert f"found    a link to {tmp_path / 'home'}" in capsys.readouterr().err
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_what_links_in_the_place_of_its_files_lead_to_is_left_as_it_is(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    with image_server(lambda path, _: OK if path == "/a.png" else (404, {}, b"")) as server:
        dataset = dataset_of(tmp_path, f"{server.url}/a.png", f"{server.url}/b.png")
        (tmp_path / "diary").write_text("private")
        link(tmp_path / "diary", dataset.root / FAILURE_FILE)
        image = dataset.image_root / fetched_path(f"{server.url}/a.png")
        image.parent.mkdir()
        image.symlink_to(tmp_path / "new.png")  # which is not there
        assert run(dataset) == 0
    assert (tmp_path / "diary").read_text() == "private"
    assert not (tmp_path / "new.png").exists()
    assert image.read_bytes() == IMAGE
    assert failures(dataset) == {"b.png": "HTTP 404"}


def test_killed_before_an_image_has_its_name_it_fetches_that_again(tmp_path: Path) -> None:
    with image_server(lambda *_: OK) as server:
        dataset = dataset_of(tmp_path, f"{server.url}/a.png")
        image = dataset.image_root / fetched_path(f"{server.url}/a.png")
        command = ["fetch-images", str(dataset.root), "--own_network=true"]
        killed(command, tmp_path / "log")
        assert not image.exists()
        assert main(command) == 0
    assert image.read_bytes() == IMAGE
    assert list(image.parent.iterdir()) == [image]


def test_an_address_with_spaces_and_other_letters_is_written_out(tmp_path: Path) -> None:
    with image_server(lambda *_: OK) as server:
        assert fetch(f"{server.url}/Käthe Kollwitz.png?größe=3#top", HERE) == IMAGE
        assert server.requests[0][0] == "/K%C3%A4the%20Kollwitz.png?gr%C3%B6%C3%9Fe=3"


@dataclass
class Moved:
    """A clock that only sleeping moves on."""

    now: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def fetched(self, urls: dict[str, str], answer: Callable[[str], Any], **pace: Any) -> dict[str, Any]:
        def get(url: str) -> bytes:
            self.asked.append((round(self.now, 3), url))
            found = answer(url)
            if isinstance(found, FetchError):
                raise found
            return found

        return dict(fetch_all(urls, get, Pace(**pace, time=lambda: self.now, sleep=self.sleep)))


URLS = {name: f"http://{name[0]}.org/{name}" for name in ("a1", "a2", "b1", "a3", "b2")}


def test_a_host_has_its_delay_while_others_are_asked() -> None:
    clock = Moved()
    assert clock.fetched(URLS, str.encode, delay_s=4) == {path: url.encode() for path, url in URLS.items()}
    assert [(at, url[-2:]) for at, url in clock.asked] == [(0, "a1"), (0, "b1"), (4, "a2"), (4, "b2"), (8, "a3")]


def test_retries_wait_longer_each_time_and_for_what_the_host_asks() -> None:
    clock = Moved()
    found = clock.fetched({"a": "http://a.org/"}, lambda _: FetchError("busy", True), retries=3, delay_s=1)
    assert [at for at, _ in clock.asked] == [0, 2, 6, 14]
    assert found["a"].reason == "busy"
    clock = Moved()
    clock.fetched({"a": "http://a.org/"}, lambda _: FetchError("busy", True, wait_s=30), retries=1)
    assert [at for at, _ in clock.asked] == [0, 30]


def test_a_host_that_asks_for_too_long_or_never_answers_is_left_alone() -> None:
    urls = {str(number): f"http://a.org/{number}" for number in range(50)} | {"b": "http://b.org/"}
    for error, num_asked in ((FetchError("HTTP 429", True, wait_s=9999), 1), (FetchError("dead", True, True), 9)):
        clock = Moved()
        found = clock.fetched(urls, lambda url, error=error: error if "a.org" in url else b"x", retries=2)
        assert sum("a.org" in url for _, url in clock.asked) == num_asked
        assert found["49"].reason == f"its host was left alone ({error.reason})"
        assert found["b"] == b"x"
        assert len(found) == 51


def test_numbers_that_make_no_sense_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = dataset_of(tmp_path, "https://example.org/a.png")
    for option in ("--delay_s=-1", "--timeout_s=0", "--max_mb=0"):
        assert main(["fetch-images", str(dataset.root), option]) != 0
    assert main(["fetch-images", str(dataset.root), "--user_agent=a\nb"]) != 0
    assert capsys.readouterr().err.count("expected") == 4


def test_images_that_kgmel_names_by_url_are_fetched_where_it_has_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_kgmel(tmp_path / "kgmel", kb=False)
    rows, data = root / "data" / "dataset" / "WikiDiverse.json", root / "data" / "dataset"
    before = prepare(root, tmp_path / "before", audit=False)
    assert before.image_urls == {}
    with image_server(lambda *_: OK) as server:
        captions = json.loads(rows.read_text())
        write_json(rows, [row | {"img-url": f"{server.url}/{row['id']}.png"} for row in captions])
        for number in (0, 1, 12):
            (data / "image" / "WikiDiverse" / f"mention_{number}.jpg").unlink()
        dataset = prepare(root, tmp_path / "data", audit=False)
        urls = {f"{server.url}/{number}.png" for number in (0, 1, 12)}
        assert dataset.image_urls == {fetched_path(url): url for url in urls}
        assert "python -m dim fetch-images" in capsys.readouterr().out
        assert server.requests == []
        assert run(dataset) == 0
        assert {path for path, _ in server.requests} == {"/0.png", "/1.png", "/12.png"}
    again = prepare(root, tmp_path / "data", audit=False)
    assert again.hash == dataset.hash
    assert (dataset.meta["mentions_without_image"], again.meta["mentions_without_image"]) == (8, 2)  # 2 are blank
    same = ["id", "split", "mention", "entity_id"]
    assert again.mentions[same].equals(before.mentions[same])


def test_images_that_wikidiverse_names_by_url_are_fetched_without_an_image_folder(tmp_path: Path) -> None:
    root = write_mentions(tmp_path / "wikidiverse")
    with image_server(lambda *_: OK) as server:
        for split in ("train", "valid", "test"):
            file = root / f"{split}_w_10cands.json"
            rows = json.loads(file.read_text())
            write_json(file, [[row[0], f"{server.url}/{number}.png", *row[2:]] for number, row in enumerate(rows)])
        dataset = prepare(root, tmp_path / "data", audit=False)
        assert main(["hold-out", "--dataset", str(dataset.root), "--out", str(tmp_path / "less")]) == 0
        assert Dataset(tmp_path / "less").image_urls == dataset.image_urls
        assert run(dataset) == 0
        num_images = len({path for path, _ in server.requests})
    again = prepare(root, tmp_path / "data", audit=False)
    assert num_images == len(again.image_urls) > 0
    assert again.meta["mentions_without_image"] == 0
    assert all((again.image_root / path).is_file() for of in again.mentions["images"] for path in of)
