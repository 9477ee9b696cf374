"""Where the linker of a server comes from, and how it is opened again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dim.serve.served import Edition
    from dim.serve.settings import Settings


@dataclass(frozen=True)
class Source:
    """A linker by its name; see `dim.cli.serve.serve`. It goes to other processes."""

    model: str
    device: str = "auto"
    dataset: Path | None = None
    trust: str | None = None
    image_root: Path | None = None

    def opened(self, settings: Settings) -> Edition:
        """The linker as it stands there now, with the pictures of its folder, ready for its first question.

        Raises:
            DimError: It cannot be opened.
        """
        # The process that only looks after workers has no use for torch.
        from dim.linker.opening import open_linker
        from dim.serve.kept_images import KeptImages
        from dim.serve.served import Edition

        while True:
            images = KeptImages(Path(self.model)) if Path(self.model).is_dir() else None
            linker = open_linker(self.model, self.device, self.trust, self.dataset, self.image_root)
            if images is not None:
                images.keep(image for entity in linker.knowledge for image in entity.images)
            if images is None or images.is_of_this_folder():
                linker.link("a", top_k=1)  # so that the first question does not wait for what is made on first use
                return Edition(linker, settings, images)
