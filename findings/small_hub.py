"""What a download asks of the Hugging Face hub, answered on 127.0.0.1, for the findings that need a hub."""

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMITS: dict[tuple[str, str], dict[str, bytes]] = {}  #: Repository and commit → its files.
MAIN: dict[str, str] = {}  #: Repository → the commit that its branch main stands for.


def publish(repository: str, commit: str, files: dict[str, bytes]) -> None:
    """Makes a commit and moves the branch main there."""
    COMMITS[repository, commit] = files
    MAIN[repository] = commit


def serve() -> None:
    """Begins to answer, and names this address to the libraries, which must not be imported yet."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}


class Handler(BaseHTTPRequestHandler):
    """Knows a repository's commit, and the files of a commit."""

    def do_GET(self) -> None:
        """Answers HEAD, too."""
        owner, name, *rest = self.path.partition("?")[0].removeprefix("/api/models").strip("/").split("/")
        action, revision, *file = [*rest, "revision", "main"][: max(len(rest), 2)]
        commit = MAIN.get(f"{owner}/{name}", "") if revision == "main" else revision
        files = COMMITS.get((f"{owner}/{name}", commit))
        if files is None:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif action == "revision":
            self.answer(200, json.dumps({"id": f"{owner}/{name}", "sha": commit}).encode(), {})
        elif action == "tree":
            entries = [{"type": "file", "path": p, "size": len(b), "oid": "0" * 40} for p, b in files.items()]
            self.answer(200, json.dumps(entries).encode(), {})
        elif "/".join(file) in files:
            body = files["/".join(file)]
            self.answer(200, body, {"X-Repo-Commit": commit, "ETag": hashlib.sha1(body).hexdigest()})
        else:
            self.answer(404, b"", {"X-Repo-Commit": commit, "X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Sends all of it."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""
