"""Each route answers as the linker does, and each mistake has its error in the same shape."""

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_run import demo_run, linker_of, questions_of, world_of
from PIL import Image
from serving import Running, running
from waiting import HANG, wait_until

from dim.data.entity import Entity
from dim.errors import ConfigError
from dim.linker import Answer, Linker, Question
from dim.linker.answer import shortened
from dim.linker.judged import EVIDENCE as OF_JUDGE
from dim.methods.generative.linker import EVIDENCE
from dim.reranker.features import FEATURES
from dim.serve.evidence import SHORT
from dim.serve.schema import Asked
from dim.serve.served import answer_out
from dim.serve.settings import Settings

TOKEN = "tell-nobody"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    linker = linker_of(run)
    image = next(world_of(run).image_root.rglob("*.png"))
    linker.add_entities([Entity("http://kb/Q 1", "Ölaf Ünique", images=(str(image), str(image) + ".gone"))])
    return linker


@pytest.fixture(scope="module")
def server(linker: Linker) -> Iterator[Running]:
    with running(linker, max_batch=8) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.client.base_url, verify=False, timeout=HANG) as client:
        yield client


@pytest.fixture(scope="module")
def with_image(run: Path) -> Question:
    return next(question for question in questions_of(run) if question.image)


def same(answers: list[dict[str, Any]], expected: list[Answer]) -> bool:
    """Whether answers over HTTP are the linker's, but for the last digits, which may depend on the batch."""
    flat = [{**answer_out(answer).model_dump(), "evidence": None} for answer in expected]
    found = [{**answer, "evidence": None} for answer in answers]
    return (
        [{**answer, "score": None} for answer in found] == [{**answer, "score": None} for answer in flat]
        and [answer["score"] for answer in found] == pytest.approx([answer["score"] for answer in flat], abs=1e-5)
        and all(
            one["evidence"] == pytest.approx(dict(other.evidence), abs=1e-5)
            for one, other in zip(answers, expected, strict=True)
        )
    )


def test_link_answers_as_the_linker(client: httpx.Client, linker: Linker, run: Path) -> None:
    for place, question in enumerate(questions_of(run)[:10]):
        asked = {"mention": question.mention, "context": question.context, "top_k": place + 1}
        answer = client.post("/link", json=asked)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert same(answer.json()["answers"], linker.link(question.mention, question.context, top_k=place + 1))


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize(
    ("before", "after"), [(0, 40_000), (300, 20_000), (12_000, 30_000), (40_000, 90), (90, 19_900)]
)
def test_of_a_long_context_the_same_part_is_read_as_by_the_linker(is_cut: bool, before: int, after: int) -> None:
    for form in ("NFC", "NFD"):
        mention = unicodedata.normalize(form, "Nguyễn Huệ")
        context = f"{'x' * before} Nguyễn Huệ {'y' * after} Nguyễn Huệ."
        asked = Asked(mention=mention, context=unicodedata.normalize("NFD", context))
        expected = shortened(Question(mention, context), is_cut)
        assert shortened(Question(asked.mention, asked.context), is_cut) == expected
        assert len(asked.context) < 30_020


def test_candidates_compete_alone(client: httpx.Client, linker: Linker) -> None:
    ids = [entity.id for entity in linker.knowledge][:4]
    found = client.post("/link", json={"mention": "Velton", "candidates": ids}).json()["answers"]
    assert {answer["id"] for answer in found} == set(ids)
    assert same(found, linker.link("Velton", candidates=ids))
    form = client.post("/link/image", data={"mention": "Velton", "candidates": ids}, files={"image": png()})
    assert {answer["id"] for answer in form.json()["answers"]} == set(ids)


def test_an_uploaded_image_counts_as_with_the_linker(
    client: httpx.Client, linker: Linker, with_image: Question
) -> None:
    data = Path(str(with_image.image)).read_bytes()
    for mention, context in ((with_image.mention, with_image.context), ("", "")):
        asked = {"mention": mention, "context": context, "top_k": 3}
        found = client.post("/link/image", data=asked, files={"image": ("any name", data)}).json()["answers"]
        assert same(found, linker.link(mention, context, image=data, top_k=3))
    assert not same(found, linker.link(with_image.mention, with_image.context, top_k=3))


def test_a_batch_has_each_answer_or_its_error(client: httpx.Client, linker: Linker, run: Path) -> None:
    chosen = questions_of(run)[:5]
    asked: list[dict[str, Any]] = [{"mention": each.mention, "context": each.context} for each in chosen]
    asked.insert(2, {"mention": "Velton", "candidates": ["Q0"]})
    results = client.post("/link/batch", json={"questions": asked, "top_k": 2}).json()["results"]
    error = results.pop(2)["error"]
    assert (error["expected"], error["found"]) == ("the id of one of 301 entities", "'Q0'")
    for result, question in zip(results, chosen, strict=True):
        assert same(result["answers"], linker.link(question.mention, question.context, top_k=2))
    assert client.post("/link/batch", json={"questions": []}).json() == {"results": []}


def test_marked_mentions_are_annotated(client: httpx.Client, linker: Linker) -> None:
    text = "🙂 Velton smiled. Nobody knew why Delara left."
    spans = [(35, 41), (2, 8)]
    asked = {"text": text, "spans": [{"start": start, "end": end} for start, end in spans], "top_k": 2}
    found = client.post("/annotate", json=asked).json()
    assert found["text"] == text
    for annotation, expected in zip(found["annotations"], linker.annotate(text, spans, top_k=2), strict=True):
        answers = annotation.pop("answers")
        assert annotation == {"start": expected.start, "end": expected.end, "mention": expected.mention}
        assert same(answers, list(expected.answers))


def test_nil_is_an_answer() -> None:
    assert answer_out(Answer("NIL", "NIL", None, 0.0, 0.75)).model_dump() == {
        "id": "NIL", "name": "NIL", "text": None, "score": 0.0, "probability": 0.75, "evidence": {}, "images": [],
    }  # fmt: skip


def test_about_says_what_is_linked_to_and_its_examples_are_answered(client: httpx.Client, linker: Linker) -> None:
    about = client.get("/about").json()
    assert (about["entities"], about["reads_images"], about["has_probabilities"]) == (301, True, False)
    assert about["limits"]["max_batch"] == 8
    assert "token" not in about["limits"]
    assert len(about["examples"]) == 6
    for example in about["examples"]:
        answer = client.post("/link", json={"mention": example["mention"], "context": example["context"]}).json()
        assert set(answer["answers"][0]["evidence"]) == set(about["evidence"])
        if example["image"]:
            assert client.get(example["image"]).status_code == 200
    assert any(example["image"] for example in about["examples"])


def test_an_entitys_image_is_shown_by_the_path_in_its_answer(client: httpx.Client) -> None:
    (answer,) = client.post("/link", json={"mention": "Ölaf Ünique", "candidates": ["http://kb/Q 1"]}).json()["answers"]
    first, second = answer["images"]
    shown = client.get(first)
    assert shown.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(shown.content)) as image:
        assert max(image.size) <= 512
    assert client.get(second).json()["error"]["found"] == "not found"
    for path in (first.replace("/0", "/2"), first.replace("Q%201", "Q2"), "/entities/..%2F..%2Fetc/images/0"):
        assert client.get(path).status_code == 404


def test_the_page_and_the_api_page_need_nothing_from_outside(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        told = re.sub(
            r"<textarea.*?</textarea>|http://127.0.0.1:8000|http://www.w3.org", "", page.text, flags=re.DOTALL
        )
        assert "http://" not in told
        assert "https://" not in page.text
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in client.get("/docs").text
    assert client.get("/docs/docs.css").headers["content-type"] == "text/css; charset=utf-8"
    assert client.get("/page/..%2Fsettings.py").status_code == 404


def test_who_watches_asks_by_head(client: httpx.Client) -> None:
    for path in ("/health", "/ready", "/", "/docs"):
        found = client.head(path)
        assert (found.status_code, found.content) == (200, b"")
        assert found.headers["content-length"] == client.get(path).headers["content-length"]
    assert client.head("/about").status_code == 405


@pytest.mark.parametrize(
    ("path", "allowed"), [("/entities/Q1/images/0", "GET"), ("/entities/Q1", "DELETE"), ("/entities/remove", "POST")]
)
def test_a_wrong_method_hears_of_the_routes_own(client: httpx.Client, path: str, allowed: str) -> None:
    answer = client.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_answers_say_as_much_of_their_evidence_as_is_wanted(linker: Linker) -> None:
    full = {f"part_{number}": float(number) for number in range(50)} | dict.fromkeys(SHORT, 0.5)
    answer = Answer("Q1", "Ada", None, 1.0, 0.5, full)
    assert answer_out(answer).evidence == full
    assert answer_out(answer, evidence="short").evidence == dict.fromkeys(SHORT, 0.5)
    assert answer_out(answer, evidence="none").evidence == {}
    few = linker.evidence
    for how_much, told in (("none", set()), ("short", set(few))):
        with running(linker, evidence=how_much) as server:
            (found, *_) = server.client.post("/link", json={"mention": "Velton"}).json()["answers"]
            assert set(found["evidence"]) == set(server.client.get("/about").json()["evidence"]) == told
    with pytest.raises(ConfigError, match="evidence as one of none, short, full"):
        Settings(evidence="some")  # type: ignore[arg-type]


def test_the_short_evidence_is_what_the_page_has_plain_words_for() -> None:
    script = files("dim.serve").joinpath("page/evidence.js").read_text()
    plain = re.search(r"const PLAIN = {(.*?)};", script, re.DOTALL)
    assert plain is not None
    assert tuple(re.findall(r"^ +(\w+):", plain[1], re.MULTILINE)) == SHORT
    assert set(SHORT) <= {*FEATURES, *EVIDENCE, *OF_JUDGE}


def test_health_readiness_and_metrics(client: httpx.Client, server: Running) -> None:
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    before = server.count("dim_requests_total", route="/link", status="422")
    client.post("/link", json={"mention": ""})
    wait_until(lambda: server.count("dim_requests_total", route="/link", status="422") == before + 1)
    client.get("/no/such/path")
    wait_until(lambda: server.count("dim_requests_total", route="other", status="404") >= 1)
    text = client.get("/metrics").text
    assert "dim_entities 301.0" in text
    assert 'dim_info{version="' in text


BAD = [
    (b"{", 400, "JSON"),
    (b"\xff", 400, "JSON"),
    (b"[" * 100_000, 413, "a body of at most 100,000 values"),
    (b"[" * 17, 400, "JSON"),
    (b'{"mention":NaN}', 400, "JSON"),
    (b'{"mention":"a","top_k":1e999}', 400, "JSON"),
    (b'{"mention":"a","top_k":' + b"9" * 5000 + b"}", 400, "JSON"),
    (b'{"mention":"a","mention":"b"}', 400, "JSON"),
    (b'{"mention":"\\ud800"}', 400, "whole characters"),
    (b'{"mention":"a","\\udfff":1}', 400, "whole characters"),
    (b"", 422, "the body: Field required"),
    (b"[]", 422, "the body: Input should be a valid dictionary"),
    (b'{"context":"a"}', 422, "mention: Field required"),
    (b'{"mention":" "}', 422, "mention: String should match"),
    (b'{"mention":"\\u001c"}', 422, "mention: String should match"),
    (b'{"mention":"a","top_k":0}', 422, "top_k: Input should be greater"),
    (b'{"mention":"a","top_k":' + b"9" * 400 + b"}", 422, "top_k of at most 100"),
    (b'{"mention":"a","top_k":"5"}', 422, "top_k: Input should be a valid integer"),
    (b'{"mention":"a","image":"file:///etc/passwd"}', 422, "image: Extra inputs"),
    (b'{"mention":"a","candidates":["Q0"]}', 422, "the id of one of 301 entities"),
    (b'{"mention":"' + b"a" * 1001 + b'"}', 422, "mention: String should have at most 1000"),
]


@pytest.mark.parametrize(("body", "status", "expected"), BAD)
def test_a_bad_body_has_a_clear_error(client: httpx.Client, body: bytes, status: int, expected: str) -> None:
    answer = client.post("/link", content=body, headers={"Content-Type": "application/json"})
    check_error(answer, status, expected)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "expected"),
    [
        ("GET", "/nowhere", {}, 404, "the path of a route"),
        ("POST", "/link/", {"json": {"mention": "a"}}, 404, "the path of a route"),
        ("GET", "/link", {}, 405, "a method of this route"),
        ("POST", "/link", {"content": b"{}"}, 415, "Content-Type: application/json"),
        ("POST", "/link/image", {"json": {"mention": "a"}}, 415, "Content-Type: multipart/form-data"),
        ("POST", "/link/image", {"files": {"other": b"a"}}, 422, "the file image"),
        ("POST", "/link/image", {"files": {"image": b"a", "other": b"b"}}, 400, "a form that can be read"),
        ("POST", "/link/image", {"files": {"image": b"a"}, "data": {"mention": ["a", "b"]}}, 422, "mention once"),
        ("POST", "/link/image", {"files": {"image": b"a"}, "data": {"top_k": "x"}}, 422, "top_k: Input should be"),
        ("POST", "/link/image", {"files": {"image": b"a"}, "data": {"url": "x"}}, 422, "url: Extra inputs"),
        ("POST", "/link/batch", {"json": {"questions": [{"mention": "a"}] * 9}}, 422, "at most 8 questions"),
        ("POST", "/annotate", {"json": {"text": "a", "spans": [{"start": 0, "end": 2}]}}, 422, "0 <= start < end"),
        ("GET", "/entities/Q/images/x", {}, 422, "n: Input should be a valid integer"),
    ],
)
def test_a_wrong_request_has_a_clear_error(
    client: httpx.Client, method: str, path: str, options: dict[str, Any], status: int, expected: str
) -> None:
    answer = client.request(method, path, **options)
    check_error(answer, status, expected)
    assert ("allow" in answer.headers) == (status == 405)


def test_five_dot_zero_is_an_integer(client: httpx.Client) -> None:
    body = b'{"mention":"a","top_k":2.0}'
    answer = client.post("/link", content=body, headers={"Content-Type": "application/json"})
    assert len(answer.json()["answers"]) == 2


def test_the_document_knows_the_limits_and_the_errors(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["AskedMany"]["properties"]["questions"]["maxItems"] == 8
    assert schemas["AskedOne"]["properties"]["top_k"]["maximum"] == 100
    assert all(schema["additionalProperties"] is False for schema in schemas.values())
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if status != "200":
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Failed"), path


def test_only_who_sends_the_token_is_answered(linker: Linker) -> None:
    with running(linker, token=TOKEN) as server:
        client = server.client
        for given in (None, "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer", "Bearer é"):
            headers = {} if given is None else {"Authorization": given.encode()}
            for path in ("/about", "/metrics", "/entities/Q/images/0"):
                refused = client.get(path, headers=headers)
                check_error(refused, 401, "Authorization: Bearer TOKEN")
                assert refused.headers["www-authenticate"] == "Bearer"
            check_error(client.post("/link", json={"mention": "a"}, headers=headers), 401, "Authorization")
        large = client.post("/link", content=b"a" * 9_000_000)
        check_error(large, 401, "Authorization: Bearer TOKEN")
        for path in ("/", "/docs", "/openapi.json", "/health", "/ready", "/page/page.js"):
            assert client.get(path).status_code == 200
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/link", json={"mention": "a"}, headers=right).status_code == 200
        assert TOKEN not in client.get("/about", headers=right).text + client.get("/openapi.json").text
        assert client.get("/openapi.json").json()["paths"]["/link"]["post"]["security"] == [{"token": []}]


def check_error(answer: httpx.Response, status: int, expected: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = json.loads(answer.content)["error"]
    assert set(error) == {"expected", "found", "remedy"}
    assert error["expected"].startswith(expected)
    assert error["found"]
    assert error["remedy"].endswith(".")


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(file, "PNG")
    return file.getvalue()
