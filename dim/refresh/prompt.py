"""The question that is asked about an entity, made from a Jinja2 template that a user can edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment

from dim.core.files import content_hash
from dim.data.entity import Entity
from dim.errors import ConfigError

#: The template in use where none is named. Its question follows arXiv 2407.12019 ("Who is this one?", asked of an
#: assistant that introduces people), with the two requests of this project: looks, and what tells namesakes apart.
DEFAULT_TEMPLATE = Path(__file__).with_name("default_prompt.txt")
#: What a template may name. Nothing of a mention is among it.
FIELDS = ("name", "text", "aliases", "type", "attributes")
#: Fields of a request that have options of their own, or that the reading of an answer goes by.
OWN_FIELDS = frozenset(
    {"model", "messages", "temperature", "seed", "max_tokens", "max_completion_tokens", "stream", "stream_options", "n"}
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is sent beside the prompt.

    Attributes:
        temperature: None sends none, for models that accept only their own.
        max_tokens: The longest answer, in tokens.
        seed: None sends none.
        max_tokens_field: How the server calls `max_tokens`.
        request_fields: Further fields of the request.
        logprobs: Of each token of an answer so many alternatives are asked for, with their log-probabilities; None:
            none. They change no answer.
    """

    temperature: float | None = 0.0
    max_tokens: int = 160
    seed: int | None = 0
    max_tokens_field: str = "max_tokens"
    request_fields: dict[str, Any] = field(default_factory=dict)
    logprobs: int | None = None

    def check(self) -> None:
        """Raises ConfigError where the further fields are none of their own."""
        if own := OWN_FIELDS & self.request_fields.keys():
            raise ConfigError(
                "further fields in request_fields",
                ", ".join(sorted(own)),
                "Leave it out: it has an option of its own, or is set by dim.",
            )

    def as_request(self) -> dict[str, float | int]:
        """The parameters as fields of a request, the further ones aside; absent ones left out."""
        fields = {"temperature": self.temperature, "seed": self.seed, self.max_tokens_field: self.max_tokens}
        if self.logprobs is not None:
            fields |= {"logprobs": True, "top_logprobs": self.logprobs}
        return {name: value for name, value in fields.items() if value is not None}

    def as_json(self) -> dict[str, Any]:
        """The parameters for a record."""
        fields = asdict(self)
        unused = [name for name in ("request_fields", "logprobs") if not fields[name]]
        return {name: value for name, value in fields.items() if name not in unused}

    def of_hash(self) -> list[str]:
        """What of them can change a finished answer, as parts of a hash. Without further fields they are as ever.

        `max_tokens` is not among them: an answer that ended by itself does not depend on where it would have been cut.
        """
        further = [json.dumps(self.request_fields, sort_keys=True)] if self.request_fields else []
        return [repr(self.temperature), repr(self.seed), *further]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt: `system` (may be empty), `user`, and the data URL of an image, where one is shown."""

    system: str
    user: str
    image: str = field(default="", repr=False)

    def messages(self) -> list[dict[str, Any]]:
        """The prompt as chat messages."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        if not self.image:
            return [*system, {"role": "user", "content": self.user}]
        shown = {"type": "image_url", "image_url": {"url": self.image}}
        return [*system, {"role": "user", "content": [shown, {"type": "text", "text": self.user}]}]

    def __str__(self) -> str:
        return f"[system] {self.system}\n[user] {self.user}" if self.system else self.user


class PromptTemplate:
    """A template file, checked.

    A line `---` splits it into the system message and the user's; without one, all of it is the user's.

    Args:
        path: Jinja2, with the fields `fields` and the filter `plain`, which writes lists and objects in words.

    Attributes:
        default: The template in use where none is named.
        fields: What a template may name.

    Raises:
        ConfigError: The file cannot be read, is no Jinja2, or names a field that does not exist.
    """

    default: ClassVar[Path] = DEFAULT_TEMPLATE
    fields: ClassVar[tuple[str, ...]] = FIELDS

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(path or self.default)
        try:
            self.source = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"a prompt template at {self.path}", str(error), f"Copy and edit {self.default}."
            ) from error
        # Split before rendering, so that a line of an entity's own text splits nothing.
        head, line, tail = f"\n{self.source}\n".partition("\n---\n")
        self._system = self._parse(head[1:], 0) if line else None
        self._user = self._parse(tail if line else head, head.count("\n") + 1 if line else -1)

    def _parse(self, source: str, first_line: int) -> Template:
        try:
            unknown = meta.find_undeclared_variables(_environment().parse(source)) - set(self.fields)
            template = _environment().from_string(source)
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"a Jinja2 template in {self.path}",
                f"line {first_line + error.lineno}: {error.message}",
                f"Compare it with {self.default}.",
            ) from error
        if unknown:
            raise ConfigError(
                f"a template of the fields {', '.join(self.fields)} in {self.path}",
                ", ".join(sorted(unknown)),
                "Use one of these fields, or take it out.",
            )
        return template

    def hash(self, parameters: Parameters) -> str:
        """A hash of the template and of the parameters that can change a finished answer."""
        return content_hash(self.source, *parameters.of_hash())

    def render(self, entity: Entity, text: str | None) -> Prompt:
        """The prompt for one entity and its old text.

        Raises:
            ConfigError: The template fails on this entity, or renders nothing.
        """
        fields = {
            "name": entity.name,
            "text": text or "",
            "aliases": list(entity.aliases),
            "type": entity.type or "",
            "attributes": dict(entity.attributes),
        }
        return self.fill(fields, entity.id)

    def fill(self, fields: Mapping[str, Any], of: str) -> Prompt:
        """The prompt with these fields.

        Args:
            fields: Each of `fields`.
            of: What it is about, for messages.

        Raises:
            ConfigError: The template fails on them, or renders nothing.
        """
        try:
            system = self._system.render(fields).strip() if self._system else ""
            user = self._user.render(fields).strip()
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(
                f"a template that renders for every entity ({self.path})",
                f"{error} for {of}",
                "Attributes differ between entities: write attributes.get('name', '').",
            ) from error
        if not user:
            raise ConfigError(
                f"a question from {self.path}", f"an empty prompt for {of}", "Write text in the template."
            )
        return Prompt(system, user)


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["plain"] = plain
    return environment


def request_hash(model: str, prompt: Prompt, parameters: Parameters) -> str:
    """A hash of all that a finished answer depends on; equal requests are asked once."""
    return content_hash(model, prompt.system, prompt.user, *parameters.of_hash())


def plain(value: Any) -> str:
    """A value of an attribute in words.

    Example:
        >>> plain({"born": 1815, "known for": ["notes", "programs"]})
        'born: 1815; known for: notes, programs'
    """
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)
