"""Prompts that fit into what the model reads: the end of an old text is left out where it must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dim.core.excerpts import few
from dim.data.entity import Entity
from dim.refresh.prompt import Prompt, PromptTemplate
from dim.refresh.tokens import TokenCounter

#: How servers call the longest context of a model that they list, inside the model or in its `meta`.
LISTED_AS = (
    "max_model_len",
    "context_length",
    "loaded_context_length",
    "context_window",
    "n_ctx",
    "max_context_length",
)


@dataclass
class Room:
    """The room for prompts in a model's context, and what of it was used.

    Attributes:
        counter: Counts their tokens.
        context: The most tokens that the model reads and writes together; None: not known, and nothing is cut.
        max_tokens: Of an answer, for which room is kept.
        cut: Entities whose old text lost its end.
        too_long: Entities whose prompt has no room even without an old text: nothing is sent for them.
        longest: The entity with the longest prompt, and its tokens.
    """

    counter: TokenCounter
    context: int | None
    max_tokens: int
    cut: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    longest: tuple[str, int] = ("", 0)

    def fit(self, template: PromptTemplate, entity: Entity, text: str | None, prompt: Prompt) -> tuple[Prompt, bool]:
        """The prompt, or where there is no room for it the longest one with an old text that lost its end.

        Returns:
            It, and whether there is room for it: where there is not, it has no old text, and is too long without one.
        """
        num_tokens = self.counter.cautious(prompt)
        if num_tokens > self.longest[1]:
            self.longest = entity.id, num_tokens
        if self.context is None or num_tokens + self.max_tokens <= self.context:
            return prompt, True
        old = text or ""
        fewest, most = 0, max(0, len(old) - 1)
        while fewest < most:  # the most characters that fit
            middle = (fewest + most + 1) // 2
            if self._fits(template.render(entity, _start_of(old, middle))):
                fewest = middle
            else:
                most = middle - 1
        shorter = template.render(entity, _start_of(old, fewest))
        return shorter, self._fits(shorter)

    def told(self) -> list[str]:
        """What was cut, or what may be too long, in lines."""
        entity_id, num = self.longest
        about = "" if self.counter.is_exact else "about "
        lines = []
        if self.context is None and num:
            lines.append(
                f"the longest prompt has {about}{num:,} tokens ({entity_id}), the model's context is not known: "
                "name --context to have longer ones cut"
            )
        if self.cut:
            lines.append(
                f"{len(self.cut):,} prompts lost the end of the old text: the context has {self.context:,} tokens, "
                f"{self.max_tokens:,} of them for the answer: {few(self.cut, 3)}"
            )
        if self.too_long:
            counted = "" if self.counter.is_exact else ", let --tokenizer FOLDER count exactly"
            lines.append(
                f"{len(self.too_long):,} are too long even without an old text, and are not sent: "
                f"{few(self.too_long, 3)}. Lower --max_tokens, shorten the --template{counted}, or take a model with "
                "a longer context"
            )
        return lines

    def _fits(self, prompt: Prompt) -> bool:
        return self.context is not None and self.counter.cautious(prompt) + self.max_tokens <= self.context


def listed_context(models: Sequence[Mapping[str, Any]], model: str) -> int | None:
    """The context of a model as its server lists it; None where it says nothing of it.

    Example:
        >>> listed_context([{"id": "tiny", "max_model_len": 4096}], "tiny")
        4096
    """
    listed = next((each for each in models if each.get("id") == model), {})
    meta = listed.get("meta")
    for each in (listed, meta if isinstance(meta, Mapping) else {}):
        for name in LISTED_AS:
            found = each.get(name)
            if isinstance(found, int) and not isinstance(found, bool) and found > 0:
                return found
    return None


def _start_of(text: str, num: int) -> str | None:
    """At most so many characters, up to the end of a word where words end in spaces; None: no text."""
    start = text[:num]
    return (start.rsplit(None, 1)[0] if " " in start.strip() else start).strip() or None
