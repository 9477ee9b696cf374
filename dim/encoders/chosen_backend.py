"""The backend that an encoder was told to use: chosen once, its export found or made, and compared with torch."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from dim.core.sealed import MANIFEST
from dim.encoders.backends import fastest
from dim.encoders.device import Backend, EncoderPrecision, Precision, resolve_device
from dim.encoders.encoder_check import check_same
from dim.encoders.exported import BESIDE, Exported, ToExport, export_name, export_place, open_export, write_export
from dim.encoders.int8 import RECIPE
from dim.encoders.weights import hash_files


class Source(Protocol):
    """Where an encoder's model comes from."""

    @property
    def path(self) -> str:
        """What messages call it."""

    @property
    def home(self) -> Path | None:
        """The folder that it stands in; None: it is on a hub."""

    @property
    def content(self) -> str:
        """What its content is known by."""


@dataclass(frozen=True, eq=False)
class ChosenBackend:
    """What computes an encoder's network.

    Attributes:
        asked: As the encoder's option says.
        precision: Of the arithmetic.
        device: Where torch would compute.
        source: Of the model.
        key: Says what the network computes, beside the model's content.
        load: Gives the network as torch runs it, as `write_export` takes it.
        features: The features of what the network gave of a batch.
    """

    asked: Backend
    precision: EncoderPrecision
    device: str
    source: Source
    key: Callable[[], str]
    load: Callable[[], ToExport]
    features: Callable[[Tensor, Mapping[str, Tensor]], Tensor]

    @property
    def name(self) -> str:
        """Its name; `auto` is chosen at first use."""
        return self._chosen[0] if self.asked == "auto" else self.asked

    @property
    def torch_device(self) -> torch.device:
        """Where torch has what it makes ready: beside another backend on the CPU."""
        return resolve_device(self.device if self.name == "torch" else "cpu")

    @property
    def torch_precision(self) -> Precision:
        """In which torch has it: beside another backend in fp32."""
        return self.precision if self.name == "torch" and self.precision != "int8" else "fp32"

    @property
    def known_name(self) -> str:
        """Its name as far as it is known: what another process is told, which then chooses the same."""
        return self.name if "_chosen" in self.__dict__ else self.asked

    @property
    def exported(self) -> Exported | None:
        """The network as the backend runs it; None: torch does.

        Raises:
            ConfigError: Its package is missing, the network cannot be exported, or it gives other vectors than torch.
            DataError: The export is damaged.
        """
        return None if self.asked == "torch" else self._chosen[1]

    @property
    def pinned_options(self) -> dict[str, str]:
        """The option that has the same chosen elsewhere, where `auto` chose."""
        return {"backend": self.name} if self.asked == "auto" else {}

    @property
    def described(self) -> str:
        """What the fingerprint says of it; of torch nothing, as before there was another."""
        if self.name == "torch":
            return ""
        place, is_beside = self._place(self.name)
        # An export that came with the model is not known by the model's weights alone.
        made = f"@{hash_files([place / MANIFEST])}" if is_beside else f", {RECIPE}" if self._is_int8 else ""
        return f", backend={self.name}{made}"

    def write(self, target: Path) -> str:
        """Writes the export into a folder with a copy of the model, where it is found when that is opened; its name."""
        beside = target / BESIDE / export_name(self.name, self._is_int8)
        if self.exported is not None and not beside.exists():
            shutil.copytree(self._place(self.name)[0], beside)
        return self.name

    @cached_property
    def _chosen(self) -> tuple[str, Exported | None]:
        if self.asked != "auto":
            return self.asked, self._open(self.asked)
        found: dict[str, Exported] = {}
        is_on_cpu = resolve_device(self.device).type == "cpu"
        name = fastest(self.precision, lambda name: found.update({name: self._open(name)})) if is_on_cpu else "torch"
        return name, found.get(name)

    def _open(self, name: str) -> Exported:
        place, _ = self._place(name)
        if not (place / MANIFEST).exists():
            write_export(self.load, place, name, self._is_int8, self.key())
        export = open_export(place, name, self.precision)
        for tokens, expected in export.sample:
            found = self.features(export(tokens), tokens)
            check_same(found, self.features(expected, tokens), name, self.precision, self.source.path)
        return export

    @property
    def _is_int8(self) -> bool:
        return self.precision == "int8"

    def _place(self, name: str) -> tuple[Path, bool]:
        computes = self.key()
        key = f"{self.source.content}, {computes}" + (f", {RECIPE}" if self._is_int8 else "")
        return export_place(self.source.home, export_name(name, self._is_int8), key, computes)


class ByBackend(ABC):
    """An encoder that has the option `backend`.

    Attributes:
        backend_as: As which of a linker's encoders it has it.
    """

    backend_as: ClassVar[Literal["text_encoder", "image_encoder"]]

    @property
    @abstractmethod
    def _computing(self) -> ChosenBackend:
        """What computes its network."""

    @property
    def backend_name(self) -> str:
        """Of what computes its network; `auto` is chosen at first use."""
        return self._computing.name

    def write_export(self, target: Path) -> str:
        """Writes what its backend runs into a folder with a copy of its model, and gives the backend's name.

        Raises:
            ConfigError: As of `ChosenBackend.exported`.
        """
        return self._computing.write(target)
