"""`dim fit --from LINKER`: of a linker's entities and of mentions that came a dataset, fitted with its encoders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from dim.cli.grid import written
from dim.core.known_classes import trusted_by
from dim.core.wrong_line import split_line
from dim.display.counts import count_of
from dim.display.lines import say
from dim.errors import ConfigError
from dim.linker import Linker
from dim.linker.recipe import READS, Recipe, choices_of
from dim.releases.fit_command import IMAGES, TEXT
from dim.releases.prepare import prepare_mentions

FROM, MENTIONS, ROOT = "--from", "--mentions", "--data.root"
ALLOW = "--allow_missing"  #: As of `dim prepare`, whose messages name it.
DIM = {"DIM", "DIMNetwork"}  #: The method of the configs, and what answers of it.


def from_linker(arguments: Sequence[str]) -> list[str]:
    """The line of `fit` with what `--from` and `--mentions` stand for; as it is where neither stands there.

    The linker's entities and the mentions are prepared as a dataset at `--data.root`. Its encoders, how it reads texts
    and, of a DIM, its method's options stand before the other options, which may name others.

    Args:
        arguments: `fit` and its options.

    Raises:
        ConfigError: One option lacks another or its value, or the shipped configs do not fit the linker's method.
        DataError: The linker cannot be opened, or the mentions cannot be read.
    """
    rest, given = _parted(arguments, (FROM, MENTIONS, ALLOW))
    if not given.keys() & {FROM, MENTIONS}:
        return list(arguments)
    if empty := [name for name, value in given.items() if not value or value.startswith("--")]:
        raise ConfigError(f"{empty[0]} with its value", "none", f"{FROM} has a linker's folder, {MENTIONS} a table.")
    if FROM not in given:
        raise ConfigError(f"a linker beside {MENTIONS}", f"no {FROM}", f"Name its folder: {FROM} linkers/mine.")
    if (allowed := given.get(ALLOW, "false").lower()) not in ("true", "false") or (
        ALLOW in given and MENTIONS not in given
    ):
        raise ConfigError(f"{ALLOW} true or false, beside {MENTIONS}", str(given[ALLOW]), "Change it, or leave it out.")
    options = dict(split_line(rest[1:]))
    if not (root := options.get(ROOT.strip("-")) or options.get("dataset")):
        raise ConfigError(
            "a folder for the dataset of the linker's entities and the mentions", f"no {ROOT}", f"Add {ROOT} data/NAME."
        )
    root_of_images = options.get("data.images")
    linker = Linker.from_pretrained(given[FROM], trusted=trusted_by(options.get("trust")), image_root=root_of_images)
    recipe: Recipe = linker.about["recipe"]
    method = str(recipe["model"]["class_path"]).rpartition(".")[2]
    is_untrained = linker.about.get("is_untrained", False)
    if not is_untrained and method not in DIM:
        remedy = "Prepare its entities and mentions, and fit them by its own config."
        raise ConfigError("an untrained linker, or one of DIM, to go on from", f"one of {method}", remedy)
    if mentions := given.get(MENTIONS):
        _check_images(linker, given[FROM])
        with TemporaryDirectory() as folder:
            table, entities = Path(folder) / "entities.parquet", _entities_of(linker)
            entities.to_parquet(table)
            images = root_of_images or _images_of_both(entities, Path(mentions))
            of_images = Path(images) if images else None
            overwrite = str(options.get("overwrite")).lower() == "true"
            prepare_mentions(
                Path(mentions), table, Path(root), Path(given[FROM]), of_images, allowed == "true", overwrite
            )
        rest = _parted(rest, ("--data.images",))[0]  # the dataset says it
    config = IMAGES if recipe["encoders"].get("image_encoder") else TEXT
    kept = list(_kept(recipe, is_untrained))
    said = ", ".join(option.partition("=")[0] for option in kept)
    say(f"from {given[FROM]}: {count_of(len(linker), 'entity')}, and {said}")
    return ["fit", "--config", config, *kept, *rest[1:]]


def _parted(arguments: Sequence[str], options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words without some options, and the values of these."""
    words, rest, given = iter(arguments), list[str](), dict[str, str]()
    for word in words:
        name, sign, value = word.partition("=")
        if name in options:
            given[name] = value if sign else next(words, "")
        else:
            rest.append(word)
    return rest, given


def _check_images(linker: Linker, name: str) -> None:
    """Raises ConfigError where the run would lack images of entities that the linker was given."""
    if not linker.reads_images or not (elsewhere := linker.knowledge.images_elsewhere):
        return
    found = f"{len(elsewhere):,} entities with others, such as {next(iter(elsewhere.values()))[0]}"
    remedy = "Name the folder that holds them and those of the mentions: --data.images FOLDER."
    raise ConfigError(f"images of entities in {name}, or below --data.images", found, remedy)


def _images_of_both(entities: pd.DataFrame, mentions: Path) -> Path | None:
    """The folder that holds the images of the entities and those of the mentions; None: entities have none.

    Raises:
        ConfigError: They have hardly a folder in common, and the whole disk is not searched.
    """
    folders = {str(Path(image).parent) for images in entities["image"] for image in images}
    if not folders:
        return None
    home = mentions if mentions.is_dir() else mentions.parent
    common = Path(os.path.commonpath([*folders, home.absolute()]))
    if len(common.parts) < 3:
        found = f"{min(folders)} and {home.absolute()}"
        remedy = "Move the table of mentions beside them, or name the folder: --data.images FOLDER."
        raise ConfigError("images of entities and of mentions in one folder", found, remedy)
    return common


def _kept(recipe: Recipe, is_untrained: bool) -> Iterator[str]:
    """Options of `fit` by which a run reads as the linker does."""
    for name, encoder in recipe["encoders"].items():
        if encoder is not None:
            yield f"--data.{name}={written(encoder, name)}"
    read = choices_of(recipe)
    for name in READS:  # also what the recipe leaves unsaid, for fit has other defaults
        yield f"--data.{name}={written(getattr(read, name), name)}"
    if not is_untrained:
        for name, value in (recipe["model"].get("init_args") or {}).items():
            yield f"--model.{name}={written(value, name)}"


def _entities_of(linker: Linker) -> pd.DataFrame:
    """The entities as a table of one's own; their images by absolute paths."""
    rows = []
    for entity in linker:
        row = linker.knowledge.row(entity.id)
        images = [str(linker.knowledge.image_root(row, image) / image) for image in entity.images]
        rows.append(
            {
                "id": entity.id,
                "name": entity.name,
                "aliases": list(entity.aliases),
                "description": entity.text,
                "type": entity.type,
                "popularity": entity.popularity,
                "image": images if linker.reads_images else [],
            }
        )
    return pd.DataFrame(rows)
