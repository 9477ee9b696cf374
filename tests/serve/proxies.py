"""A proxy that has a server below a path, for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from serving import client_of


@contextmanager
def proxied(port: int, strips: bool) -> Iterator[httpx.Client]:
    """A client of a proxy that has a server at /mel/, and hands on the path as it is, or without /mel."""

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.hand_on("GET")

        def do_POST(self) -> None:
            self.hand_on("POST")

        def do_HEAD(self) -> None:
            self.hand_on("HEAD")

        def hand_on(self, method: str) -> None:
            if not self.path.startswith("/mel"):
                self.send_error(404)
                return
            path = (self.path.removeprefix("/mel") or "/") if strips else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = backend.request(method, path, content=body, headers=dict(self.headers))
            self.send_response(found.status_code)
            for name in ("content-type", "location", "content-security-policy"):
                if name in found.headers:
                    self.send_header(name, found.headers[name])
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        def log_message(self, *_: object) -> None:
            pass

    with client_of(port) as backend, ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with client_of(server.server_address[1]) as client:
                yield client
        finally:
            server.shutdown()
