"""The connection to an OpenAI-compatible server, by the official client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from dim.core.excerpts import few_of
from dim.core.retry_after import retry_after
from dim.errors import ConfigError, MissingExtraError
from dim.refresh.prompt import Parameters, Prompt
from dim.refresh.reply import Reply, Status, own_words, read_reply
from dim.refresh.streamed import StreamBrokenError, lines_of, whole_answer

KEY, BASE_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
#: A shorter key is a word such as `none` that a local server is given, and no secret.
SHORTEST_SECRET = 8
LISTED_IN_S = 10.0  #: Longer is not waited for the list of a server's models.
NUM_LISTED = 8  #: Models that a message shows.
_FILTERS = ("content_filter", "content_policy", "ResponsibleAIPolicy")


class Endpoint:
    """A model behind an OpenAI-compatible server. The key comes from the environment and appears nowhere else.

    Args:
        model: The model's name, as the server knows it.
        parameters: Sent with every prompt.
        base_url: Such as http://localhost:8000/v1; None: the environment's OPENAI_BASE_URL, else the client's default.
        timeout_s: The longest time for one try.

    Raises:
        ConfigError: The URL is none, or neither a URL nor a key is there.
        MissingExtraError: The `openai` client is not installed.
    """

    def __init__(self, model: str, parameters: Parameters, base_url: str | None, timeout_s: float) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("openai", "refresh") from error
        self._openai, self.model, self.parameters, self.timeout_s = openai, model, parameters, timeout_s
        self._streaming: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        self._key = os.environ.get(KEY, "").strip()
        base_url = base_url or os.environ.get(BASE_URL, "").strip() or None
        _check(base_url, self._key)
        # Retries are ours, so that each one counts in the budget and waits its turn.
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=base_url, timeout=timeout_s, max_retries=0
        )
        self.url = _shown(str(self._client.base_url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, prompt: Prompt) -> Reply:
        """Sends a prompt once.

        Raises:
            ConfigError: The server will not answer anyone like this: wrong key (401), no permission (403), no such
                address or model (404), an account without credit.
        """
        openai = self._openai
        try:
            async with self.patience(prompt):
                return read_reply(self._redact(await self._answer(prompt)))
        except (TimeoutError, openai.APITimeoutError):
            return Reply("timeout", detail=f"no answer in {self.timeout_s:g} s")
        except openai.APIStatusError as error:
            return await self._failure(error)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            never_sent = 0 if type(cause).__name__ == "ConnectError" else None
            detail = self._redact(f"{type(cause).__name__}: {cause}".rstrip(": "))
            return Reply("unreachable", tokens_in=never_sent, tokens_out=never_sent, detail=detail)
        except StreamBrokenError as error:
            return Reply("server_error", detail=self._redact(str(error)))
        except (openai.APIError, ValueError) as error:  # a body in no encoding that can be read
            return Reply("malformed", detail=self._redact(str(error))[:200])

    async def _answer(self, prompt: Prompt) -> str:
        """The body of the answer. It is streamed where the server can: most then stop when nobody waits any more."""
        fields: dict[str, Any] = {"model": self.model, "messages": prompt.messages(), **self.parameters.as_request()}
        further = self._streaming | self.parameters.request_fields
        streaming = self._client.chat.completions.with_streaming_response
        async with streaming.create(**fields, extra_body=further) as response:
            transport = sys.modules[type(response.http_response).__module__.partition(".")[0]]  # httpx or httpx2
            try:
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    return await whole_answer(self._redact(line) async for line in lines_of(response.iter_text()))
                return str(await response.text())
            except transport.TimeoutException as error:
                raise self._openai.APITimeoutError(request=response.http_request) from error
            except transport.HTTPError as error:
                raise self._openai.APIConnectionError(request=response.http_request) from error

    def takes_less(self, reply: Reply) -> bool:
        """Whether a server refused to stream, or log-probabilities; it is asked for less then, by the same question."""
        if reply.status != "rejected":
            return False
        if self.parameters.logprobs is not None and "logprobs" in reply.detail:
            self.parameters = replace(self.parameters, logprobs=None)
            return True
        named = next((name for name in ("stream_options", "stream") if name in reply.detail), "")
        kept = {} if named == "stream" else {"stream": True} if named else self._streaming
        is_less = len(kept) < len(self._streaming)
        self._streaming = kept if is_less else self._streaming
        return is_less

    async def models(self) -> list[dict[str, Any]]:
        """What the server lists as its models (GET /models), each with its `id`; nothing where it lists none."""
        try:
            async with asyncio.timeout(min(self.timeout_s, LISTED_IN_S)):
                response = await self._client.models.with_raw_response.list()
                listed = json.loads(self._redact(response.http_response.text))
        except (TimeoutError, self._openai.OpenAIError, ValueError, RecursionError):
            return []
        found = listed.get("data") if isinstance(listed, dict) else None
        rows = found if isinstance(found, list) else []
        return [each for each in rows if isinstance(each, dict) and isinstance(each.get("id"), str)]

    async def models_in_words(self) -> str:
        """The model's name beside those that the server lists."""
        names = [each["id"] for each in await self.models()]
        if not names:
            return f"the model '{self.model}' (the server lists none)"
        is_listed = "among" if self.model in names else "not among"
        return f"the model '{self.model}' ({is_listed} those that the server lists: {few_of(names, NUM_LISTED)})"

    def patience(self, prompt: Prompt) -> asyncio.Timeout:
        """How long one try may take: `timeout_s`."""
        return asyncio.timeout(self.timeout_s)

    async def _failure(self, error: Any) -> Reply:
        code, text = error.status_code, self._redact(error.response.text)
        detail = f"HTTP {code}: {own_words(text)}".removesuffix(": ")
        wait = retry_after(error.response.headers)
        if code in (401, 403, 404) or (code == 429 and "insufficient_quota" in text):
            # `from None`: the cause holds the request, and the request the key.
            raise ConfigError(f"an answer of {self.url}", detail, await self._remedy(code)) from None
        status: Status = "rejected"
        if code == 429:
            status = "rate_limited"
        elif code >= 500 or code in (408, 409, 425):
            status = "server_error"
        elif any(word in text for word in _FILTERS):
            status = "refused"
        return Reply(status, tokens_in=0, tokens_out=0, detail=detail, retry_after=wait)

    async def _remedy(self, code: int) -> str:
        if code == 401:
            return f"Check the key in {KEY}" + ("." if self._key else "; it is not set.")
        if code == 403:
            return f"Check that the key in {KEY} may use the model '{self.model}'."
        if code == 429:
            return "Check the account's credit."
        return f"Check the URL ({BASE_URL} or base_url; it mostly ends in /v1) and {await self.models_in_words()}."

    def _redact(self, text: str) -> str:
        return re.sub(self._key_pattern, "[key]", text) if len(self._key) >= SHORTEST_SECRET else text

    @cached_property
    def _key_pattern(self) -> str:
        """The key, as it is or with any of its characters escaped as JSON may have them."""
        return "".join(rf"(?:\\?{re.escape(each)}|\\u(?i:{ord(each):04x}))" for each in self._key)


def _check(base_url: str | None, key: str) -> None:
    if base_url is None and not key:
        raise ConfigError(
            f"a server ({BASE_URL} or base_url) or a key ({KEY})",
            "neither",
            f"Set {KEY}, and the URL of your server.",
        )
    if base_url is not None:
        try:
            parts = urlsplit(base_url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_url = False
        if not is_url:
            raise ConfigError(
                "a URL such as http://localhost:8000/v1", _shown(base_url), f"Check {BASE_URL} or base_url."
            )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"a key of plain characters in {KEY}", "others (not shown)", "Copy the key again.")


def _shown(url: str) -> str:
    """The URL without user, password and query, which may be secret.

    Example:
        >>> _shown("https://me:secret@host:8000/v1?token=1")
        'https://host:8000/v1'
    """
    address, _, _ = url.partition("?")
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
