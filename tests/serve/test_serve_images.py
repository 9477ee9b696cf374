"""Pictures cost what they are allowed to: uploads, and those of the KB; and one that ends its decoder is one error."""

import asyncio
import io
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from demo_run import demo_run, linker_of, world_of
from PIL import Image
from serving import Running, running
from strangers import leading_out, make_home, naming
from waiting import HANG, wait_until

from dim.encoders.tiny import TinyImageEncoder
from dim.errors import ConfigError
from dim.features.fields import Choices
from dim.features.live import LiveEncoder
from dim.images.decoding_cost import FIXED_BYTES, MOST_BYTES
from dim.linker import Answer, Entity, Linker, Question
from dim.linker.images import ImageReader
from dim.linker.opening import open_linker
from dim.serve.about import image_url
from dim.serve.images import Images, quick_bytes
from dim.serve.settings import Settings

ENDED = "its decoder ended"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return linker_of(run)


@pytest.fixture(scope="module")
def copies(linker: Linker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the KB's images."""
    folder = tmp_path_factory.mktemp("linker") / "copies"
    linker.save(folder, images="copies")
    return folder


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _one_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test knows which process an image goes to."""
    monkeypatch.setattr("dim.serve.images.num_decoders", lambda: 1)


def picture(side: int = 64) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(file, "PNG")
    return file.getvalue()


def ask(server: Running, data: bytes) -> httpx.Response:
    return server.client.post("/link/image", data={"mention": "Velton"}, files={"image": data})


def images_of(server: Running) -> Images:
    return server.served.images


def in_use(images: Images) -> int:
    """Bytes that images take which are decoded now."""
    return images.budget.total - images.budget.free


@contextmanager
def held_decoder(server: Running) -> Iterator[int]:
    """The process that decodes, held until it is let go or killed."""
    assert ask(server, picture()).status_code == 200
    (pid,) = images_of(server).decoders.running
    os.kill(pid, signal.SIGSTOP)
    yield pid
    if pid in images_of(server).decoders.running:
        os.kill(pid, signal.SIGCONT)


def test_a_picture_that_ends_its_decoder_is_its_own_error_and_its_neighbours_are_answered(
    linker: Linker, pool: ThreadPoolExecutor
) -> None:
    with running(linker) as server, held_decoder(server) as pid:
        bad = pool.submit(ask, server, picture())
        wait_until(lambda: in_use(images_of(server)) > 0)
        good = [pool.submit(ask, server, picture(65 + place)) for place in range(3)]
        assert server.still_answers()  # texts do not wait for pictures
        wait_until(lambda: server.batcher.accepted == 4)
        os.kill(pid, signal.SIGKILL)
        assert bad.result().status_code == 422
        assert bad.result().json()["error"]["found"] == ENDED
        assert {answer.result().status_code for answer in good} == {200}
        wait_until(lambda: in_use(images_of(server)) == 0)


def test_who_left_has_neither_bytes_nor_a_turn(linker: Linker, pool: ThreadPoolExecutor) -> None:
    with running(linker, max_pixels=64 * 64, **room_for(64 * 64)) as server, held_decoder(server):
        images = images_of(server)
        with leaving_client(server, picture()):
            wait_until(lambda: in_use(images) > 0)
            with leaving_client(server, picture()):  # waits behind it
                wait_until(lambda: server.batcher.accepted == 2)
            wait_until(lambda: server.batcher.accepted == 1)
            assert in_use(images) > 0
        wait_until(lambda: server.batcher.accepted == 0)
        wait_until(lambda: in_use(images) == 0)  # though the process was held: it was ended
        assert images.decoders.running == []
        assert ask(server, picture()).status_code == 200


def test_the_time_of_a_question_counts_its_decoding(linker: Linker) -> None:
    with running(linker, timeout_s=3) as server, held_decoder(server):
        late = ask(server, picture())  # the decoder is held, so that nothing but the time-out can answer
        assert late.status_code == 503
        assert late.json()["error"]["expected"] == "an answer in time"
        wait_until(lambda: in_use(images_of(server)) == 0)
        wait_until(lambda: ask(server, picture()).status_code == 200)


class SlowScale(TinyImageEncoder):
    """Waits, while it scales an image, until it is let go, and notes the image's size and the thread."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()
        self.scaled: list[tuple[tuple[int, int], str]] = []

    def __enter__(self) -> "SlowScale":
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()

    def preprocess(self, image: Image.Image) -> Any:
        self.scaled.append((image.size, threading.current_thread().name))
        self.begun.set()
        assert self.go.wait(HANG)
        return super().preprocess(image)


def test_scaling_a_large_picture_does_not_hold_the_linkers_thread(
    run: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    linker, slow, linking = linker_of(run), SlowScale(), list[str]()
    linker.live = linker.towers.live = LiveEncoder(replace(linker.live.choices, image_encoder=slow))
    answer = linker.link_batch

    def link_batch(questions: Sequence[Question], top_k: int = 5) -> list[list[Answer]]:
        linking.append(threading.current_thread().name)
        return answer(questions, top_k)

    monkeypatch.setattr(linker, "link_batch", link_batch)
    with running(linker) as server, slow:
        asked = pool.submit(ask, server, picture(1500))
        assert slow.begun.wait(HANG)
        assert slow.scaled[0][0] == (1500, 1500)
        assert slow.scaled[0][1].startswith("images")
        assert server.still_answers()  # neither the linker's thread nor the loop waits for it
        assert not asked.done()
        slow.go.set()
        assert asked.result().status_code == 200
    assert len(slow.scaled) == 1  # not again by the linker
    assert set(linking) == {"linker_0"}


def test_counting_pixels_is_not_on_the_loop_nor_in_any_thread_of_the_server(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linker, shown, opened = linker_of(run), kb_picture(run), list[str]()
    linker.add_entities([Entity("Q 1", "Ölaf", images=(str(shown),))])
    small, large, whole = picture(64), picture(65), Image.open

    def noted(*args: Any, **options: Any) -> Image.Image:
        opened.append(threading.current_thread().name)
        return whole(*args, **options)

    monkeypatch.setattr(Image, "open", noted)  # of this process: decoders have their own
    with running(linker, max_pixels=64 * 64) as server:
        refused = ask(server, large)
        assert (refused.status_code, refused.json()["error"]["found"]) == (413, f"{65 * 65:,}")
        assert ask(server, small).status_code == 200
        assert server.client.get("/entities/Q%201/images/0").status_code == 200
        assert images_of(server).decoders.running != []
    assert opened == []


def kb_picture(run: Path) -> Path:
    return next(world_of(run).image_root.rglob("*.png"))


def test_a_picture_of_the_kb_that_many_ask_for_is_decoded_once(run: Path, pool: ThreadPoolExecutor) -> None:
    linker, shown = linker_of(run), kb_picture(run)
    linker.add_entities([Entity("Q 1", "Ölaf", images=(str(shown),))])
    with running(linker) as server, held_decoder(server) as pid:
        images = images_of(server)
        answers = [pool.submit(server.client.get, "/entities/Q%201/images/0") for _ in range(8)]
        wait_until(lambda: len(server.server.server_state.tasks) == 8 and in_use(images) > 0)
        assert in_use(images) == quick_bytes(shown.stat().st_size)  # of one
        os.kill(pid, signal.SIGCONT)
        found = {answer.result().content for answer in answers}
        assert len(found) == 1
        assert {answer.result().status_code for answer in answers} == {200}
        os.kill(pid, signal.SIGSTOP)
        assert server.client.get("/entities/Q%201/images/0").content in found  # kept: no decoder is asked
        os.kill(pid, signal.SIGCONT)


def test_pictures_of_the_kb_share_the_budget_and_one_that_exceeds_it_is_never_decoded(
    run: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    linker = linker_of(run)
    for name, side in (("large", 1600), ("small", 100)):
        Image.new("RGB", (side, side), "red").save(tmp_path / f"{name}.webp", lossless=True)
        linker.add_entities([Entity(name, name, images=(str(tmp_path / f"{name}.webp"),))])
    (tmp_path / "text.png").write_bytes(picture())
    linker.add_entities([Entity("text", "text", images=(str(tmp_path / "text.png"),))])
    (tmp_path / "text.png").write_text("private")
    with running(linker, max_pixels=64 * 64, **room_for(64 * 64)) as server:
        refused = server.client.get("/entities/large/images/0")
        assert (refused.status_code, refused.json()["error"]["found"]) == (404, "too large")
        unreadable = server.client.get("/entities/text/images/0")
        assert (unreadable.status_code, unreadable.json()["error"]["found"]) == (404, "unreadable")
        assert "private" not in unreadable.text
        shown = [pool.submit(server.client.get, "/entities/small/images/0") for _ in range(4)]
        asked = [pool.submit(ask, server, picture(side)) for side in range(61, 65)]
        assert {answer.result().status_code for answer in [*shown, *asked]} == {200}
        wait_until(lambda: in_use(images_of(server)) == 0)


@pytest.mark.parametrize("how", ["absolute", "above"])
def test_no_picture_outside_of_a_linkers_folder_is_shown(copies: Path, tmp_path: Path, how: str) -> None:
    home = make_home(tmp_path / "home")
    entity_id = naming(copies, tmp_path / "stranger", leading_out(how, home))
    linker = Linker.from_pretrained(tmp_path / "stranger", device="cpu")
    with running(linker) as server:
        for place in range(3):
            refused = server.client.get(image_url(entity_id, place))
            assert (refused.status_code, refused.json()["error"]["found"]) == (404, str(place))  # of no images
        other = next(entity for entity in linker.knowledge if entity.images and entity.id != entity_id)
        assert server.client.get(image_url(other.id, 0)).status_code == 200


def test_a_link_out_of_the_folder_that_takes_a_pictures_place_is_not_followed(copies: Path, tmp_path: Path) -> None:
    linker = Linker.from_pretrained(shutil.copytree(copies, tmp_path / "mine"), device="cpu")
    entity = next(entity for entity in linker.knowledge if entity.images)
    Path(entity.images[0]).unlink()
    Path(entity.images[0]).symlink_to(make_home(tmp_path / "home") / "photo.png")
    with running(linker) as server:
        refused = server.client.get(image_url(entity.id, 0))
        assert (refused.status_code, refused.json()["error"]["found"]) == (404, "outside the image folder")


def test_pictures_of_ones_own_are_shown_where_their_folder_is_said(run: Path, linker: Linker, tmp_path: Path) -> None:
    linker.save(tmp_path / "mine", images="paths")
    entity = next(entity for entity in linker.knowledge if entity.images)
    for image_root, status in ((None, 404), (world_of(run).image_root, 200)):
        opened = open_linker(str(tmp_path / "mine"), "cpu", image_root=image_root)
        with running(opened) as server:
            assert server.client.get(image_url(entity.id, 0)).status_code == status


def test_a_picture_that_was_replaced_is_shown_as_it_is(run: Path, tmp_path: Path) -> None:
    linker, file = linker_of(run), tmp_path / "a.png"
    file.write_bytes(picture())
    linker.add_entities([Entity("Q 1", "Ölaf", images=(str(file),))])
    with running(linker) as server:
        for colour in ("red", "blue"):
            Image.new("RGB", (20, 20 + len(colour)), colour).save(file)
            with Image.open(io.BytesIO(server.client.get("/entities/Q%201/images/0").content)) as shown:
                assert shown.size == (20, 20 + len(colour))


def test_an_upload_is_what_the_linker_itself_reads(linker: Linker) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    Image.fromarray(noise, "RGBA").resize((400, 300)).save(file, "WEBP", lossless=True)
    with running(linker) as server:
        (found, *_) = ask(server, file.getvalue()).json()["answers"]
    (expected, *_) = linker.link("Velton", image=file.getvalue())
    assert (found["id"], found["score"]) == (expected.id, pytest.approx(expected.score, abs=1e-6))


class Sized(TinyImageEncoder):
    """Has large JPEGs decoded at a part of their size, and gives of an image its size."""

    draft_side = 50

    def preprocess(self, image: Image.Image) -> Any:
        return np.array(image.size)


def test_an_upload_is_decoded_at_the_size_that_a_datasets_image_is() -> None:
    file, images = io.BytesIO(), Images(Settings())
    Image.new("RGB", (800, 400), "red").save(file, "JPEG")
    reader = ImageReader(LiveEncoder(Choices(image_encoder=Sized())), ("image",))
    try:
        ready = asyncio.run(images.ready(file.getvalue(), reader))
    finally:
        images.stop()
    assert ready.pixels[0].tolist() == [100, 50]


def test_the_budget_has_room_for_the_largest_upload() -> None:
    least = FIXED_BYTES + 2 * Settings.max_body_bytes + MOST_BYTES * Settings.max_pixels
    assert Settings(max_decoding_bytes=least).max_decoding_bytes == least
    with pytest.raises(ConfigError, match=rf"a max_decoding_bytes of at least {least:,}, for one image of max_pixels"):
        Settings(max_decoding_bytes=least - 1)


def room_for(pixels: int) -> dict[str, int]:
    """Settings whose budget has room for one image of so many pixels, and not for two."""
    return {"max_body_bytes": 100_000, "max_decoding_bytes": FIXED_BYTES + 200_000 + MOST_BYTES * pixels}


@contextmanager
def leaving_client(server: Running, data: bytes) -> Iterator[None]:
    """Has sent an upload, and leaves at the end of the block."""
    request = httpx.Request("POST", "http://127.0.0.1/link/image", files={"image": data})
    request.read()
    head = b"".join(f"{name}: {value}\r\n".encode() for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /link/image HTTP/1.1\r\n" + head + b"\r\n" + request.content)
        yield
