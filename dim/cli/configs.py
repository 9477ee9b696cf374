"""The configs that dim ships: `fit --config demo_plus` works wherever dim is installed; `dim configs` lists them.

They stand in `lightning_configs/` of the repository, which an installed dim has inside (`dim/lightning_configs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dim.core.choices import nearest
from dim.core.files import atomic_path
from dim.display.lines import say
from dim.display.terminal import Console, Text
from dim.errors import ConfigError

FOLDER = Path(__file__).parent.parent / "lightning_configs"
OPTION = "--config"


def shipped() -> dict[str, Path]:
    """The file of each shipped config by its name, such as `demo`, `baselines/bm25` or `ablations/no_image`."""
    files = sorted(FOLDER.rglob("*.yaml"), key=lambda file: (file.parent != FOLDER, file))
    return {file.relative_to(FOLDER).with_suffix("").as_posix(): file for file in files}


def config_file(name: str) -> Path:
    """The file that `--config` names.

    The name of a shipped config, which has no `.yaml`, means that one whatever stands in the working directory; all
    else is the path of a file. A file that has a shipped config's name is meant by `./demo` or `demo.yaml`.

    Raises:
        ConfigError: It is neither that name nor a path.
    """
    known = shipped()
    if name in known:
        return known[name]
    path = Path(name)
    if path.exists() or (path.suffix in (".yaml", ".yml") and any(path.parent.glob("*.yaml"))):
        return path  # whether it can be read, and which one beside it was meant, the parser says
    meant = nearest(path.with_suffix("").as_posix().removeprefix("lightning_configs/"), list(known))
    raise ConfigError(
        "a config: a file, or the name of one that dim ships",
        f"none at {name}",
        f"Did you mean {OPTION} {meant}? dim configs lists the names.",
    )


def with_config_files(arguments: Sequence[str]) -> list[str]:
    """A command line whose `--config` options name files."""
    found: list[str] = []
    for argument in arguments:
        option, sign, value = argument.partition("=")
        if found and found[-1] == OPTION:
            found.append(str(config_file(argument)))
        elif sign and option == OPTION:
            found.append(f"{OPTION}={config_file(value)}")
        else:
            found.append(argument)
    return found


def about(file: Path) -> str:
    """The first line of a config's comment.

    Example:
        >>> about(shipped()["ablations/no_caption"])
        'No captions of the images.'
    """
    with file.open(encoding="utf-8") as lines:
        return next(lines).removeprefix("#").strip()


def configs_list() -> None:
    """Prints the name of each shipped config and what it is."""
    known = shipped()
    width = max(map(len, known)) + 2
    console = Console()
    for name, file in known.items():
        console.say(Text(f"{name:<{width}}").append(about(file), "dim"))
    console.say("\ndim fit --config NAME runs one as it is; dim configs copy NAME FOLDER gives a copy to change.")


def configs_copy(name: str, folder: Path) -> Path:
    """Copies a shipped config, to be changed.

    Args:
        name: Its name, as `dim configs` lists it.
        folder: Where the copy will stand; made where it is missing. No file there is replaced.

    Returns:
        The copy.

    Raises:
        ConfigError: There is no config of that name, or a file stands where the copy would.
        StorageError: The disk is full, or nothing may be written there.
    """
    known = shipped()
    if name not in known:
        names = ", ".join(known)
        raise ConfigError(f"a config that dim ships ({names})", name, f"Did you mean {nearest(name, list(known))}?")
    copy = folder / known[name].name
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"a folder {folder}", "a file", "Choose another name.")
    if copy.exists() or copy.is_symlink():
        raise ConfigError(f"a new file {copy}", "one that is there", "Choose another folder, or move the file away.")
    with atomic_path(copy) as temporary:
        temporary.write_bytes(known[name].read_bytes())
    say(f"{copy}; to run it: dim fit {OPTION} {copy}")
    return copy
