"""Where the linker of a server comes from, and how it is opened again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dim.linker import Linker
    from dim.serve.served import Edition
    from dim.serve.settings import Settings


@dataclass(frozen=True)
class FinderOptions:
    """What finds the mentions of texts; see `dim.linker.finders.named.open_finder`."""

    kind: Literal["dictionary", "spacy", "gliner"] = "dictionary"
    model: str | None = None
    labels: list[str] | str | None = None
    ignore_case: bool = False


@dataclass(frozen=True)
class Source:
    """A linker by its name; see `dim.cli.serve.serve`. It goes to other processes."""

    model: str
    device: str = "auto"
    dataset: Path | None = None
    trust: str | None = None
    image_root: Path | None = None
    finder: FinderOptions = FinderOptions()
    judge: str = "saved"

    def opened(self, settings: Settings) -> Edition:
        """The linker as it stands there now, with the pictures of its folder, ready for its first question.

        Raises:
            DimError: It cannot be opened, or shall be writable and is no linker's folder.
        """
        # The process that only looks after workers has no use for torch.
        from dim.linker.finders.named import open_finder
        from dim.linker.opening import check_is_folder, open_linker
        from dim.serve.kept_images import KeptImages
        from dim.serve.served import Edition

        if settings.writable:
            check_is_folder(self.model)
        while True:
            images = KeptImages(Path(self.model)) if Path(self.model).is_dir() else None
            linker = open_linker(self.model, self.device, self.trust, self.dataset, self.image_root, self.judge)
            if images is not None:
                images.keep(image for entity in linker.knowledge for image in entity.images)
            if images is None or images.is_of_this_folder():
                finder = open_finder(linker.knowledge, **asdict(self.finder))
                linker.knowledge.tell_of_images_elsewhere()
                linker.link("a", top_k=1)  # so that the first question does not wait for what is made on first use
                finder.find("a")
                return Edition(linker, settings, images, finder)

    def changed(self, change: Callable[[Linker], None]) -> int:
        """Applies a change to the linker in the folder, and saves it there; the number of its entities then.

        Raises:
            DimError: It cannot be changed so, or not be saved; the folder stays as it is.
        """
        from dim.linker.changed import changed_folder

        with changed_folder(Path(self.model), "dim serve", self.trust, self.image_root, self.device) as linker:
            change(linker)
        return len(linker)
