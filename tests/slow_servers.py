"""A server that writes one answer after the other, as a model on one machine does, for the tests of `dim refresh`."""

import json
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler

from llm_servers import Body, LoopbackServer, Quiet, completion, question_of

PARTS = 8  #: Of an answer; between two it is seen whether a streaming client is still there.


class SequentialServer(LoopbackServer):
    """Answers in the order of arrival, each after `seconds`.

    Like `transformers serve`, it stops writing an answer whose client has left if that was streamed, and else writes it
    to its end.

    Args:
        seconds: Of one answer.
        streams: `False`: takes a request to stream, and sends the answer whole; `"refused"`: answers 400 to it;
            `"strict"`: answers 422 to `stream_options`, as pydantic words it; `"unreported"`: streams, and reports
            tokens only where `stream_options` asks; `"broken"`: breaks off.

    Attributes:
        requests: The JSON bodies in the order of arrival.
        num_parts: Parts of answers that were written, of `PARTS` each.
        num_given_up: Requests whose client left before the end.
    """

    def __init__(self, seconds: float = 0.0, streams: bool | str = True) -> None:
        self.requests: list[Body] = []
        self.num_parts = self.num_given_up = 0
        turn, owner = threading.Lock(), self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.requests.append(body)
                if streams == "refused" and body.get("stream"):
                    self.whole(400, {"detail": "stream is not supported"})
                    return
                if streams == "strict" and "stream_options" in body:
                    wrong = {"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
                    self.whole(422, {"object": "error", "message": {"detail": [wrong]}})
                    return
                is_streamed = bool(streams and body.get("stream"))
                if is_streamed:
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
                with turn:
                    self.write(body, is_streamed)

            def write(self, body: Body, is_streamed: bool) -> None:
                name = question_of(body).partition("\n")[0].split('"')[1]
                words = ["A", "tall", "person", "of", "this", "world,", "called", f"{name}."]
                for place in range(PARTS):
                    if is_streamed and self.has_left():
                        owner.num_given_up += 1
                        return
                    owner.leave.wait(seconds / PARTS)
                    owner.num_parts += 1
                    if is_streamed:
                        self.event({"choices": [{"delta": {"content": " " * bool(place) + words[place]}}]})
                    if streams == "broken" and place == 3 and name == "Bob":
                        self.event({"error": "CUDA out of memory"})
                        return
                usage = completion("")["usage"]
                if not is_streamed:
                    owner.num_given_up += self.has_left()
                    self.whole(200, completion(" ".join(words)))
                    return
                last: Body = {"model": "tiny-2026-01-01", "choices": [{"delta": {}, "finish_reason": "stop"}]}
                last |= {"system_fingerprint": "fp_tiny"}
                is_asked = body.get("stream_options") == {"include_usage": True}
                self.event(last | ({"usage": usage} if streams is True or is_asked else {}))
                self.send(b"data: [DONE]\n\n")

            def event(self, chunk: Body) -> None:
                self.send(b"data: " + json.dumps(chunk).encode() + b"\n\n")

            def whole(self, status: int, body: Body) -> None:
                raw = json.dumps(body).encode()
                head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
                self.send(head.encode() + raw)

            def send(self, raw: bytes) -> None:
                try:
                    self.wfile.write(raw)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def has_left(self) -> bool:
                readable, _, _ = select.select([self.connection], [], [], 0)
                return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

        super().__init__(Handler)
