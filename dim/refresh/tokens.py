"""How many tokens a prompt has: estimated, or counted by the model's own tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dim.errors import ConfigError
from dim.refresh.prompt import Prompt

#: Tokens that a chat template may put around the messages.
TEMPLATE_TOKENS = 64
#: More than the models that are known take for an image whose longer side has `LARGEST_SIDE` pixels.
IMAGE_TOKENS, LARGEST_SIDE = 50_000, 2048


class TokenCounter:
    """Counts the tokens of prompts.

    Args:
        tokenizer: A local folder of a Transformers tokenizer; None estimates one token for four characters.

    Raises:
        ConfigError: There is no such tokenizer.
    """

    def __init__(self, tokenizer: Path | None = None) -> None:
        self._tokenizer = None if tokenizer is None else _load(Path(tokenizer))
        self.method = "estimated by characters / 4" if tokenizer is None else f"counted by the tokenizer {tokenizer}"

    def count(self, prompt: Prompt) -> int:
        """The tokens of a prompt, as close as this counter gets."""
        text = f"{prompt.system}\n{prompt.user}".strip()
        if self._tokenizer is None:
            return -(-len(text) // 4)
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def bound(self, prompt: Prompt) -> int:
        """More tokens than a prompt can have: a token has at least one byte, and a tokenizer's own count is exact."""
        text = f"{prompt.system}\n{prompt.user}".strip()
        words = len(text.encode()) if self._tokenizer is None else self.count(prompt)
        return TEMPLATE_TOKENS + words + (IMAGE_TOKENS if prompt.image else 0)


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise ConfigError(
            f"the folder of a Transformers tokenizer at {folder}", "no folder", "Check --tokenizer, or leave it out."
        )
    try:
        # Said: where it is not, Transformers asks on stdin whether the folder's own code shall run.
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"a Transformers tokenizer in {folder}", str(error).split("\n")[0], "Check --tokenizer, or leave it out."
        ) from error
