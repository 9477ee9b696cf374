"""`dim linker`: a linker of entities alone."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Literal

from dim.cli.next_steps import say_next
from dim.core.known_classes import trusted_by
from dim.core.output import check_target
from dim.core.plugins import encoder_classes
from dim.display.terminal import Console
from dim.encoders.base import ImageEncoder, TextEncoder
from dim.linker import Linker
from dim.linker.folder import LINKER
from dim.linker.reopened import check_opens

encoder_classes()  # every encoder that is installed is known by its short name


def linker(
    entities: Path,
    folder: Path,
    text_encoder: TextEncoder | None = None,
    image_encoder: ImageEncoder | None = None,
    images: Path | None = None,
    ranker: bool = True,
    index: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto",
    copy_images: bool = False,
    encoding: str | None = None,
    list_separator: str | None = None,
    allow_missing: bool = False,
    entity_text: str | None = None,
    overwrite: bool = False,
    trust: str | None = None,
    verify: bool = True,
) -> None:
    """Makes a linker of a table of entities alone, without a mention and without training, and writes its folder.

    Names and aliases count; with an encoder frozen vectors of names, texts and images as well. Before the folder takes
    its name, a new process opens it and answers a question; where that fails, what stood there stays.

    Args:
        entities: A table (CSV, Excel, JSON, Parquet) with `id, name, description?, aliases?, image?, type?,
            popularity?`, a folder with a table `entities`, or a dataset folder of `dim prepare`.
        folder: Where the linker shall stand: a new or empty path.
        text_encoder: Of names and texts: --text_encoder TransformersTextEncoder --text_encoder.path FOLDER_OR_ID. By
            default words and letters alone count.
        image_encoder: Of images; of one space with the text encoder's vectors: OpenClipEncoder for both.
        images: The folder of the images, where they are not in that of the table.
        ranker: Weigh names, texts and vectors by a ranker that dim ships, fitted on public mentions: its probabilities
            are calibrated on those. Without it the cosines order the answers, and there is no probability.
        index: How vectors are searched; `auto` chooses by the size of the KB.
        copy_images: Put copies of the images into the folder, which go where it goes; else their paths (opened with
            --image_root).
        encoding: Of the table, such as `cp1252`; the default is told by its first bytes, else UTF-8.
        list_separator: What separates aliases and images in a cell; the default is `|` and, where no cell has it, `;`.
        allow_missing: Leave rows out that cannot be read, however many; else at most 1%.
        entity_text: Of a dataset folder, the variant of its texts; the default is `brief`, or the first.
        overwrite: Whether another linker that stands there may be replaced.
        trust: Packages, separated by commas, whose encoders the linker may name; whoever opens it says the same.
        verify: Open what was written in a new process: some seconds, and as much memory again.
    """
    check_target(folder, LINKER, sources=[entities], overwrite=overwrite)  # before long work
    trusted = trusted_by(trust)
    made = Linker.from_entities(
        entities,
        text_encoder,
        image_encoder,
        "shipped" if ranker else None,
        index,
        trusted,
        images=images,
        encoding=encoding,
        list_separator=list_separator,
        allow_missing=allow_missing,
        entity_text=entity_text,
    )
    check = partial(check_opens, linker=made, trusted=trusted) if verify else None
    made.save(folder, "copies" if copy_images else "paths", overwrite, trusted, check)
    _say(made, folder, copy_images, trust)


def _say(made: Linker, folder: Path, has_copies: bool, trust: str | None) -> None:
    """What was made, and what to do with it."""
    console, table = Console(), made.knowledge.table()
    num_texts = len(table) - table["text"].null_count
    pictures = [image for entity in made for image in entity.images[:1] if Path(image).is_file()]
    has_aliases = sum(map(bool, table["aliases"].to_pylist()))
    console.say(
        f"entities: {len(table):,}; with a text {num_texts:,}, with aliases {has_aliases:,}, with an image "
        f"{len(pictures):,}",
        highlight=False,
    )
    probability = made.calibrated_on or "none: scores are cosines"
    console.say(f"probabilities: {probability}", highlight=False)
    root = os.path.commonpath([Path(image).parent for image in pictures]) if pictures and not has_copies else None
    say_next(str(folder), made, folder, root, trust)
