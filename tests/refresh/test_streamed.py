import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from dim.refresh.reply import read_reply
from dim.refresh.streamed import StreamBrokenError, lines_of, whole_answer


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


def test_parts_are_text_and_thoughts() -> None:
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "Who?"}]}]
    said = [{"type": "text", "text": "A tall"}]
    chunks = (chunk(delta={"content": each}) for each in (thought, said, " man."))
    reply = read_reply(answer(*chunks, chunk(delta={}, finish_reason="stop")))
    assert (reply.status, reply.text, reply.is_all) == ("ok", "A tall man.", False)
    assert read_reply(answer(chunk(delta={"content": {"text": "A"}}, finish_reason="stop"))).status == "malformed"


def test_half_a_character_in_each_of_two_chunks_is_one() -> None:
    chunks = (chunk(delta={"content": half}) for half in ("\ud83d", "\ude00"))
    assert read_reply(answer(*chunks, chunk(delta={}, finish_reason="stop"))).text == "\N{GRINNING FACE}"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_end_as_those_of_an_event_stream_do_and_not_where_json_may_go_on(size: int) -> None:
    text = 'data: "a\u2028b\x85c"\r\ndata: 1\n\ndata: 2\rdata: 3\r'

    async def lines() -> list[str]:
        async def pieces() -> AsyncIterator[str]:
            for start in range(0, len(text), size):
                yield text[start : start + size]

        return [line async for line in lines_of(pieces())]

    assert asyncio.run(lines()) == ['data: "a\u2028b\x85c"', "data: 1", "", "data: 2", "data: 3", ""]


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(StreamBrokenError, match="out of memory"):
        answer(chunk(delta={"content": "A"}), 'data: {"error": {"message": "out of memory"}}')
    with pytest.raises(StreamBrokenError, match="ended before the answer"):
        answer(chunk(delta={"content": "A"}))
    with pytest.raises(StreamBrokenError, match="ended before"):
        answer()
