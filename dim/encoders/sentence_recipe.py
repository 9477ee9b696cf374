"""How a text becomes a vector: what its model's folder says, and what the options say instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from dim.core.files import content_hash
from dim.encoders.sentence_folder import Head, SentenceFolder

AS_SAVED = "as_saved"


@dataclass(frozen=True)
class SentenceRecipe:
    """How a text becomes a vector.

    Attributes:
        pooling: Keys of `dim.encoders.pooling.RULES`, laid end to end, or one of `pooler`, `projected`, `tokens`.
        heads: Modules behind it.
        max_length: Tokens after which a text is cut; None: the most that the model takes.
        truncate_dim: Columns that are kept; None: all.
        normalize: Whether the vector is then scaled to length 1.
        lower_case: Whether texts are lower-cased first.
        include_prompt: Whether a prompt's tokens are pooled, too.
        prompts: `mention` and `entity` → what is put before their texts; none of an empty one.
    """

    pooling: tuple[str, ...] = ("mean",)
    heads: tuple[Head, ...] = ()
    max_length: int | None = None
    truncate_dim: int | None = None
    normalize: bool = False
    lower_case: bool = False
    include_prompt: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)

    def width(self, hidden: int) -> int:
        """Columns of a vector, where those of a token have `hidden`."""
        width = hidden * len(self.pooling)
        for head in self.heads:
            width = head.width(width)
        return width if self.truncate_dim is None else min(width, self.truncate_dim)

    @property
    def further(self) -> str:
        """What fingerprints say beyond pooling, max_length and normalize, which they always did."""
        parts = [
            f"heads={content_hash(*(head.key for head in self.heads))}" if self.heads else "",
            f"truncate_dim={self.truncate_dim}" if self.truncate_dim is not None else "",
            "lower_case=True" if self.lower_case else "",
            "include_prompt=False" if self.prompts and not self.include_prompt else "",
        ]
        return "".join(f", {part}" for part in parts if part)


@dataclass(frozen=True)
class Asked:
    """The options of a text encoder that a folder may answer (see `TransformersTextEncoder`)."""

    pooling: str
    max_length: int | str | None
    normalize: bool | str
    truncate_dim: int | None
    query_prompt: str | None
    document_prompt: str | None

    @classmethod
    def as_saved(cls) -> Asked:
        """All as the folder says."""
        return cls(AS_SAVED, AS_SAVED, AS_SAVED, None, None, None)

    @property
    def needs_folder(self) -> bool:
        """Whether it says anything about the folder's own modules."""
        return AS_SAVED in (self.pooling, self.max_length, self.normalize)

    def recipe(self, folder: SentenceFolder | None, default: str, most: Callable[[], int]) -> SentenceRecipe:
        """What is done.

        Args:
            folder: What stands beside the weights; None: no modules.json.
            default: The pooling of a model that no folder describes.
            most: Gives the most tokens that the model's own files name.
        """
        saved = _saved(folder, default, most)
        found = saved if self.pooling == AS_SAVED else SentenceRecipe(pooling=(self.pooling,))
        max_length = saved.max_length if self.max_length == AS_SAVED else self.max_length
        heads, normalize = found.heads, found.normalize or saved.normalize
        if self.normalize != AS_SAVED:
            normalize = bool(self.normalize)
            heads = heads if normalize else tuple(head for head in heads if head.kind != "Normalize")
        truncate_dim = found.truncate_dim if self.truncate_dim is None else self.truncate_dim
        if truncate_dim is not None and normalize and self.normalize == AS_SAVED and found is saved:
            heads, normalize = (*heads, Head("Normalize", {}, None)), False  # scaled first, then cut
        given = {"mention": self.query_prompt, "entity": self.document_prompt}
        prompts = {**found.prompts, **{owner: prompt for owner, prompt in given.items() if prompt is not None}}
        return replace(
            found,
            heads=heads,
            max_length=int(max_length) if max_length is not None else None,
            truncate_dim=truncate_dim,
            normalize=normalize,
            prompts={owner: prompt for owner, prompt in prompts.items() if prompt},
        )

    def differences(self, folder: SentenceFolder, used: SentenceRecipe, most: Callable[[], int]) -> list[str]:
        """What is done otherwise than the folder says, each as `option: used, not saved`."""
        saved = _saved(folder, "mean", most)
        pairs = {
            "pooling": ("+".join(used.pooling), "+".join(saved.pooling)),
            "max_length": (used.max_length, saved.max_length),
            "normalize": (used.normalize, saved.normalize),
            "truncate_dim": (used.truncate_dim, saved.truncate_dim),
            "Dense heads": (_heads(used), _heads(saved)),
            "query_prompt": (used.prompts.get("mention", ""), saved.prompts.get("mention", "")),
            "document_prompt": (used.prompts.get("entity", ""), saved.prompts.get("entity", "")),
        }
        if used.truncate_dim is not None and self.normalize == AS_SAVED:
            del pairs["normalize"]  # it is done before the cut
        return [f"{name}: {now!r}, not {was!r}" for name, (now, was) in pairs.items() if now != was]


def _heads(recipe: SentenceRecipe) -> int:
    return sum(head.kind != "Normalize" for head in recipe.heads)


def _saved(folder: SentenceFolder | None, default: str, most: Callable[[], int]) -> SentenceRecipe:
    """What the folder says, its last scaling told by `normalize`."""
    if folder is None:
        return SentenceRecipe(pooling=(default,))
    length = folder.max_length
    return SentenceRecipe(
        pooling=folder.pooling,
        heads=folder.heads[:-1] if folder.normalize else folder.heads,
        max_length=length if length is not None and length < most() else None,
        truncate_dim=folder.truncate_dim,
        normalize=folder.normalize,
        lower_case=folder.lower_case,
        include_prompt=folder.include_prompt,
        prompts=folder.prompts,
    )
