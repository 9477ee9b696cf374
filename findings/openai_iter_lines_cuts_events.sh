#!/bin/sh
# openai 3.57.0 with httpx2 2.16.2: `iter_lines()` of a streamed response cuts an event in two where its text holds U+2028.
#
# Expected: a line of an event stream is a line, since it ends in \n, \r\n or \r alone, and JSON may hold U+2028, U+2029 and
# U+0085 as they are. The client's own reading of the same answer (`stream=True`) has the text whole.
# What happens: `with_streaming_response` gives a response whose `iter_lines` is httpx's, which cuts as `str.splitlines` does:
# half of the event stands in a line with `data:` before it, the other half in one without, and neither is JSON. A server that
# writes JSON without escapes sends these characters wherever a model writes them, as it does after texts from the web.
# A user of dim would have met it as an answer that counts as malformed: dim reads events by `with_streaming_response`, for the
# body of an answer that is none, and cuts the lines itself (`lines_of` in dim/refresh/streamed.py).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openai==3.57.0 httpx2==2.16.2 httpcore2==2.16.2
cd "$work"
"$work/venv/bin/python" - <<'END'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

TEXT = "A tall man.\u2028He sings."


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        choice = {"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}
        event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        body = f"data: {json.dumps(event, ensure_ascii=False)}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=0)
asked = {"model": "m", "messages": [{"role": "user", "content": "Who is it?"}]}
whole = "".join(chunk.choices[0].delta.content for chunk in client.chat.completions.create(**asked, stream=True))
with client.chat.completions.with_streaming_response.create(**asked, extra_body={"stream": True}) as response:
    lines = [line for line in response.iter_lines() if line]
print(f"by stream=True: {whole!a}")
print(f"by iter_lines: {len(lines)} lines: {[ascii(line)[:30] + '…' for line in lines]}")
assert whole == TEXT
assert len(lines) == 3, "no longer so"
assert lines[1].startswith("He sings."), "no longer so"
END
