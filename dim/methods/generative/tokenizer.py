"""The tokenizer half of a language model: texts and names as tokens, and back.

A tokenizer gives a text other tokens where it stands alone than behind another one: LLaMA 2 and T5 put a blank before
it, and many join it with the punctuation beside it. A name stands behind `[Answer]`, and in an example before a line's
end, so that is where its tokens are taken from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dim.core.files import content_hash
from dim.errors import ConfigError
from dim.methods.generative.prompt import END_OF_QUESTION

Bos = Literal["auto", "never", "always"]
End = Literal["eos", "line"]
NamePlace = Literal["behind_prompt", "alone"]

LINE = "\n"
#: What names are tokenised behind, the first that is no part of a name's first token: the end of every question, else
#: texts behind which a name gets no blank either.
ANCHORS = (END_OF_QUESTION, LINE, "a", "0")


@dataclass(frozen=True)
class NameRules:
    """How prompts begin, what tokens names have, and what ends them.

    Attributes:
        has_start: Whether a prompt begins with the tokenizer's start token.
        end: What ends a name: the tokenizer's end token, or a line's end, as in the examples.
        name_tokens: Names have the tokens that they have `behind_prompt`, or `alone`.
    """

    has_start: bool = False
    end: End = "eos"
    name_tokens: NamePlace = "alone"


@dataclass
class Tokenized:
    """What a language model knows of texts by its tokenizer: a part of `LanguageModel`."""

    path: str

    @property
    def rules(self) -> NameRules:
        """Those of the method that asks it."""
        found: NameRules = self.__dict__.get("_rules", NameRules())
        return found

    @rules.setter
    def rules(self, rules: NameRules) -> None:
        self.__dict__["_rules"] = rules

    @cached_property
    def fingerprint(self) -> str:
        """Names the content of the model's folder."""
        raise NotImplementedError

    def _open_tokenizer(self) -> tuple[Any, Mapping[str, Any]]:
        """Transformers' tokenizer, and what tokenizer_config.json says."""
        raise NotImplementedError

    @cached_property
    def _opened(self) -> tuple[Any, Mapping[str, Any]]:
        return self._open_tokenizer()

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer. Padding is done here, by masks: a tokenizer without a padding token will do.

        Raises:
            ConfigError: It has no end token.
        """
        tokenizer, _ = self._opened
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                f"a tokenizer with an end token (eos_token) at {self.path}",
                "none",
                "Set it with tokenizer.add_special_tokens and save the tokenizer, or use another model.",
            )
        return tokenizer

    @property
    def tokenizer_hash(self) -> str:
        """Changes whenever a name's tokens would, or what ends it."""
        place = () if self.rules.name_tokens == "alone" else (self.rules.name_tokens,)
        return content_hash(self._backend, str(self.end_token), *place)

    @cached_property
    def _backend(self) -> str:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return self.fingerprint if backend is None else str(backend.to_str())

    @property
    def vocab_size(self) -> int:
        """Tokens that the tokenizer knows."""
        return len(self.tokenizer)

    @property
    def end_token(self) -> int:
        """What ends a name.

        Raises:
            ConfigError: A line's end shall, which is no token.
        """
        if self.rules.end == "eos":
            return int(self.tokenizer.eos_token_id)
        if len(self.line) != 1:
            raise ConfigError(
                f"a tokenizer that has a token for a line's end, at {self.path}",
                f"{len(self.line)} tokens of it" if self.line else "one that leaves a line's end out",
                "Leave --model.end at eos.",
            )
        return self.line[0]

    @property
    def unknown_token(self) -> int | None:
        """What stands for characters that the vocabulary lacks, where names with such cannot be written; else None."""
        return self.tokenizer.unk_token_id if self.rules.name_tokens == "behind_prompt" else None

    @property
    def start(self) -> list[int]:
        """The tokens that a prompt begins with."""
        return [int(self.tokenizer.bos_token_id)] if self.rules.has_start else []

    def starts(self, bos: Bos) -> bool:
        """Whether a prompt begins with a start token.

        Args:
            bos: `auto`: where the tokenizer puts one before a text, by what its folder says, or by what it does.

        Raises:
            ConfigError: It always shall, and the tokenizer has none.
        """
        tokenizer, said = self._opened
        token = tokenizer.bos_token_id
        if bos == "always" and token is None:
            raise ConfigError(
                f"a tokenizer with a start token (bos_token) at {self.path}", "none", "Leave --model.bos at auto."
            )
        if bos != "auto" or token is None:
            return bos == "always"
        adds = said.get("add_bos_token")
        return adds if isinstance(adds, bool) else tokenizer("")["input_ids"][:1] == [token]

    @cached_property
    def line(self) -> list[int]:
        """The tokens of a line's end behind a name; none where the tokenizer leaves it out, or joins it with all."""
        for name in ("Ada", "a", "0"):
            (alone, ended) = self.tokenize([name, name + LINE])
            if ended[: len(alone)] == alone:
                return ended[len(alone) :]
        return []

    @cached_property
    def broken_lines(self) -> NDArray[np.int64]:
        """All tokens that hold a line's end, a name's end itself left out; and the end token."""
        texts = self.tokenizer.batch_decode([[token] for token in range(self.vocab_size)])
        found = {token for token, text in enumerate(texts) if LINE in text} | {int(self.tokenizer.eos_token_id)}
        return np.array(sorted(found - set(self.line)), np.int64)

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

    def tokenize_names(self, names: Sequence[str]) -> list[list[int]]:
        """The tokens of each name, without its end, as `rules` has it.

        Behind a prompt: such that the tokens of the question and of the name are those of both as one text. Where the
        tokenizer would join them (`](`), the name has the tokens that it has behind another text.
        """
        if self.rules.name_tokens == "alone":
            return self.tokenize(names)
        found: dict[int, list[int]] = {place: [] for place, name in enumerate(names) if not name}
        for anchor in ANCHORS:
            places = [place for place in range(len(names)) if place not in found]
            (before,) = self.tokenize([anchor])
            for place, tokens in zip(places, self.tokenize([anchor + names[place] for place in places]), strict=True):
                if tokens[: len(before)] == before:
                    found[place] = tokens[len(before) :]
        places = [place for place in range(len(names)) if place not in found]
        found |= zip(places, self.tokenize([names[place] for place in places]), strict=True)
        return [found[place] for place in range(len(names))]

    def tokenize_answers(self, names: Sequence[str]) -> list[list[int]]:
        """What stands behind the question of an example: the tokens of each name, and a line's end."""
        return [[*tokens, *self.line] for tokens in self.tokenize_names(names)]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones and without spaces around it."""
        return self.detokenize_all([tokens])[0]

    def detokenize_all(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """The text of each, as of `detokenize`."""
        # Some folders have blanks before punctuation taken out, which belong to a name.
        options = {} if self.rules.name_tokens == "alone" else {"clean_up_tokenization_spaces": False}
        texts: list[str] = self.tokenizer.batch_decode(list(tokens), skip_special_tokens=True, **options)
        return [text.strip() for text in texts]
