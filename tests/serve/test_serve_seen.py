"""What is told of requests to whoever runs the server: a line each on stdout, and spans."""

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from demo_run import demo_run, linker_of
from serving import QUESTION, running
from waiting import wait_until

from dim.errors import ConfigError
from dim.linker import Linker
from dim.serve.access_log import Seen, line_of
from dim.serve.settings import Settings
from dim.serve.tracing import tracing_of


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


def test_each_request_is_a_line_of_json_without_its_question(
    linker: Linker, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(linker, access_log="json", root_path="/mel") as server:
        body = server.client.post("/mel/link?a=secret", json=QUESTION).content
        server.client.head("/health")
        server.client.get("/%1B%5B2J%0A")
        server.client.get("/entities/Q%2F1/images/0")
    lines = capsys.readouterr().out.splitlines()
    linked, health, strange, image = map(json.loads, lines)
    assert "Velton" not in "".join(lines)
    assert "secret" not in "".join(lines)
    assert {*linked} == {"time", "method", "path", "route", "status", "ms", "num_bytes", "client"}
    assert datetime.fromisoformat(linked["time"]).tzinfo == UTC
    assert (linked["method"], linked["path"], linked["route"]) == ("POST", "/mel/link", "/link")
    assert (linked["status"], linked["num_bytes"], linked["client"]) == (200, len(body), "127.0.0.1")
    assert 0 < linked["ms"] < 1e6
    assert (health["method"], health["route"], health["status"]) == ("HEAD", "/health", 200)
    assert (strange["path"], strange["route"], strange["status"]) == ("/\x1b[2J\n", "other", 404)
    assert "\x1b" not in lines[2]
    assert image["route"] == "/entities/{entity_id}/images/{n}"


def test_an_error_of_the_server_has_its_id_there(
    linker: Linker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(linker, access_log="json") as server:
        monkeypatch.setattr(server.served, "check_top_k", lambda _: 1 / 0)
        answer = server.client.post("/link", json=QUESTION)
    line = json.loads(capsys.readouterr().out)
    assert answer.status_code == line["status"] == 500
    assert line["error_id"] in answer.json()["error"]["remedy"]


def test_text_is_a_line_whatever_was_asked() -> None:
    seen = Seen("GET", "/a\nb\x1b[2J", "other", None, 1234.56, 1234, None, "abcd")
    line = line_of(seen, "text", datetime(2026, 1, 2, tzinfo=UTC))
    assert line == r"2026-01-02T00:00:00.000Z - GET /a\nb\x1b[2J - 1,234 bytes 1234.6 ms error abcd"


def test_nothing_is_written_unless_it_is_wanted(linker: Linker, capsys: pytest.CaptureFixture[str]) -> None:
    with running(linker) as server:
        assert server.still_answers()
    assert capsys.readouterr().out == ""
    with pytest.raises(ConfigError, match="access_log as one of json, text, none"):
        Settings(access_log="xml")  # type: ignore[arg-type]


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """A receiver of OTLP over HTTP: its address, and the spans that came."""
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    spans: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            for each in service.ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend((each.resource, span) for scope in each.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", spans
        server.shutdown()


def values_of(attributes: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}


def test_each_request_is_a_span_of_the_trace_that_it_belongs_to(
    linker: Linker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.asgi", reason="pip install -e '.[otel]'")
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collector() as (url, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=museum")
        monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "/health$,/ready$")
        with running(linker, access_log="json", root_path="/mel") as server:
            headers = {"traceparent": f"00-{trace}-{parent}-01"}
            assert server.client.post("/mel/link", json=QUESTION, headers=headers).status_code == 200
            assert server.client.get("/entities/Q-none/images/0").status_code == 404
            assert server.client.get("/mel/health").status_code == 200
        wait_until(lambda: len(spans) == 2)
    (resource, linked), (_, image) = spans
    assert values_of(resource.attributes).items() >= {"service.name": "dim", "deployment.environment": "museum"}.items()
    assert (linked.name, image.name) == ("POST /link", "GET /entities/{entity_id}/images/{n}")
    assert (linked.trace_id.hex(), linked.parent_span_id.hex()) == (trace, parent)
    assert values_of(linked.attributes)["http.route"] == "/link"
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["trace_id"], second["trace_id"]) == (trace, image.trace_id.hex())
    assert "trace_id" not in third


def test_traces_are_sent_only_where_they_are_wanted_and_can_be(caplog: pytest.LogCaptureFixture) -> None:
    assert tracing_of({}) is None
    assert tracing_of({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"}) is None
    pytest.importorskip("opentelemetry.instrumentation.asgi", reason="pip install -e '.[otel]'")
    for wrong in ({"OTEL_TRACES_EXPORTER": "zipkin"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}):
        with pytest.raises(ConfigError, match="traces sent by otlp as http/protobuf"):
            tracing_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} | wrong)


def test_an_absent_package_is_said_and_nothing_else_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    assert tracing_of({"OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert "pip install 'dim-linker[otel]'" in caplog.text
