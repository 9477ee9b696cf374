"""An encoder's network in the form of a runtime: written once, and compared with torch wherever it is opened.

It stands in a sealed folder: beside a model's own files, as a linker's folder has it, or in `~/.cache/dim/exports`.
With it stand some inputs, tokens or pixels, and what torch made of them: wherever it is opened, by whatever version of
the runtime on whatever CPU, it has to make the same of them. For that no weights of torch are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypeAlias, TypedDict

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from dim.core.excerpts import first_line, one_line
from dim.core.files import cache_folder, content_hash
from dim.core.folder_files import peek_json
from dim.core.locks import folder_lock
from dim.core.sealed import MANIFEST, Manifest, open_sealed, sealed_folder
from dim.display.terminal import Console
from dim.encoders.backends import RUNTIMES, Run
from dim.encoders.device import EncoderPrecision
from dim.errors import ConfigError, DataError, StorageError

CONTENT, FORMAT = "exported encoder", 1
MOST_SAMPLED = 512  #: Tokens of a text that torch and a runtime are compared on.
BESIDE = "exported"  #: The folder beside a model's files that holds those of each runtime.
SAMPLE = "sample.safetensors"
PIXELS = "pixels"  #: What a network is given that reads images.
INT8 = "_int8"  #: Behind a runtime's name, that of the folder of an export whose weights are int8.
#: Texts that torch and the runtime are compared on: of several lengths and scripts, and one that is cut.
TEXTS = (
    ("Anna Moreau, who plays the violin, was born in a small town by the sea in 1931.", "Anna", ""),
    ("Paris",),
    ("В 1961 году он полетел в космос.", "東京は日本の首都である。", "e=mc², 3.14 … 100 % (sic!)"),
    (" ".join(["The mayor of the old town opened the bridge over the river, and the river rose."] * 40),),
)


class ExportFacts(TypedDict):
    """What is said of a network: what it takes, and how long a text may be; of one that reads images 0."""

    inputs: list[str]
    most_tokens: int


#: A network, which takes a batch by name, some batches, the first of two inputs or more, and facts.
ToExport: TypeAlias = tuple[nn.Module, Sequence[Mapping[str, Tensor]], ExportFacts]


class ExportManifest(Manifest, ExportFacts):
    """What stands beside its files; `computes` is as of `write_export`, and older ones do not say it."""

    computes: NotRequired[str]


@dataclass(frozen=True, eq=False)
class Exported:
    """A network that a runtime runs.

    Attributes:
        inputs: What it takes.
        most_tokens: Of a text that it takes; of one that reads images 0.
        run: Runs it.
        call: As of the runtime.
        sample: Batches of tokens, their mask among them, or of pixels, and what torch made of each.
    """

    inputs: frozenset[str]
    most_tokens: int
    run: Run
    call: int
    sample: tuple[tuple[dict[str, Tensor], Tensor], ...]

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The network's output of a batch."""
        given = {name: values.numpy() for name, values in batch.items() if name in self.inputs}
        return torch.from_numpy(self.run(given))


class Reads(nn.Module):
    """A network with what is read of it as its output: what is exported.

    Args:
        network: It.
        read: Its output of pixels [batch, 3, height, width].
    """

    def __init__(self, network: nn.Module, read: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.read = network, read

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Of a batch that has `PIXELS`."""
        return self.read(self.network, batch[PIXELS])


def of_pixels(network: nn.Module, read: Callable[[nn.Module, Tensor], Tensor], pixels: Tensor) -> ToExport:
    """What is exported of a network that reads images, as torch runs it in fp32: compared on two pictures, and on one.

    Args:
        network: It.
        read: As of `Reads`.
        pixels: [2, 3, height, width], two pictures.
    """
    return (
        Reads(network, read),
        [{PIXELS: pixels}, {PIXELS: pixels[1:].clone()}],
        {"inputs": [PIXELS], "most_tokens": 0},
    )


def exports_folder() -> Path:
    """Where exports stand that belong to no linker's folder."""
    return cache_folder() / "exports"


def export_name(backend: str, is_int8: bool) -> str:
    """The name of an export's folder beside the model's files."""
    return f"{backend}{INT8}" if is_int8 else backend


def export_place(model: Path | None, name: str, key: str, computes: str) -> tuple[Path, bool]:
    """Where a network's export stands, or shall stand, and whether that is beside the model's own files.

    Args:
        model: The model's folder; None: it is on a hub.
        name: As of `export_name`.
        key: Of the model's content and what the network computes.
        computes: The latter alone: an export beside the model that computes something else is not its own.
    """
    if model is not None and (beside := model / BESIDE / name).is_dir() and _computes(beside) in (computes, None):
        return beside, True
    return exports_folder() / f"{name}-{content_hash(key, str(FORMAT))}", False


def _computes(place: Path) -> str | None:
    """What the export in a folder says that it computes; None: nothing, or opening it says what is amiss."""
    try:
        said = peek_json(place / MANIFEST, dict[str, Any]).get("computes")
    except (OSError, ValueError):
        return None
    return None if said is None else str(said)


def write_export(load: Callable[[], ToExport], place: Path, backend: str, is_int8: bool, computes: str) -> None:
    """Writes a network, and what it makes of some batches, into a folder; one that stands there already is kept.

    Args:
        load: Gives the network as torch runs it.
        place: The folder.
        backend: The runtime.
        is_int8: Whether its weights become int8.
        computes: What is read of the model, such as its pooling.

    Raises:
        ConfigError: The runtime is missing, or the network cannot be exported.
    """
    with folder_lock(place, "an export of an encoder", wait=True):
        if (place / MANIFEST).exists():  # another process was first
            return
        with Console(stderr=True).status(f"exporting the encoder for {backend}, once"), torch.no_grad():
            network, batches, facts = load()
            with sealed_folder(place, CONTENT, FORMAT, {**facts, "computes": computes}) as folder, _said_of(backend):
                given = [{name: batch[name] for name in facts["inputs"]} for batch in batches]
                made = [network(batch) for batch in given]
                RUNTIMES[backend].write(_program(network, given[0]), facts["inputs"], folder, is_int8)
                (folder / SAMPLE).write_bytes(save(_packed(batches, made)))


def _program(network: nn.Module, batch: dict[str, Tensor]) -> torch.export.ExportedProgram:
    from torch.export import Dim  # a quarter of a second

    # How many there are, and of tokens, which are whole numbers, how long the longest text is.
    free = {name: dict.fromkeys(range(1 + (not each.is_floating_point())), Dim.DYNAMIC) for name, each in batch.items()}
    return torch.export.export(network, (batch,), dynamic_shapes=(free,), strict=False)


@contextmanager
def _said_of(backend: str) -> Iterator[None]:
    """In it what fails is a ConfigError: torch and each runtime raise their own kinds, each family of models others."""
    try:
        yield
    except (ConfigError, StorageError):
        raise
    except Exception as error:
        raise ConfigError(
            f"an encoder that can be exported for backend {backend}, with batches and texts of any length",
            f"{type(error).__name__}: {one_line(error)}",
            "Use another backend, or torch, with this model.",
        ) from error


def open_export(place: Path, backend: str, precision: EncoderPrecision) -> Exported:
    """The network that `write_export` wrote.

    Raises:
        ConfigError: The runtime is missing, or cannot run it here.
        DataError: The folder is damaged, or says something else.
    """
    remedy = f"Remove {place}: it is made again."
    facts = open_sealed(place, CONTENT, FORMAT, remedy=remedy, kind=ExportManifest)
    try:
        tensors = load((place / SAMPLE).read_bytes())
        sample = tuple(_unpacked(tensors))
        run = RUNTIMES[backend].opened(place, precision)
    except (ConfigError, DataError):
        raise
    except Exception as error:  # safetensors and each runtime raise their own kinds
        said = first_line(error)
        raise DataError(f"a network for {backend} in {place}", f"{type(error).__name__}: {said}", remedy) from error
    return Exported(frozenset(facts["inputs"]), facts["most_tokens"], run, RUNTIMES[backend].call, sample)


def _packed(batches: Sequence[Mapping[str, Tensor]], made: Sequence[Tensor]) -> dict[str, Tensor]:
    parts = [{**batch, "": output} for batch, output in zip(batches, made, strict=True)]
    return {f"{place}.{name}": value.contiguous() for place, part in enumerate(parts) for name, value in part.items()}


def _unpacked(tensors: Mapping[str, Tensor]) -> list[tuple[dict[str, Tensor], Tensor]]:
    found: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        place, _, name = key.partition(".")
        found.setdefault(int(place), {})[name] = value
    return [({name: value for name, value in part.items() if name}, part[""]) for _, part in sorted(found.items())]
