"""The tokenizer half of a language model: texts and names as tokens, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from dim.core.files import content_hash
from dim.errors import ConfigError


class Tokenized(ABC):
    """What a language model knows of texts by its tokenizer."""

    path: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Names the content of the model's folder."""

    @abstractmethod
    def _open_tokenizer(self) -> Any:
        """Transformers' tokenizer."""

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer. Padding is done here, by masks: a tokenizer without a padding token will do.

        Raises:
            ConfigError: It has no end token.
        """
        tokenizer = self._open_tokenizer()
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                f"a tokenizer with an end token (eos_token) at {self.path}",
                "none",
                "Set it with tokenizer.add_special_tokens and save the tokenizer, or use another model.",
            )
        return tokenizer

    @cached_property
    def tokenizer_hash(self) -> str:
        """Changes whenever a text's tokens would."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return content_hash(self.fingerprint if backend is None else backend.to_str(), str(self.end_token))

    @property
    def vocab_size(self) -> int:
        """Tokens that the tokenizer knows."""
        return len(self.tokenizer)

    @property
    def end_token(self) -> int:
        """What ends a name."""
        return int(self.tokenizer.eos_token_id)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, without those that start or end a sequence.

        What looks like a special token in a text, such as `</s>`, is text.
        """
        if not texts:
            return []
        tokens: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]
        return tokens

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones and without spaces around it."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()
