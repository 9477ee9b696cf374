"""What a tokenizer makes of a KB's names: checked for all of them when their tree is built."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from dim.display.lines import say
from dim.methods.generative.name_tokens import NUM_SHOWN, LeftOut
from dim.methods.generative.prompt import ask
from dim.methods.generative.tokenizer import LINE, Tokenized

OTHER_FORM = "written in another form (case, Unicode, blanks), and found by it"
ALIKE = "written like a name of another text, and answered together with it"
PROMPT = ask("Leto", "Leto sings.")
NUM_BEHIND = 1000  #: Names that are tokenised behind a whole prompt.


class NameCheck:
    """Takes names to tokens and back, and counts those that come back as another text."""

    def __init__(self, model: Tokenized, names: Collection[str]) -> None:
        self._model, self._names = model, frozenset(names)
        self._others: dict[str, list[str]] = {}

    def __call__(self, names: Sequence[str], tokens: Sequence[Sequence[int]]) -> None:
        """Looks at names with their tokens (`tokenize_names` calls it `see`)."""
        for name, written in zip(names, self._model.detokenize_all(tokens), strict=True):
            if written != name.strip():
                self._others.setdefault(written, []).append(name)

    @property
    def facts(self) -> LeftOut:
        """For each kind of names that are not written as they are, their `count` and the `first` five."""
        kinds: dict[str, list[str]] = {OTHER_FORM: [], ALIKE: []}
        for written, names in self._others.items():
            kinds[OTHER_FORM] += names
            if len({name.strip() for name in names}) > 1 or written in self._names:
                kinds[ALIKE] += names
        return {kind: {"count": len(names), "first": names[:NUM_SHOWN]} for kind, names in kinds.items() if names}


def behind_prompt(model: Tokenized, names: Sequence[str]) -> dict[str, Any]:
    """How many names have, behind a whole prompt, the tokens that they have in the tree.

    Args:
        model: Whose tokenizer it is.
        names: Of a KB; at most a thousand are tried, evenly spread.

    Returns:
        `tried`; `same`, where prompt and name are one text; `same_with_line`, where a line's end stands behind them,
        too. The others join a token with what stands beside it, such as `](`.
    """
    tried = names[:: max(1, -(-len(names) // NUM_BEHIND))]
    (prompt,) = model.tokenize([PROMPT])
    expected = [[*prompt, *tokens] for tokens in model.tokenize_names(tried)]
    whole = model.tokenize([PROMPT + name for name in tried])
    ended = model.tokenize([PROMPT + name + LINE for name in tried])
    return {
        "tried": len(tried),
        "same": sum(map(list.__eq__, whole, expected)),
        "same_with_line": sum(
            found == [*tokens, *model.line] for found, tokens in zip(ended, expected, strict=True) if model.line
        ),
    }


def say_names(facts: dict[str, Any], left_out: LeftOut) -> None:
    """Says in one line where a tokenizer cannot write all names as they are."""
    kinds = {f"left out ({why})": what for why, what in left_out.items()} | facts.get("written", {})
    parts = [f"{what['count']:,} {kind}, such as {what['first'][0]!r}" for kind, what in kinds.items()]
    behind = facts.get("behind_prompt", {})
    if behind and behind["same"] < behind["tried"] / 2:
        parts.append(f"{behind['tried'] - behind['same']:,} of {behind['tried']:,} have other tokens behind a prompt")
    if parts:
        say(f"names, as the tokenizer writes them: {'; '.join(parts)}")
