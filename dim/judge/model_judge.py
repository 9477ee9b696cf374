"""What judges share whose model runs on this machine."""

from __future__ import annotations

from pathlib import Path

from dim.encoders.pretrained import KnownByItsFiles
from dim.judge.contract import Judge


class ModelJudge(KnownByItsFiles, Judge):
    """A judge of a folder of Transformers, or of an id on the Hugging Face hub, which is its option `path`."""

    @property
    def label(self) -> str:
        """The name of its folder, or its id."""
        return Path(self.path).name if self.source.is_folder else self.path

    def write_model(self, folder: Path) -> Judge | None:
        """Copies what loading reads; of an id on the hub nothing, which stays there at its commit."""
        if self.source.home is None:
            return None
        self.copy_model(self.source.home, folder)
        return type(self)(**(self.options() | {"path": str(folder)}))
