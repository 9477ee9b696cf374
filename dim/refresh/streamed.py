"""A streamed answer put together, so that it reads as one that came whole."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from dim.refresh.reply import THOUGHTS, own_words, text_of

DONE = "[DONE]"
_LINE_END = re.compile(r"\r\n|\n|\r")
_SURE_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")  # a last \r may be half of \r\n


class StreamBrokenError(Exception):
    """A server broke its answer off; the text says why, in its own words where it had any."""


async def lines_of(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    r"""The lines of an event stream, whose text comes in any pieces. They end in \n, \r\n or \r, and in nothing else.

    HTTPX cuts lines as `str.splitlines` does, also at U+2028 and others, which JSON may hold as they are.
    """
    held = ""
    async for text in texts:
        *whole, held = _SURE_LINE_END.split(held + text)
        for line in whole:
            yield line
    for line in _LINE_END.split(held):
        yield line


async def whole_answer(lines: AsyncIterator[str]) -> str:
    """The body that the server would have sent without streaming.

    Args:
        lines: Of an event stream, each chunk of the answer an event.

    Returns:
        JSON with the answer's text, its model, why it ended and the tokens; a chunk that is no part of an answer as it
        came.

    Raises:
        StreamBrokenError: The stream told of an error, or ended before the answer.
    """
    model, reason, usage, fingerprint = None, None, None, None
    said: dict[str, list[str]] = {name: [] for name in ("content", "refusal", *THOUGHTS)}
    is_done = False
    tokens: list[Any] = []
    async for line in lines:
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == DONE:
            is_done = True
        if not data or data == DONE:
            continue
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return data  # no JSON, as a whole body could be
        if not isinstance(chunk, dict):
            return data
        if chunk.get("error"):
            raise StreamBrokenError(own_words(data))
        model, usage = chunk.get("model") or model, chunk.get("usage") or usage
        fingerprint = chunk.get("system_fingerprint") or fingerprint
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        reason, delta = choice.get("finish_reason") or reason, choice.get("delta")
        logprobs = choice.get("logprobs")
        listed = logprobs.get("content") if isinstance(logprobs, dict) else None
        tokens += listed if isinstance(listed, list) else []
        parts = delta if isinstance(delta, dict) else {}
        if (spoken := text_of(parts.get("content"))) is None:
            return data  # no text, as a whole body's could be
        said["content"].append(spoken[0])
        for name in ("refusal", *THOUGHTS):  # of what is no text it only counts that it was there
            if part := parts.get(name):
                said[name].append(part if isinstance(part, str) else json.dumps(part))
        if spoken[1]:
            said[THOUGHTS[0]].append(json.dumps(parts["content"]))
    if reason is None and not is_done:
        raise StreamBrokenError("the stream ended before the answer")
    message: dict[str, Any] = {name: "".join(parts) for name, parts in said.items() if parts}
    whole = [{"message": message, "finish_reason": reason, "logprobs": {"content": tokens} if tokens else None}]
    document = {"model": model, "choices": whole, "usage": usage, "system_fingerprint": fingerprint}
    return json.dumps(document, ensure_ascii=False)
