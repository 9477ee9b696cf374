"""A model behind a server, how it is asked, and what asking it may cost: the options of every command that asks one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from dim.errors import ConfigError
from dim.refresh.answers import Answer
from dim.refresh.asking import Asker
from dim.refresh.budget import Budget, Limits, Prices
from dim.refresh.client import Endpoint
from dim.refresh.prompt import Parameters
from dim.refresh.rate import Pacer, Retries
from dim.refresh.tokens import TokenCounter
from dim.refresh.window import Window


@dataclass(frozen=True)
class ChatServer:
    """A model behind a server that speaks OpenAI's chat completions, and what asking it may cost.

    OPENAI_API_KEY holds the key, which is never logged or stored.

    Attributes:
        model: As the server calls it.
        base_url: The server's URL, such as http://localhost:8000/v1, in the place of OPENAI_BASE_URL.
        temperature: null leaves it to the server.
        max_tokens: The longest answer. A cut answer is not used; raise this and run again to ask for these alone.
        max_tokens_field: How the server calls it.
        seed: Sent to the server, which may ignore it; also of the jitter of the back-off. null sends none.
        request_fields: Further fields of the request, such as {"stop": ["END"], "frequency_penalty": 0.3}.
        concurrency: Requests in flight at a time, at most; fewer are while the server answers too slowly for so many.
        requests_per_minute: The rate limit.
        timeout_s: The longest time for one try.
        retries: Further tries after a time-out, a lost connection, 429 or 5xx.
        backoff_s: Seconds before the first retry, doubled for each further one; Retry-After goes first.
        max_requests: Budget of a run: tries sent.
        max_total_tokens: Budget of a run: tokens in and out. What a server does not report counts in full.
        max_cost: Budget of a run: money. Like the other two it stops before the call that could pass it.
        price_in: Money for a million tokens of prompts, images among them.
        price_out: Money for a million tokens of answers.
    """

    #: Before the name of an option on the command line.
    PREFIX: ClassVar[str] = "--"

    model: str
    base_url: str | None = None
    temperature: float | None = 0.0
    max_tokens: int = 160
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: int | None = 0
    request_fields: dict[str, Any] = field(default_factory=dict)
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout_s: float = 60.0
    retries: int = 5
    backoff_s: float = 1.0
    max_requests: int | None = None
    max_total_tokens: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigError("a model as the server calls it", repr(self.model), "Name it.")
        if min(self.concurrency, self.max_tokens) < 1 or self.retries < 0 or not self.timeout_s > 0:
            raise ConfigError(
                "concurrency, max_tokens at least 1, retries at least 0, timeout_s above 0",
                f"{self.concurrency}, {self.max_tokens}, {self.retries}, {self.timeout_s}",
                "Raise what is too small.",
            )
        self.asked.check()

    @property
    def asked(self) -> Parameters:
        """What is sent beside the prompt."""
        fields = dict(self.request_fields)
        return Parameters(self.temperature, self.max_tokens, self.seed, self.max_tokens_field, fields)

    @property
    def template_options(self) -> dict[str, Any]:
        """What a request gives the model's chat template, which changes how many tokens a prompt has."""
        options = self.request_fields.get("chat_template_kwargs")
        return dict(options) if isinstance(options, Mapping) else {}

    def budget(self) -> Budget:
        """What one run may use."""
        limits = Limits(self.max_requests, self.max_total_tokens, self.max_cost)
        return Budget(limits, Prices(self.price_in, self.price_out))

    def endpoint(self) -> Endpoint:
        """The connection, to be opened and closed by `async with`."""
        return Endpoint(self.model, self.asked, self.base_url, self.timeout_s)

    def asker(
        self,
        endpoint: Endpoint,
        budget: Budget,
        counter: TokenCounter,
        prompt_hash: str,
        on_answer: Callable[[Answer], None],
        has_answered: bool = False,
    ) -> Asker:
        """Who asks the endpoint at this rate and tries again so often; `Asker` says what else it takes."""
        pacer, retries = Pacer(self.requests_per_minute), Retries(self.retries, self.backoff_s, seed=self.seed or 0)
        window = Window(self.concurrency, self.timeout_s)
        return Asker(
            endpoint, budget, pacer, retries, counter, prompt_hash, on_answer, window, has_answered, self.PREFIX
        )
