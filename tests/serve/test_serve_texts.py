"""Texts over HTTP: mentions that the server finds, and images that mentions share."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_run import demo_run, linker_of, questions_of
from PIL import Image
from serving import Running, running
from waiting import HANG, wait_until

from dim.linker import Linker, Question
from dim.linker.finders import DictionaryFinder
from dim.serve import pictured
from dim.serve.app import create_app
from dim.serve.metrics import num_accepted
from dim.serve.served import Edition
from dim.serve.settings import Settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return linker_of(run)


@pytest.fixture(scope="module")
def server(linker: Linker) -> Iterator[Running]:
    with running(linker, max_batch=8, max_mentions=20, max_pixels=1_000_000) as server:
        yield server


@pytest.fixture(scope="module")
def question(run: Path) -> Question:
    return next(each for each in questions_of(run) if each.image and each.context.count(each.mention) == 1)


@pytest.fixture(scope="module")
def names(linker: Linker) -> list[str]:
    """Of entities, whole names that hold no other."""
    return [entity.name for entity in linker.knowledge if "(" not in entity.name][:12]


def url_of(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def bytes_of(question: Question) -> bytes:
    return Path(str(question.image)).read_bytes()


def picture(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return file.getvalue()


def ids(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["id"] for answer in answers]


def scores(answers: list[Any]) -> Any:
    return pytest.approx([each["score"] if isinstance(each, dict) else each.score for each in answers], abs=1e-4)


def said(answer: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = answer.json()["error"]
    return error


def test_a_text_alone_has_its_mentions_found(server: Running, linker: Linker, names: list[str]) -> None:
    text = f"🙂 {names[0]} met {names[1]}; nobody saw {names[2]}’s hat."
    found = server.client.post("/annotate", json={"text": text, "top_k": 3}).json()["annotations"]
    expected = linker.annotate(text, top_k=3)
    assert [each["mention"] for each in found] == names[:3]
    assert [(each["start"], each["end"]) for each in found] == [(each.start, each.end) for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert ids(one["answers"]) == [answer.id for answer in other.answers]
    null = server.client.post("/annotate", json={"text": text, "spans": None, "top_k": 3}).json()["annotations"]
    assert [each["start"] for each in null] == [each.start for each in expected]
    assert server.client.post("/annotate", json={"text": text, "spans": []}).json()["annotations"] == []
    assert server.client.post("/annotate", json={"text": "nobody"}).json()["annotations"] == []


def test_more_mentions_than_a_batch_are_answered_and_too_many_refused(server: Running, names: list[str]) -> None:
    found = server.client.post("/annotate", json={"text": ". ".join(names)}).json()["annotations"]
    assert [each["mention"] for each in found] == names
    refused = server.client.post("/annotate", json={"text": ". ".join(names * 2)})
    assert refused.status_code == 422
    assert (said(refused)["expected"], said(refused)["found"]) == ("at most 20 mentions in a text", "24")


def test_a_text_with_more_answers_than_a_batch_may_have_is_refused(linker: Linker, names: list[str]) -> None:
    with running(linker, max_top_k=1000) as server:
        text = {"text": ". ".join(names[:7])}
        found = server.client.post("/annotate", json=text | {"top_k": 1000}).json()
        assert len(found["annotations"]) == 7
        text = {"text": ". ".join(names * 6)}
        refused = server.client.post("/annotate", json=text | {"top_k": 1000})
        assert refused.status_code == 422
        assert refused.json()["error"]["expected"] == "at most 64,000 answers to a text"
        assert refused.json()["error"]["found"] == "72 mentions with 1,000 each"
        assert server.still_answers()


def test_a_text_that_is_too_long_to_be_looked_through_is_refused(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictured, "LONGEST_TEXT", 10)
    refused = server.client.post("/annotate", json={"text": "a" * 11})
    assert (refused.status_code, said(refused)["expected"]) == (422, "a text of at most 10 characters")
    marked = server.client.post("/annotate", json={"text": "a" * 11, "spans": [{"start": 0, "end": 1}]})
    assert marked.status_code == 200


@pytest.mark.parametrize("way", ["upload", "data URL"])
def test_the_image_of_a_text_counts_for_its_mentions(
    server: Running, linker: Linker, question: Question, way: str
) -> None:
    start = question.context.index(question.mention)
    spans = [{"start": start, "end": start + len(question.mention)}] * 2
    data = bytes_of(question)
    if way == "upload":
        form = {"text": question.context, "spans": json.dumps(spans), "top_k": "3"}
        answer = server.client.post("/annotate/image", data=form, files={"image": data})
    else:
        asked = {"text": question.context, "spans": spans, "top_k": 3, "image": url_of(data)}
        answer = server.client.post("/annotate", json=asked)
    pair = [(span["start"], span["end"]) for span in spans]
    expected = linker.annotate(question.context, pair, image=data, top_k=3)
    without = linker.annotate(question.context, pair, top_k=3)
    for one, other, bare in zip(answer.json()["annotations"], expected, without, strict=True):
        assert [each["score"] for each in one["answers"]] == scores(list(other.answers))
        assert [each["score"] for each in one["answers"]] != scores(list(bare.answers))


def test_an_uploaded_image_goes_with_mentions_that_are_found(
    server: Running, linker: Linker, question: Question, names: list[str]
) -> None:
    data = bytes_of(question)
    text = f"Here {names[0]} smiles."
    answer = server.client.post("/annotate/image", data={"text": text}, files={"image": data})
    (found,) = answer.json()["annotations"]
    (expected,) = linker.annotate(text, image=data)
    assert [each["score"] for each in found["answers"]] == scores(list(expected.answers))


def test_questions_of_a_batch_share_images(server: Running, linker: Linker, question: Question) -> None:
    data = bytes_of(question)
    asked = {"mention": question.mention, "context": question.context}
    body = {
        "questions": [asked, asked | {"image": 1}, asked | {"image": 0}, {"image": 1}, asked | {"image": 1}, {}],
        "images": [url_of(b"none"), url_of(data)],
    }
    plain, with_image, broken, alone, again, empty = server.client.post("/link/batch", json=body).json()["results"]
    given = (question.mention, question.context)
    for result, expected in (
        (plain, linker.link(*given)),
        (with_image, linker.link(*given, image=data)),
        (alone, linker.link("", image=data)),
        (again, linker.link(*given, image=data)),
    ):
        assert [each["score"] for each in result["answers"]] == scores(list(expected))
    assert broken["error"]["expected"] == "an image (JPEG, PNG, WebP, GIF …)"
    assert empty["error"]["expected"] == "a mention, or an image"


def test_an_image_that_a_question_names_is_there_and_small_enough(server: Running) -> None:
    body = {
        "questions": [{"mention": "a", "image": 1}, {"mention": "a", "image": 0}],
        "images": [url_of(picture(1100))],
    }
    missing, large = server.client.post("/link/batch", json=body).json()["results"]
    assert (missing["error"]["expected"], missing["error"]["found"]) == ("the place of one of 1 images", "1")
    assert large["error"]["expected"] == "an image of at most 1,000,000 pixels"
    refused = server.client.post("/annotate", json={"text": "a", "image": url_of(picture(1100))})
    assert (refused.status_code, said(refused)["found"]) == (413, "1,210,000")


def test_the_images_of_a_batch_are_decoded_once_and_only_where_they_are_asked_for(
    linker: Linker, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(linker) as server:
        decoded, ready = list[int](), server.served.images.ready

        async def noted(data: bytes, reader: Any) -> Any:
            decoded.append(len(data))
            return await ready(data, reader)

        monkeypatch.setattr(server.served.images, "ready", noted)
        data, asked = bytes_of(question), {"mention": "a", "image": 0}
        body = {"questions": [asked] * 3, "images": [url_of(data), url_of(b"not asked for")]}
        assert server.client.post("/link/batch", json=body).status_code == 200
        assert decoded == [len(data)]


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        ("/annotate", {"text": "a", "image": "http://127.0.0.1/a.png"}, 422, "an image as a data URL"),
        ("/annotate", {"text": "a", "image": "/etc/passwd"}, 422, "an image as a data URL"),
        ("/annotate", {"text": "a", "image": "data:image/png,abc"}, 422, "an image as a data URL"),
        ("/annotate", {"text": "a", "image": "data:image/png;base64,a"}, 422, "an image as a data URL"),
        ("/annotate", {"text": "a", "image": 7}, 422, "an image as a data URL"),
        ("/annotate", {"text": "a", "image": "data:image/png;base64,"}, 422, "an image (JPEG"),
        ("/annotate", {"text": "a", "image": url_of(b"<svg/>")}, 422, "an image (JPEG"),
        ("/annotate", {"text": ""}, 422, "text: String should have at least 1"),
        ("/annotate", {"text": "a", "spans": 1}, 422, "spans: Input should be a valid list"),
        ("/link/batch", {"questions": [], "images": [None]}, 422, "images.0: "),
        ("/link/batch", {"questions": [], "images": ["a"] * 9}, 422, "at most 8 images in a request"),
        ("/link/batch", {"questions": [{"mention": "a", "image": -1}]}, 422, "questions.0.image: Input should be"),
    ],
)
def test_a_wrong_request_has_a_clear_error(
    server: Running, path: str, body: dict[str, Any], status: int, expected: str
) -> None:
    answer = server.client.post(path, json=body)
    assert answer.status_code == status
    assert said(answer)["expected"].startswith(expected)
    assert server.batcher.accepted == 0


@pytest.mark.parametrize(
    ("form", "files", "expected"),
    [
        ({"text": "a"}, {}, "Content-Type: multipart/form-data"),
        ({"text": "a"}, {"other": b"a"}, "the file image"),
        ({}, {"image": b"a"}, "text: Field required"),
        ({"text": "a", "spans": "[{"}, {"image": b"a"}, "JSON"),
        ({"text": "a", "spans": '[{"start": 0}]'}, {"image": b"a"}, "spans.0.end: Field required"),
        ({"text": "a", "spans": '[{"start": 0, "end": 2}]'}, {"image": picture(9)}, "0 <= start < end <= 1"),
        ({"text": "a", "spans": json.dumps([{"start": 0, "end": 1}] * 9)}, {"image": b"a"}, "at most 8 spans"),
        ({"text": "a"}, {"image": b"none"}, "an image (JPEG"),
    ],
)
def test_a_wrong_form_has_a_clear_error(
    server: Running, form: dict[str, str], files: dict[str, bytes], expected: str
) -> None:
    answer = server.client.post("/annotate/image", data=form, files=files)
    assert answer.status_code in (400, 415, 422)
    assert said(answer)["expected"].startswith(expected)


def test_the_document_says_how_texts_are_asked(server: Running) -> None:
    document = server.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    (listed, _) = schemas["AskedPicturedText"]["properties"]["spans"]["anyOf"]
    assert listed["maxItems"] == 8
    assert "maxItems" not in schemas["AnswerOut"]["properties"]["images"]
    form = document["paths"]["/annotate/image"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["text", "image"]
    assert "annotate/image" in server.client.get("/docs").text
    assert server.client.get("/about").json()["limits"]["max_mentions"] == 20


class Waiting:
    """Finds the beginning of a text once it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def find(self, text: str) -> list[tuple[int, int]]:
        self.begun.set()
        assert self.go.wait(HANG)
        return [(0, 3)] * 3


def test_a_text_that_was_accepted_is_answered_though_the_server_stops(linker: Linker) -> None:
    finder = Waiting()
    with running(linker, max_batch=2) as server, ThreadPoolExecutor() as pool:
        server.served.edition.finder = finder
        asked = pool.submit(server.client.post, "/annotate", json={"text": "Ada sings."})
        assert finder.begun.wait(HANG)
        assert server.still_answers()  # nobody waits for a finder
        server.batcher.refuse()
        assert server.client.post("/annotate", json={"text": "Ada"}).status_code == 503
        finder.go.set()
        assert [each["mention"] for each in asked.result().json()["annotations"]] == ["Ada"] * 3
        assert num_accepted(server.batcher.metrics.registry) == 4  # questions: the mentions, and that of the other


def test_a_finder_that_takes_too_long_is_said(linker: Linker) -> None:
    finder = Waiting()
    with running(linker, timeout_s=0.1) as server:
        server.served.edition.finder = finder
        late = server.client.post("/annotate", json={"text": "Ada sings."})
        assert (late.status_code, said(late)["expected"]) == (503, "an answer in time")
        finder.go.set()
        wait_until(lambda: server.batcher.accepted == 0)


def test_the_finder_of_a_server_may_be_another(linker: Linker, names: list[str]) -> None:
    limits = Settings()
    finder = DictionaryFinder(linker.knowledge, ignore_case=True)
    app = create_app(Edition(linker, limits, finder=finder), limits)
    assert app.state.served.edition.finder is finder
    assert Edition(linker, limits).finder is linker.name_finder
