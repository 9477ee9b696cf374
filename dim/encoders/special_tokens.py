"""Texts of others in a model's prompt: none of its special tokens, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def special_tokens(processor: Any) -> list[str]:
    """What a processor of Transformers, or a tokenizer alone, reads as more than text, the longest first.

    A processor may have a token that stands for an image.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    found = {*tokenizer.all_special_tokens, *added, str(getattr(processor, "image_token", None) or "")}
    return sorted((token for token in found if len(token) > 1), key=len, reverse=True)


def as_plain_text(text: str, tokens: Iterable[str]) -> str:
    """The text as text alone: a mention may be called as an image's token, or as that which ends a message.

    Example:
        >>> as_plain_text("the <image> of <|end|>", ["<|end|>", "<image>"])
        'the < image> of < |end|>'
    """
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
