"""Servers for the tests of `dim refresh`: a language model on loopback, and one that misbehaves on purpose."""

import base64
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from PIL import Image
from waiting import HANG, wait_until

KEY = "sk-a-secret-of-the-tests-0123456789"
ESCAPED = "".join(f"\\u{ord(character):04X}" for character in KEY)  #: As JSON may have it.

DRIP = "drip"

Body = dict[str, Any]


def completion(
    text: str | None, reason: str = "stop", usage: tuple[int, int] | None = (40, 12), **message: Any
) -> Body:
    body: Body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-2026-01-01",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": reason}
        ],
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return body


def question_of(body: Body) -> str:
    """What a request asks, of an image too."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


def image_of(body: Body) -> Image.Image:
    """The image of a request."""
    (url,) = (part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url")
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


def set_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, no proxy, and no server or model of whoever runs the tests."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("DIM_LLM_MODEL", raising=False)


class Quiet:
    """Of a handler: it writes nothing about requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


class LoopbackServer:
    """Serves at `url` inside `with`; `leave` is set when it ends, for handlers that wait."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.leave = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()
        self._server.shutdown()
        self._server.server_close()


class FaultyServer(LoopbackServer):
    """Answers each request by `script`, which gets the request's number for its entity (from 0) and its JSON body.

    The script returns (status, headers, body as object or raw bytes); `None` closes the connection with a reset, and
    `DRIP` sends one byte of an answer that never ends every 50 ms.
    `requests` holds (time by `clock`, entity's name, body, Authorization) of each request in the order of arrival.
    `models` is what GET /models lists; without it there is no such address.
    """

    def __init__(
        self,
        script: Callable[[int, str, Body], Any],
        clock: Callable[[], float] = time.monotonic,
        models: list[Body] | None = None,
    ) -> None:
        self.requests: list[tuple[float, str, Body, str]] = []
        self.in_flight = self.most_in_flight = 0
        lock, owner = threading.Lock(), self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = question_of(body).partition("\n")[0]
                with lock:
                    number = sum(seen == name for _, seen, _, _ in owner.requests)
                    owner.requests.append((clock(), name, body, self.headers.get("Authorization", "")))
                    owner.in_flight += 1
                    owner.most_in_flight = max(owner.most_in_flight, owner.in_flight)
                try:
                    self.reply(script(number, name, body))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up
                finally:
                    with lock:
                        owner.in_flight -= 1

            def do_GET(self) -> None:
                is_listed = models is not None and self.path == "/v1/models"
                self.reply((200, {}, {"object": "list", "data": models}) if is_listed else (404, {}, b""))

            def reply(self, answer: Any) -> None:
                if answer is None:
                    # Linger of 0 seconds: closing sends a reset.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                if answer == DRIP:
                    self.send_response(200)
                    self.send_header("Content-Length", "1000000")
                    self.end_headers()
                    while not owner.leave.wait(0.05):
                        self.wfile.write(b" ")
                    return
                status, headers, content = answer
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for key, value in ({"Content-Type": "application/json"} | headers).items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        super().__init__(Handler)

    def names(self) -> list[str]:
        return [name for _, name, _, _ in self.requests]


def write_tiny_model(folder: Path, words: list[str]) -> Path:
    """A Llama of two layers with random weights, whose answers end by themselves after some tokens."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["<unk>", "<bos>", "<eos>", *sorted(set(words))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<bos>", eos_token="<eos>", pad_token="<eos>"
    )
    fast.chat_template = (
        "<bos>{% for message in messages %}{{ message['role'] }} : {{ message['content'] }}\n{% endfor %}assistant :"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=1, eos_token_id=2, pad_token_id=2, exponential_decay_length_penalty=(6, 1.3)
    )
    model.save_pretrained(folder)
    return folder


@contextmanager
def transformers_serve(model: Path, log: Path) -> Iterator[str]:
    """Runs `transformers serve` on a free port of loopback; gives the base URL once it is ready."""
    port = _free_port()
    # `transformers serve` imports torchvision, which dim's guard (dim/_torchvision.py) keeps usable beside a CPU torch.
    main = "import dim, sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [sys.executable, "-c", main, "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: server.poll() is not None or _is_ready(f"http://127.0.0.1:{port}/health"))
            assert server.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(HANG)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=HANG) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def environment_of(url: str, key: str | None = KEY) -> Mapping[str, str]:
    """The environment of a `dim refresh` process."""
    own = {"OPENAI_BASE_URL": url, "DIM_LLM_MODEL": "tiny", "NO_PROXY": "*", "HF_HUB_OFFLINE": "1"}
    return os.environ | own | ({"OPENAI_API_KEY": key} if key else {})
