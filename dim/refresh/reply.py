"""What a server's answer is worth: text, or one of the ways to fail."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from dim.refresh.loops import loop_of

Status = Literal[
    "ok",
    "empty",
    "looping",
    "truncated",
    "refused",
    "malformed",
    "rejected",
    "timeout",
    "unreachable",
    "rate_limited",
    "server_error",
]
#: Failures that may pass: the same request is tried again.
RETRIED: frozenset[Status] = frozenset({"timeout", "unreachable", "rate_limited", "server_error"})
#: Failures of the endpoint; the others are the model's own.
FAULTS: frozenset[Status] = RETRIED | {"malformed", "rejected"}

#: Where servers put what a reasoning model thinks, beside the text or in its place.
THOUGHTS = ("reasoning_content", "reasoning", "tool_calls")
MOST_TOKENS = 32  #: Of an answer, whose alternatives are kept: a judge's is a letter.
LONGEST_LOOP = 60  #: Characters that are shown of what an answer repeats.
LONGEST_WORDS = 200  #: Characters that are shown of a server's own words.
#: Where servers put them, as OpenAI, FastAPI and others do.
_WORDS = ("error", "detail", "message", "msg", "error_message", "title")
_REFUSAL = re.compile(
    r"(?:(?:i['’]?m|i am) (?:so |very )?sorry|sorry|apologies|i apologi[sz]e|unfortunately)\b[^.]{0,60}"
    r"\b(?:can['’]?t|cannot|can not|unable|not able|do(?:es)?n['’]?t|do not|no information)"
    # In small letters: "I Can't Dance" is a song.
    r"|i (?-i:can['’]?t|cannot|can not|won['’]?t|will not|must decline|(?:am|['’]m) (?:unable|not able))\b"
    r"|i['’]m (?-i:unable|not able)\b"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|i (?:do not|don['’]?t) have (?:any |enough |specific |sufficient )*(?:information|knowledge|details)\b",
    re.IGNORECASE,
)
_THINKS, _THOUGHT = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a server.

    Attributes:
        status: `ok`, or how it failed.
        text: What the model said, whatever the status; `usable_text` of it is what an entity gets.
        model: The model as the server named it.
        finish_reason: Why it ended, in the server's words.
        tokens_in: Tokens of the prompt as the server counted them; 0 where it worked on nothing, None where it did
            not say.
        tokens_out: Tokens of the answer.
        detail: What was wrong.
        retry_after: Seconds that the server asks to wait.
        system_fingerprint: The state of the server in its own words, where it says any.
        is_all: Whether `text` is all that the model wrote: thoughts may stand beside it.
        alternatives: Of its first tokens the most probable ones with their log-probabilities, that which was written
            first; None: it gave none.
    """

    status: Status
    text: str = ""
    model: str | None = None
    finish_reason: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    detail: str = ""
    retry_after: float | None = None
    system_fingerprint: str | None = None
    is_all: bool = True
    alternatives: list[dict[str, float]] | None = None


def read_reply(body: str) -> Reply:
    """What the body of a successful response (HTTP 200) says.

    Example:
        >>> read_reply('{"choices": [{"message": {"content": "A tall man."}, "finish_reason": "stop"}]}').status
        'ok'
        >>> read_reply("<html>").status
        'malformed'
    """
    try:
        document = _parsed(body)
    except (ValueError, RecursionError):
        return Reply("malformed", detail=f"no JSON: {body[:80]!r}")
    fields = document if isinstance(document, dict) else {}
    model = fields.get("model") if isinstance(fields.get("model"), str) else None
    tokens_in, tokens_out = (_count(fields.get("usage"), key) for key in ("prompt_tokens", "completion_tokens"))
    choice = _first(fields.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        return Reply("malformed", "", model, None, tokens_in, tokens_out, f"no choices: {body[:80]!r}")
    refusal, reason = message.get("refusal"), choice.get("finish_reason")
    if (spoken := text_of(message.get("content"))) is None:
        return Reply("malformed", "", model, None, tokens_in, tokens_out, f"content is no text: {body[:80]!r}")
    content, has_thoughts = spoken
    said = refusal if isinstance(refusal, str) and refusal else content
    status, detail = _judge(content, bool(refusal), reason)
    state = fields.get("system_fingerprint")
    return Reply(
        status,
        said,
        model,
        str(reason) if reason else None,
        tokens_in,
        tokens_out,
        detail,
        system_fingerprint=state if isinstance(state, str) else None,
        is_all=not has_thoughts and not any(message.get(name) for name in THOUGHTS) and not (refusal and content),
        alternatives=_alternatives(choice.get("logprobs")),
    )


def own_words(body: str) -> str:
    r"""What the body of a failed response says, cut to a line; empty where it says nothing.

    Example:
        >>> own_words('{"detail": "Server is pinned to tiny."}'), own_words("Bad\n gateway")
        ('Server is pinned to tiny.', 'Bad gateway')
    """
    try:
        said: Any = _parsed(body)
    except (ValueError, RecursionError):
        said = body
    place = ""
    while isinstance(said, dict | list) and said:
        if isinstance(said, dict) and isinstance(said.get("loc"), list):
            place = "".join(f"{part}: " for part in said["loc"][1:])  # as FastAPI has it: the field, behind "body"
        inner = said[0] if isinstance(said, list) else next((said[key] for key in _WORDS if said.get(key)), None)
        if inner is None:
            break
        said = inner
    words = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False) if said else ""
    line = " ".join(f"{place}{words}".split())
    return line if len(line) <= LONGEST_WORDS else line[:LONGEST_WORDS].rstrip() + " …"


def usable_text(text: str) -> str:
    """The text without a reasoning model's thoughts before it, and without white space around it.

    The chat templates of some (DeepSeek-R1, QwQ) open the thoughts in the prompt, so that the answer only ends them.

    Example:
        >>> usable_text("<think>Who is it?</think> A tall man. "), usable_text("Who is it?</think> A tall man.")
        ('A tall man.', 'A tall man.')
    """
    text = text.strip()
    thoughts, end, said = text.partition(_THOUGHT)
    if text.startswith(_THINKS) or (end and _THINKS not in thoughts):
        return said.strip()
    return text


def text_of(content: Any) -> tuple[str, bool] | None:
    """The text of a message's content, and whether thoughts stand beside it; None: it is neither text nor parts of it.

    Some servers give parts, of which those of type `text` are said and others thought (Mistral's reasoning models).

    Example:
        >>> text_of([{"type": "thinking", "thinking": []}, {"type": "text", "text": "A tall man."}])
        ('A tall man.', True)
    """
    if content is None or isinstance(content, str):
        return content or "", False
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return None
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    if not all(isinstance(each, str) for each in texts):
        return None
    return "".join(texts), len(texts) < len(content)


def is_refusal(text: str) -> bool:
    """Tells whether a text begins as models begin to refuse.

    Example:
        >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("Sorry is the Hardest Word is a song.")
        (True, False)
    """
    return bool(_REFUSAL.match(text.lstrip()))


def _judge(content: str, has_refusal: bool, reason: Any) -> tuple[Status, str]:
    text = usable_text(content)
    if has_refusal or reason == "content_filter":
        return "refused", "the server's content filter" if reason == "content_filter" else "a refusal"
    if is_refusal(text):
        return "refused", "a sentence of refusal"
    if repeated := loop_of(text, has_ended=reason == "stop"):
        return "looping", f"again and again: '{repeated[:LONGEST_LOOP]}'"
    if reason == "length":
        return "truncated", "cut at the longest answer allowed"
    if not text:
        return "empty", "no text"
    if reason not in ("stop", None):
        return "malformed", f"ended by {reason!r}"
    return "ok", ""


def _parsed(body: str) -> Any:
    """A body's JSON. Half a surrogate pair, which no file can hold, is joined to its other half or replaced."""
    whole = json.dumps(json.loads(body), ensure_ascii=False)
    return json.loads(whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _first(choices: Any) -> dict[str, Any]:
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def _alternatives(logprobs: Any) -> list[dict[str, float]] | None:
    """Of the first tokens the alternatives that a server gives, the token itself among them; None: it gave none."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = []
    for token in tokens[:MOST_TOKENS] if isinstance(tokens, list) else ():
        others = token.get("top_logprobs") if isinstance(token, dict) else None
        each = [token, *(others if isinstance(others, list) else ())]
        found.append({one["token"]: float(one["logprob"]) for one in each if _is_token(one)})
    return found or None


def _is_token(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("token"), str):
        return False
    value = one.get("logprob")
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(usage: Any, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
