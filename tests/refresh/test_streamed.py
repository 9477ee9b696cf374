import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from dim.refresh.reply import read_reply
from dim.refresh.streamed import StreamBrokenError, whole_answer


def answer(*lines: str) -> str:
    async def come() -> AsyncIterator[str]:
        for line in lines:
            yield line

    return asyncio.run(whole_answer(come()))


def chunk(**fields: object) -> str:
    return f"data: {json.dumps({'model': 'tiny', 'choices': [{'index': 0, **fields}]})}"


def test_the_parts_are_put_together() -> None:
    usage = 'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}'
    parts = (chunk(delta={"role": "assistant", "content": ""}), "", ": a comment", chunk(delta={"content": "A tall"}))
    end = (chunk(delta={"content": " man."}, finish_reason=None), chunk(delta={}, finish_reason="stop"), usage)
    reply = read_reply(answer(*parts, *end, "data: [DONE]"))
    assert (reply.status, reply.text, reply.model) == ("ok", "A tall man.", "tiny")
    assert (reply.tokens_in, reply.tokens_out, reply.finish_reason) == (7, 2, "stop")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([chunk(delta={"refusal": "I will"}), chunk(delta={"refusal": " not."}, finish_reason="stop")], "refused"),
        ([chunk(delta={"content": "A ta"}, finish_reason="length")], "truncated"),
        (["data: [DONE]"], "empty"),
        (["data: {no JSON"], "malformed"),
        (["data: [1]"], "malformed"),
        ([f"data: {'[' * 100_000}"], "malformed"),
        (
            ['data: {"choices": [7]}', 'data: {"choices": 7}', 'data: {"choices": [{"delta": 7}]}', "data: [DONE]"],
            "empty",
        ),
    ],
)
def test_a_stream_has_the_status_of_its_answer(lines: list[str], status: str) -> None:
    assert read_reply(answer(*lines)).status == status


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(StreamBrokenError, match="out of memory"):
        answer(chunk(delta={"content": "A"}), 'data: {"error": {"message": "out of memory"}}')
    with pytest.raises(StreamBrokenError, match="ended before the answer"):
        answer(chunk(delta={"content": "A"}))
    with pytest.raises(StreamBrokenError, match="ended before"):
        answer()
