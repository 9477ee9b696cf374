import json
from typing import Any

import pytest

from dim.refresh.reply import is_refusal, own_words, read_reply, usable_text


def body(content: Any, reason: str | None = "stop", **more: Any) -> str:
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": reason}], **more})


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (body("A tall man."), "ok"),
        (body("A tall man.", None), "ok"),
        (body("<think>hm</think>A tall man."), "ok"),
        (body("<think>hm", "length"), "truncated"),
        (body("<think>hm</think>"), "empty"),
        (body("hm</think>A tall man."), "ok"),
        (body("hm</think>"), "empty"),
        (body([{"type": "thinking", "thinking": []}, {"type": "text", "text": "A tall man."}]), "ok"),
        (body([{"type": "text", "text": None}]), "malformed"),
        (body(None), "empty"),
        (body("A tall m", "length"), "truncated"),
        (body("A man", "tool_calls"), "malformed"),
        (body("A tall man. " + "He wears a coat and " * 5, "length"), "looping"),
        (body("A tall man. " * 6), "looping"),
        (body("I'm sorry, I can't. " * 6, "length"), "refused"),
        (body(["A man"]), "malformed"),
        ("", "malformed"),
        ("null", "malformed"),
        ("[]", "malformed"),
        ("[" * 100_000, "malformed"),
        ('{"error": "no"}', "malformed"),
        ('{"choices": [null]}', "malformed"),
        ('{"choices": [{"message": "hi"}]}', "malformed"),
    ],
)
def test_a_body_has_the_status(text: str, status: str) -> None:
    assert read_reply(text).status == status


def test_words_that_are_nested_too_deeply_are_shown_as_they_are() -> None:
    assert own_words("[" * 100_000).startswith("[[[")


def test_what_the_server_reports_is_kept() -> None:
    reply = read_reply(body("Hi.", model="m-1", usage={"prompt_tokens": 7, "completion_tokens": 2}))
    assert (reply.model, reply.tokens_in, reply.tokens_out, reply.finish_reason) == ("m-1", 7, 2, "stop")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "7"}, {"prompt_tokens": -1}, {"prompt_tokens": True}])
def test_usage_that_cannot_be_true_is_not_reported(usage: Any) -> None:
    assert read_reply(body("Hi.", usage=usage)).tokens_in is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, I don’t have information on this person.",
        "Sorry, I cannot identify people.",
        "I cannot provide a description.",
        "I am unable to find such a person.",
        "I'm not able to help.",
        "I won't do that.",
        "As an AI language model, I do not know.",
        "I don't have any specific information about her.",
        "Unfortunately, there is no information about him.",
    ],
)
def test_sentences_of_refusal_are_seen(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "A tall man who cannot swim.",
        "Sorry is a Belgian village.",
        "I, Claudius is a novel.",
        "Iggy Pop is a singer; he is never sorry.",
        "As an aide to the king, she wore red.",
        "I Can't Dance is a song by Genesis.",
        "I Will Not Be Sad in This World is an album.",
    ],
)
def test_descriptions_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_only_thoughts_at_the_beginning_are_taken_off() -> None:
    assert usable_text("A man. <think>x</think>") == "A man. <think>x</think>"
    assert usable_text("Who is it? I can't say.</think>\n\nA tall man.") == "A tall man."


def test_half_a_character_is_replaced_since_no_file_can_hold_it() -> None:
    reply = read_reply(body("A tall \ud83d man, \ud83d\ude00.", model="m\udc00"))
    assert (reply.text, reply.model) == ("A tall \ufffd man, \N{GRINNING FACE}.", "m\ufffd")
    assert own_words('{"detail": "no \\ud83d"}') == "no \ufffd"
