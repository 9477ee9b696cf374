"""How many tokens a prompt has: estimated, or counted by the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from dim.core.excerpts import first_line
from dim.core.folder_files import peek_json
from dim.errors import ConfigError
from dim.refresh.prompt import Prompt

#: Tokens that a chat template may put around the messages.
TEMPLATE_TOKENS = 64
#: More than the models that are known take for an image whose longer side has `LARGEST_SIDE` pixels.
IMAGE_TOKENS, LARGEST_SIDE = 50_000, 2048
MOST_TOLD = 10**9  #: A tokenizer that names more knows no limit.


class TokenCounter:
    """Counts the tokens of prompts.

    Args:
        tokenizer: A local folder of a Transformers tokenizer; None estimates one token for four characters.
        template_options: What a request gives the chat template.

    Attributes:
        is_exact: Whether `count` is what a server with this tokenizer counts: it has a chat template.
        context: The most tokens that the model reads and writes together, by the tokenizer's folder; None: not told.

    Raises:
        ConfigError: There is no such tokenizer.
    """

    def __init__(self, tokenizer: Path | None = None, template_options: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = None if tokenizer is None else _load(Path(tokenizer))
        self._options = dict(template_options or {})
        self.is_exact = self._tokenizer is not None and bool(self._tokenizer.chat_template)
        self.context = None if tokenizer is None else _context_of(Path(tokenizer), self._tokenizer)
        self._name = "by characters / 4" if tokenizer is None else f"by the tokenizer {tokenizer}"
        self._ratio, self._num_reported = 1.0, 0

    @property
    def method(self) -> str:
        """How the tokens were counted, in words."""
        if self.is_exact:
            return f"counted {self._name} with its chat template"
        if not self._num_reported:
            return f"estimated {self._name}, without the model's chat template"
        return f"estimated {self._name}, times {self._ratio:.2f} as the server counted {self._num_reported:,}"

    def correct(self, reported: Sequence[tuple[Prompt, int]]) -> None:
        """Estimates from now on as a server counted prompts; an exact count needs no correction."""
        counted = 0 if self.is_exact else sum(self._words(prompt) for prompt, _ in reported)
        if counted:
            self._ratio, self._num_reported = sum(said for _, said in reported) / counted, len(reported)

    def count(self, prompt: Prompt) -> int:
        """The tokens of a prompt, as close as this counter gets."""
        return self._words(prompt) if self.is_exact else round(self._words(prompt) * self._ratio)

    def bound(self, prompt: Prompt) -> int:
        """More tokens than a prompt can have: a token has at least one byte, and a tokenizer's own count is exact.

        Without a tokenizer a template may be longer than `TEMPLATE_TOKENS`: the budget learns it by the first answer.
        """
        if self.is_exact and not prompt.image:
            return self._words(prompt)
        text = _text_of(prompt)
        words = len(text.encode()) if self._tokenizer is None else self._words(prompt)
        return TEMPLATE_TOKENS + words + (IMAGE_TOKENS if prompt.image else 0)

    def answered(self, text: str) -> int | None:
        """The tokens of an answer and its end, by the model's tokenizer; None without one."""
        if self._tokenizer is None:
            return None
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"]) + 1

    def cautious(self, prompt: Prompt) -> int:
        """More tokens than a prompt is likely to have: without a tokenizer, one for three bytes."""
        if self.is_exact:
            return self._words(prompt)
        words = -(-len(_text_of(prompt).encode()) // 3) if self._tokenizer is None else self._words(prompt)
        return TEMPLATE_TOKENS + words

    def _words(self, prompt: Prompt) -> int:
        if self._tokenizer is None:
            return -(-len(_text_of(prompt)) // 4)
        if not self._tokenizer.chat_template:
            return len(self._tokenizer(_text_of(prompt), add_special_tokens=False)["input_ids"])
        try:
            asked = self._tokenizer.apply_chat_template(
                prompt.messages(), add_generation_prompt=True, return_dict=True, **self._options
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise ConfigError(
                "a chat template that takes the prompt's messages",
                f"{error} from that of the tokenizer ({self._name})",
                "Check --tokenizer and a template's system message, or leave --tokenizer out.",
            ) from error
        return len(asked["input_ids"])


def _text_of(prompt: Prompt) -> str:
    return f"{prompt.system}\n{prompt.user}".strip()


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    from dim.encoders.pretrained import check_vocabulary

    if not folder.is_dir():
        raise ConfigError(
            f"the folder of a Transformers tokenizer at {folder}", "no folder", "Check --tokenizer, or leave it out."
        )
    try:
        # Said: where it is not, Transformers asks on stdin whether the folder's own code shall run.
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"a Transformers tokenizer in {folder}", first_line(error), "Check --tokenizer, or leave it out."
        ) from error
    check_vocabulary(tokenizer, f"the model at {folder}")
    return tokenizer


def _context_of(folder: Path, tokenizer: Any) -> int | None:
    """By config.json, else by the tokenizer, which says 10^30 where it does not know."""
    try:
        config = peek_json(folder / "config.json", dict[str, Any])
    except (OSError, ValueError):
        config = {}
    text = config.get("text_config")
    for each in (text if isinstance(text, dict) else {}, config):
        for name in ("max_position_embeddings", "n_positions"):
            if isinstance(each.get(name), int) and each[name] > 0:
                return int(each[name])
    limit = tokenizer.model_max_length
    return int(limit) if isinstance(limit, int) and 0 < limit < MOST_TOLD else None
