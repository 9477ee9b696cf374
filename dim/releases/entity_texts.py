"""Entity texts: JSON objects entity id → text, the shape of `brief.json` and of every refreshed twin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from dim.core.text_form import one_form
from dim.data.files import clean_text, json_type, read_object
from dim.errors import DataError


def read_texts(path: Path, entity_ids: Iterable[str], id_of: Callable[[str], str] = str) -> pd.DataFrame:
    """The texts (entity_id, text) of the KB's entities in KB order; null and empty texts are left out.

    Args:
        path: The file.
        entity_ids: The ids of the KB.
        id_of: The id that a key of the file means (`Converter.entity_id`).

    Raises:
        DataError: The file is no object of texts, or has a text for no entity of the KB.
    """
    return texts_of_kb(path, {id_of(key): text for key, text in read_text_object(path).items()}, entity_ids)


def texts_of_kb(path: Path, texts: Mapping[str, str], entity_ids: Iterable[str]) -> pd.DataFrame:
    """As `read_texts`, of what was read from `path` already: entity id → text."""
    texts = {one_form(key): text for key, text in texts.items()}
    found = [(entity_id, texts[form]) for entity_id in entity_ids if (form := one_form(entity_id)) in texts]
    if texts and not found:
        raise DataError(
            f"texts of the KB's entities in {path}",
            f"none; its first id is '{next(iter(texts))}'",
            "Check that texts and KB belong together.",
        )
    return texts_table(found)


def read_text_object(path: Path, keys: str = "entity id", example: str = "Q42") -> dict[str, str]:
    """The texts of an object, without the names before them; arguments and errors are as of `read_named_texts`."""
    return {key: text for key, (_, text) in read_named_texts(path, keys, example).items()}


def read_named_texts(path: Path, keys: str = "entity id", example: str = "Q42") -> dict[str, tuple[str, str]]:
    """The name before the text and the text (`split_text`), as the object's keys name the entities; null is empty.

    Args:
        path: The file.
        keys: What its keys are, for the message.
        example: A key, for the message.

    Raises:
        DataError: The file is no object of texts.
    """
    texts = read_object(path)
    for key, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise DataError(
                f"a text for each {keys} in {path}",
                f"{json_type(text)} for {key}",
                f'Write the file as {{"{example}": "Occupation: writer.", …}}.',
            )
    return {key: split_text(clean_text(text or "")) for key, text in texts.items()}


def split_text(text: str) -> tuple[str, str]:
    """The name before a text, where DIM's code wrote one, and the text; DIM reads what stands behind the mark alone.

    Example:
        >>> split_text("Ada Lovelace [SEP]. Occupation: poet."), split_text("Ada [SEP]. None"), split_text("A poet.")
        (('Ada Lovelace', 'Occupation: poet.'), ('Ada', ''), ('', 'A poet.'))
    """
    name, mark, behind = text.partition("[SEP].")
    if not mark:
        return "", text.strip()
    return name.strip(), "" if behind.strip() in ("None", "nan") else behind.strip()


def texts_table(rows: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """A text variant as a table, without the entities whose text is empty."""
    return pd.DataFrame([row for row in rows if row[1]], columns=["entity_id", "text"], dtype=object)
