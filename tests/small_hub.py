"""A small Hugging Face hub on loopback: repositories with branches that move, over the real HTTP interface."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import huggingface_hub.constants
import huggingface_hub.hf_api
import pytest
import transformers.utils.hub

NOWHERE = "http://127.0.0.1:9"  #: Where nothing listens.


@dataclass
class Repository:
    """Its commits, each with all its files, and which of them a branch stands for."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    created: dict[str, object] = field(default_factory=dict)

    def at(self, revision: str) -> str | None:
        """The commit of a branch or of itself."""
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


class Hub(ThreadingHTTPServer):
    """Keeps repositories, and what was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, name: str, files: Path | dict[str, bytes], branch: str = "main") -> str:
        """Makes a commit of a folder's files, moves a branch there, and returns the commit."""
        content = (
            {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}
            if isinstance(files, Path)
            else files
        )
        digest = hashlib.sha1(name.encode())
        for path in sorted(content):
            digest.update(path.encode() + content[path])
        repository = self.repositories.setdefault(name, Repository())
        repository.commits[digest.hexdigest()] = content
        repository.branches[branch] = digest.hexdigest()
        return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        if self.path != "/api/validate-yaml":  # of no repository
            self.server.tokens.add(self.headers["Authorization"])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name, _, action = self.path.removeprefix("/api/models/").partition("/")
        owner, (name, _, action) = name, action.partition("/")
        name = f"{owner}/{name}"
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'someone')}/{asked['name']}"
            self.server.repositories.setdefault(name, Repository()).created = asked
            self.answer({"url": f"{self.server.url}/{name}", "id": name})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif action.startswith("preupload/"):
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            self.answer({"files": modes})
        elif action.startswith("commit/"):
            branch = action.partition("/")[2]
            repository = self.server.repositories[name]
            files = dict(repository.commits.get(repository.at(branch) or "", {}))
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del files[line["value"]["path"]]
            commit = self.server.publish(name, files, branch)
            self.answer(
                {"success": True, "commitOid": commit, "commitUrl": f"{self.server.url}/{name}/commit/{commit}"}
            )
        else:
            self.answer({"error": f"no such address: POST {self.path}"}, 404)

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        is_api = path.startswith("/api/models/")
        owner, name, *rest = path.removeprefix("/api/models/" if is_api else "/").split("/")
        repository = self.server.repositories.get(f"{owner}/{name}")
        if repository is None:
            self.answer({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
            return
        revision = rest[1] if len(rest) > 1 else "main"
        commit = repository.at(revision)
        if commit is None:
            self.answer({"error": "no such revision"}, 404, **{"X-Error-Code": "RevisionNotFound"})
            return
        files, file = repository.commits[commit], "/".join(rest[2:])
        within = {path: data for path, data in files.items() if not file or path.startswith(f"{file}/")}
        if is_api and rest[:1] == ["tree"] and within:
            entries = [{"type": "file", "path": p, "size": len(b), "oid": "0" * 40} for p, b in within.items()]
            self.answer(entries, commit=commit)
        elif is_api and rest[:1] != ["tree"]:
            siblings = [{"rfilename": path} for path in files]
            self.answer({"id": f"{owner}/{name}", "sha": commit, "private": True, "siblings": siblings, "tags": []})
        elif file in files:
            if self.command == "GET":
                self.server.tokens.add(self.headers["Authorization"])
            self.send(files[file], 200, **{"ETag": hashlib.sha1(files[file]).hexdigest(), "X-Repo-Commit": commit})
        else:
            self.answer({"error": "no such file"}, 404, commit=commit, **{"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def answer(self, content: object, status: int = 200, commit: str = "", **headers: str) -> None:
        self.send(json.dumps(content).encode(), status, **({"X-Repo-Commit": commit} if commit else {}), **headers)

    def send(self, body: bytes, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def small_hub() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Sets HF_ENDPOINT and HF_HUB_CACHE for new processes, and what they set when this one began."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    # Both libraries keep an object that was told the address when it was made.
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", url)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None, raising=False)
