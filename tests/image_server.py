"""A server of images on loopback, for the tests of `dim fetch-images`: it answers, fails, redirects and drips."""

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

DRIP = "drip"  #: An answer whose bytes come one by one, for ever.


def encoded(colour: tuple[int, int, int] = (200, 40, 40)) -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


Answer = Any  # (status, headers, body), or DRIP
Script = Callable[[str, int], Answer]  # of a path, and how often it was asked for before


class ImageServer:
    """`requests` has the path and the headers of each request in the order of arrival."""

    def __init__(self, script: Script) -> None:
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        owner, leave = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                before = sum(path == self.path for path, _ in owner.requests)
                owner.requests.append((self.path, dict(self.headers)))
                answer = script(self.path, before)
                if answer == DRIP:
                    self.send_response(200)
                    self.end_headers()
                    while not leave.is_set():
                        try:
                            self.wfile.write(b"x")
                        except OSError:
                            return
                        time.sleep(0.02)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.leave = leave
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def image_server(script: Script) -> Iterator[ImageServer]:
    """Serves while its block runs."""
    found = ImageServer(script)
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        found.leave.set()
        found.server.shutdown()
        thread.join()
        found.server.server_close()
