"""A linker goes to a Hugging Face hub and comes back: over HTTP, to a small hub on loopback."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from demo_run import demo_run, linker_of
from waiting import HANG

COMMIT = "c" * 40
PUSH_AND_LOAD = """
import sys
from dim import Linker
linker = Linker.from_pretrained(sys.argv[1])
print(linker.push_to_hub("someone/bees", private=True, token="hf_of_the_tests"))
again = Linker.from_pretrained("someone/bees", cache_dir=sys.argv[2], token="hf_of_the_tests")
name = next(iter(linker.knowledge)).name
shown = [[(answer.id, answer.score, answer.evidence) for answer in one.link(name)] for one in (linker, again)]
print(shown[0] == shown[1], len(again) == len(linker), any(entity.images for entity in again.knowledge))
"""


class Hub(ThreadingHTTPServer):
    """Keeps the files of one repository, and what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.created: dict[str, object] = {}
        self.tokens: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_POST(self) -> None:
        if self.path != "/api/validate-yaml":  # of no repository
            self.server.tokens.add(self.headers["Authorization"])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            self.answer({"url": f"{self.server.url}/someone/bees", "id": "someone/bees"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif self.path.startswith("/api/models/someone/bees/preupload/"):
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            self.answer({"files": modes, "commitOid": COMMIT})
        elif self.path.startswith("/api/models/someone/bees/commit/"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(
                {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.server.url}/someone/bees/commit/{COMMIT}"}
            )
        else:
            self.answer({"error": f"no such address: POST {self.path}"}, 404)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        _, _, name = path.partition(f"/resolve/{COMMIT}/")
        if self.command == "GET" and name:
            self.server.tokens.add(self.headers["Authorization"])
        if path.startswith("/api/models/someone/bees/tree/"):
            sizes = {name: len(body) for name, body in self.server.files.items()}
            self.answer([{"type": "file", "path": path, "size": n, "oid": "0" * 40} for path, n in sizes.items()])
        elif path.startswith("/api/models/someone/bees"):
            siblings = [{"rfilename": name} for name in self.server.files]
            self.answer({"id": "someone/bees", "sha": COMMIT, "private": True, "siblings": siblings, "tags": []})
        elif name in self.server.files:
            self.send(self.server.files[name], 200, ETag=hashlib.sha1(self.server.files[name]).hexdigest())
        else:
            self.answer({"error": f"no such address: {path}"}, 404)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def answer(self, content: object, status: int = 200) -> None:
        self.send(json.dumps(content).encode(), status)

    def send(self, body: bytes, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_linker_is_pushed_to_a_hub_and_loaded_from_it(
    hub: Hub, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    linker_of(demo_run(tmp_path_factory)).save(tmp_path / "saved")
    done = subprocess.run(
        [sys.executable, "-c", PUSH_AND_LOAD, str(tmp_path / "saved"), str(tmp_path / "cache")],
        env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{hub.url}/someone/bees/commit/{COMMIT}", "True True False"]
    sent = {str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert set(hub.files) == sent
    assert hub.created["visibility"] == "private"
    assert hub.tokens == {"Bearer hf_of_the_tests"}
