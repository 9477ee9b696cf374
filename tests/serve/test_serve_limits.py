"""What is too large, too slow or nothing at all gets a clear answer, and the server goes on."""

import io
import json
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from connections import Crowd, raised_limit
from demo_run import demo_run, linker_of
from PIL import Image
from serving import Held, Running, running
from waiting import HANG, wait_until

from dim.linker import Linker

PATIENCE = 0.2  #: Seconds that a hasty server gives a client.


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.fixture(scope="module")
def patient(linker: Linker) -> Iterator[Running]:
    with running(linker, max_body_bytes=500_000, body_timeout_s=HANG) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(linker: Linker) -> Iterator[Running]:
    with running(linker, max_body_bytes=500_000, body_timeout_s=PATIENCE) as server:
        yield server


@pytest.fixture
def server(patient: Running) -> Iterator[Running]:
    """It answers before and after each test."""
    yield patient
    assert patient.still_answers()
    assert patient.batcher.accepted == 0


@pytest.fixture
def hasty(impatient: Running) -> Iterator[Running]:
    """It soon closes what is slow, also a good question of a machine that is; it answers after each test."""
    yield impatient
    wait_until(impatient.still_answers)
    assert impatient.batcher.accepted == 0


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def huge_header() -> bytes:
    return png_header(20_000, 10_000) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def huge_image() -> bytes:
    packer = zlib.compressobj()
    row = b"\0" + b"\0" * 2500
    data = b"".join(packer.compress(row) for _ in range(10_000)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 10_000, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def picture(kind: str = "PNG", side: int = 64) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(file, kind)
    return file.getvalue()


def icon_of_a_larger_picture() -> bytes:
    inside = png_header(30_000, 30_000) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside


@pytest.mark.parametrize(
    ("data", "status", "found"),
    [
        (huge_header, 413, "200,000,000"),
        (huge_image, 413, "200,000,000"),
        (lambda: png_header(60_000, 60_000) + chunk(b"IEND", b""), 413, "3,600,000,000"),
        (lambda: png_header(10_000, 4_001) + chunk(b"IEND", b""), 413, "40,010,000"),
        (lambda: b"no image at all", 422, "15 bytes that are none"),
        (lambda: b"", 422, "an empty file"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "41 bytes that are none"),
        (icon_of_a_larger_picture, 422, "bytes that are none"),
        (lambda: picture()[:-2000], 422, "unreadable"),
        (lambda: picture("JPEG")[:700], 422, "unreadable"),
        (lambda: png_header(0, 5), 422, "bytes that are none"),
        (lambda: png_header(10_000, 10) + chunk(b"IDAT", b""), 422, "too narrow"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused(
    server: Running, data: Callable[[], bytes], status: int, found: str
) -> None:
    answer = server.client.post("/link/image", data={"mention": "Velton"}, files={"image": data()})
    assert answer.status_code == status
    assert found in answer.json()["error"]["found"]


def test_more_images_than_may_be_open_take_turns(linker: Linker) -> None:
    with (
        running(linker, max_pixels=64 * 64, max_decoding_bytes=200_000_000, max_body_bytes=100_000) as server,
        ThreadPoolExecutor(12) as pool,
    ):
        image = picture()
        answers = [pool.submit(server.client.post, "/link/image", files={"image": image}) for _ in range(12)]
        assert {answer.result().status_code for answer in answers} == {200}


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Running) -> None:
    head = b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n"
    for more in (b"\r\n", b"Expect: 100-continue\r\n\r\n"):
        status, error = exchange(server, head + more)
        assert status == 413
        assert (error["expected"], error["found"]) == ("a body of at most 500,000 bytes", "100,000,000")


@pytest.mark.parametrize("route", ["/link", "/link/batch", "/link/image", "/annotate"])
def test_who_reads_where_questions_are_asked_is_told_of_the_method_whatever_is_sent(
    server: Running, route: str
) -> None:
    answer = server.client.request("GET", route, content=b"{}", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_who_sends_a_large_body_anyway_reads_why_it_was_refused(server: Running) -> None:
    body = json.dumps({"mention": "a", "context": "b" * 5_000_000}).encode()
    for content in (body, iter([body[start : start + 50_000] for start in range(0, len(body), 50_000)])):
        answer = server.client.post("/link", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["error"]["expected"] == "a body of at most 500,000 bytes"


def test_many_bodies_at_once_are_bounded(linker: Linker) -> None:
    with running(linker, max_body_bytes=1000, max_buffered_bytes=1500, body_timeout_s=HANG) as server:
        head = b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as first:
            first.sendall(head + b" " * 899)
            wait_until(lambda: len(server.server.server_state.tasks) == 1)
            status, error = exchange(server, head + b" " * 899)
            assert status == 503
            assert error["expected"] == "at most 1,500 bytes of bodies at once"
        assert server.still_answers()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /link HT",
        b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        b"POST /link HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_a_slow_client_is_told_and_closed(hasty: Running, sent: bytes) -> None:
    status, error = exchange(hasty, sent)
    assert status == 408
    assert f"within {PATIENCE:g} s" in error["expected"]


@pytest.mark.parametrize("start", [b"POST /lin", b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"])
def test_a_client_that_drips_gains_no_time(hasty: Running, start: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=HANG) as dripping:
        dripping.sendall(start)
        dripping.settimeout(PATIENCE / 5)  # a drip that gained time would keep it open for ever
        received = b""
        for _ in range(1000):
            try:
                dripping.sendall(b"k")
                received = dripping.recv(4096)
                break
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408")


def test_a_connection_that_asked_once_may_not_stay_for_ever(hasty: Running) -> None:
    answers: list[bytes] = []

    def is_answered() -> bool:
        with socket.create_connection(("127.0.0.1", hasty.port), timeout=HANG) as idle:
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            answers.append(b"")
            while piece := idle.recv(4096):
                answers[-1] += piece
        return answers[-1].startswith(b"HTTP/1.1 200")

    wait_until(is_answered)  # a busy machine may be too slow for the question itself
    assert b"HTTP/1.1 408" in answers[-1]


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_answered_by_uvicorn_and_closed(server: Running, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as client:
        client.sendall(sent)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 ")


def test_a_client_that_does_not_read_loses_its_connection(linker: Linker) -> None:
    with running(linker, body_timeout_s=PATIENCE) as server:
        asked = b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n"
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            deaf.sendall(asked * 1000)
            wait_until(lambda: not server.server.server_state.tasks)
            wait_until(lambda: not server.server.server_state.connections)
        wait_until(server.still_answers)


def test_many_open_connections_are_each_told_and_the_server_goes_on(linker: Linker) -> None:
    with raised_limit(3000), running(linker, max_connections=200, body_timeout_s=2) as server:
        with Crowd(server.port, 500) as crowd:
            wait_until(server.still_answers)
            assert len(server.server.server_state.connections) <= 201
            assert crowd.statuses(HANG) == {408: 500}
        wait_until(server.still_answers)


def test_one_connection_too_many_that_ask_is_503(linker: Linker) -> None:
    with running(linker, max_connections=2, body_timeout_s=HANG) as server:
        half = b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
        asking = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        for each in asking:
            each.sendall(half)
        wait_until(lambda: len(server.server.server_state.tasks) == 2)
        status, error = exchange(server, b"")
        assert (status, error["expected"]) == (503, "at most 2 connections that ask")
        for each in asking:
            each.close()
        wait_until(lambda: not server.server.server_state.connections)
        assert server.still_answers()


def exchange(server: Running, sent: bytes) -> tuple[int, dict[str, str]]:
    """The status and the error that come back, when the server has closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as client:
        client.sendall(sent)
        received = b""
        while piece := client.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


def test_the_huge_image_is_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(io.BytesIO(huge_image())) as image:
        image.load()
        assert (image.size, image.mode) == ((20_000, 10_000), "1")


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/nowhere"])
def test_who_reads_a_page_sends_no_body(server: Running, path: str) -> None:
    for declared in (b"Content-Length: 100000\r\nExpect: 100-continue", b"Transfer-Encoding: chunked"):
        status, error = exchange(server, b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (path.encode(), declared))
        assert (status, error["expected"]) == (413, "a request without a body")
    with_none = server.client.request("GET", path, headers={"Content-Length": "0"})
    assert with_none.status_code == (404 if path == "/nowhere" else 200)


def test_a_body_that_no_route_takes_is_dropped_as_it_comes(linker: Linker) -> None:
    with running(linker, max_body_bytes=1000, max_buffered_bytes=1000) as server:
        for path, status in (("/health", 405), ("/nowhere", 404)):
            assert server.client.post(path, content=b"a" * 5_000_000).status_code == status
        assert server.still_answers()


def test_bodies_count_until_their_questions_are_answered_or_their_clients_leave(linker: Linker) -> None:
    body = json.dumps({"mention": "Velton", "context": "a" * 900}).encode()
    head = b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with running(linker, max_body_bytes=1000, max_buffered_bytes=1500) as server, Held(linker) as held:

        def ask() -> int:
            return server.client.post("/link", content=body, headers={"Content-Type": "application/json"}).status_code

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(ask)
            wait_until(lambda: len(held.batches) == 1)
            assert ask() == 503
            held.go.set()
            assert first.result() == 200
            held.go.clear()
            with socket.create_connection(("127.0.0.1", server.port)) as left:
                left.sendall(head % len(body) + body)
                wait_until(lambda: len(held.batches) == 2)
                assert ask() == 503
            wait_until(lambda: server.batcher.accepted == 0)
            held.go.set()
            wait_until(lambda: ask() == 200)


def test_who_has_no_token_takes_no_room_from_who_has_it(linker: Linker) -> None:
    head = b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n%b\r\n"
    token = {"Authorization": "Bearer tell-nobody"}
    with (
        running(
            linker, token="tell-nobody", max_body_bytes=1000, max_buffered_bytes=1000, body_timeout_s=HANG
        ) as server,
        ExitStack() as open_ones,
    ):
        for _ in range(3):  # each is refused before a byte of its body is kept
            stranger = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            stranger.sendall(head % b"" + b" " * 900)
            assert stranger.recv(100).startswith(b"HTTP/1.1 401 ")
        answer = server.client.post("/link", json={"mention": "Velton", "context": "a" * 900}, headers=token)
        assert answer.status_code == 200


def test_who_has_the_token_keeps_its_connection_among_those_who_have_none(linker: Linker) -> None:
    with running(linker, token="tell-nobody", max_connections=3, body_timeout_s=HANG) as server:
        body = b'{"mention":"Velton"}'
        head = b"POST /link HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer tell-nobody\r\n"
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as known, ExitStack() as open_ones:
            known.sendall(head)
            wait_until(lambda: len(server.server.server_state.tasks) == 1)
            strangers = []
            for _ in range(6):
                stranger = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=HANG))
                stranger.sendall(
                    b"POST /link HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
                )  # refused, and read on
                strangers.append(stranger)
            assert len([each for each in strangers if each.recv(100)]) >= 2
            known.sendall(body)
            assert known.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_form_has_one_encoding_and_so_many_parts(server: Running) -> None:
    def posted(parts: bytes, more: str = "") -> tuple[int, str]:
        answer = server.client.post(
            "/link/image", content=parts, headers={"Content-Type": f"multipart/form-data; boundary=b{more}"}
        )
        return answer.status_code, answer.json()["error"]["expected"]

    part = b"--b\r\nContent-Disposition: form-data; name=candidates\r\n\r\na\r\n"
    assert posted(part + b"--b--\r\n") == (422, "the file image")
    assert posted(part + b"--b--\r\n", "; charset=latin-1") == (415, "a form in UTF-8")
    assert posted(part + b"--b--\r\n", "; charset=UTF-8") == (422, "the file image")
    assert posted(part) == (400, "a form that can be read")
    assert posted(part * 1000 + b"--b--\r\n") == (422, "the file image")
    assert posted(part * 1001 + b"--b--\r\n") == (400, "a form that can be read")
    many = part.replace(b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * 8 + b"\r\n")
    assert posted(many + b"--b--\r\n") == (400, "a form that can be read")


def test_a_list_ends_at_its_first_mistake_and_is_counted_before(server: Running) -> None:
    for path, asked, expected in (
        ("/link/batch", {"questions": [0] * 64}, "questions.0: Input should be"),
        ("/annotate", {"text": "a", "spans": [0] * 64}, "spans.0: Input should be"),
        ("/link", {"mention": "a", "candidates": [0] * 10_000}, "candidates.0: Input should be a valid string"),
        ("/link/batch", {"questions": [{}] * 65}, "at most 64 questions in a request"),
        ("/annotate", {"text": "a", "spans": [{}] * 65}, "at most 64 spans in a request"),
        ("/link", {"mention": "a", "candidates": ["a"] * 10_001}, "candidates: List should have at most 10000"),
    ):
        error = server.client.post(path, json=asked).json()["error"]
        assert error["expected"].startswith(expected)
        assert "more)" not in error["found"]
