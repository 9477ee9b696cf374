"""The command that trains on what was prepared, as `dim prepare` ends with it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pandas as pd

from dim.core.command_line import command_line
from dim.data.dataset import Dataset
from dim.display.terminal import Console, Text

TEXT, IMAGES = "own_text", "own"  #: The shipped configs for data without and with images.
MULTILINGUAL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
#: Training mentions from which on fewer, larger steps do as well: WikiMEL's 16,283 take a quarter of the time
#: (79 s to 296 s, Top-1 on tune 89.1 to 89.3, on dev 88.2 both).
MANY = 10_000
LARGE_STEPS = ("--data.batch_size", "512", "--trainer.max_epochs", "4")
_LOOKED_AT = 10_000  #: Mentions that tell the language.
_FOREIGN = 0.01  #: The share of letters that English lacks from which on it may be another language (German has 2%).
#: Words of two thirds of English sentences, and of those of no neighbour that is written in the same letters.
_ENGLISH = frozenset({"the", "and", "with", "from"})
_SENTENCE = 6  #: Words of a context from which on it should have one.


def print_fit_command(dataset: Dataset, has_images: bool) -> None:
    """Prints what to do next with a prepared dataset: the fit that suits it, or why there is none.

    Args:
        dataset: What was prepared.
        has_images: Whether a mention or an entity has an image file.
    """
    console = Console()
    if dataset.image_urls:
        has_images = True
        console.print(Text("next, get the images that are named by URL:", style="bold"))
        console.say(Text(f"  {command_line(['fetch-images', str(dataset.root)])}"))
    if reason := _why_no_fit(dataset):
        console.say(Text(f"no fit: {reason}; a linker of another run links them (dim link --input), or one untrained:"))
        folder = f"linkers/{dataset.root.resolve().name}"
        console.say(Text(f"  {command_line(['linker', str(dataset.root), folder])}"))
        return
    console.print(Text(f"{'then' if dataset.image_urls else 'next'}, train and evaluate:", style="bold"))
    console.say(Text(f"  {command_line(fit_words(dataset, has_images))}"))


def fit_words(dataset: Dataset, has_images: bool) -> list[str]:
    """The words of the `fit` that suits a dataset: its images, its size, its entity text, its language."""
    words = ["fit", "--config", IMAGES if has_images else TEXT]
    words += ["--data.root", str(dataset.root), "--run", f"runs/{dataset.root.resolve().name}"]
    if not has_images and (dataset.mentions["split"] == "train").sum() >= MANY:
        words += LARGE_STEPS
    if not dataset.variants:
        words += ["--data.leave_out", "[text]"]
    elif "brief" not in dataset.variants:
        words += ["--data.entity_text", dataset.variants[0]]
    if is_foreign(dataset.mentions.head(_LOOKED_AT)):
        if has_images:
            words += ["--data.text_encoder", "TransformersTextEncoder"]
        words += ["--data.text_encoder.path", MULTILINGUAL]
    return words


def is_foreign(mentions: pd.DataFrame) -> bool:
    """Whether mentions are of another language than English: they have its letters, and their sentences not its words.

    Names, and how they are pronounced, have foreign letters in English sentences too (RichpediaMEL: 1.1%).
    """
    if foreign_share([*mentions["mention"], *mentions["context"].str[:200]]) <= _FOREIGN:
        return False
    sentences = [words for context in mentions["context"] if len(words := context.lower().split()) >= _SENTENCE]
    return sum(not _ENGLISH.isdisjoint(words) for words in sentences) <= len(sentences) / 3


def foreign_share(texts: Iterable[str]) -> float:
    """The share of letters that English does not write, 0 where there is no letter.

    Example:
        >>> foreign_share(["Ada"]), foreign_share(["Käte"]), foreign_share(["齐白石"]), foreign_share(["1 2"])
        (0.0, 0.25, 1.0, 0.0)
    """
    letters = [letter for text in texts for letter in text if unicodedata.category(letter)[0] == "L"]
    return sum(not letter.isascii() for letter in letters) / len(letters) if letters else 0.0


def _why_no_fit(dataset: Dataset) -> str:
    """Why nothing can be trained; nothing where it can."""
    split = dataset.mentions["split"]
    if not dataset.mentions["entity_id"][split == "train"].notna().any():
        return "no mention of train has an answer"
    if not (split == "tune").any():
        return "train has too few captions for a tune split, which chooses the epoch"
    return ""
