"""A linker by its name alone: a folder, a run, or an id on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from dim.core.checksums import sha256
from dim.core.files import hash_parts
from dim.core.known_classes import trusted_by
from dim.errors import ConfigError
from dim.evaluation.result_files import BEST
from dim.inference.places import CONFIG, JUDGE_FOLDER, RANKER_FOLDER, read_config
from dim.judge.folder import SAVED
from dim.linker.folder import MANIFEST
from dim.linker.linker import Linker
from dim.linker.places import check_linker, check_name
from dim.linker.sources import folder_of

NOBODY = "none"  #: On a command line: no judge.


def is_run(folder: Path) -> bool:
    """Whether a run stands there, and no linker."""
    return (folder / CONFIG).exists() and not (folder / MANIFEST).exists()


def check_is_folder(model: str) -> None:
    """Raises ConfigError, or DataError, where no linker's folder stands there, which alone can be changed."""
    folder = check_name(model)
    if is_run(folder) or not folder.is_dir():
        found = f"no folder {model}"
        remedy = "Check the path; of an id on the hub, save the linker first: Linker.from_pretrained(ID).save(FOLDER)."
        if is_run(folder):
            found, remedy = f"a run at {model}", "Write its linker, and serve that: dim export RUN FOLDER."
        raise ConfigError("a linker's folder, whose entities may come and go", found, remedy)
    check_linker(folder)


def content_of(model: str, dataset: Path | None = None) -> str:
    """A hash of what a linker answers by, without opening it; a folder that is replaced has another.

    Of a linker's folder its manifest counts, which has the checksum of each file; of a run its configuration, weights
    and ranker, and the hashes of its dataset.

    Raises:
        DataError: There is no linker.
    """
    folder = check_name(model)
    if not is_run(folder):
        folder = folder_of(model)
        check_linker(folder)
        files = [folder / MANIFEST]
    else:
        ranker = sorted(
            path for name in (RANKER_FOLDER, JUDGE_FOLDER) for path in (folder / name).rglob("*") if path.is_file()
        )
        root = dataset or Path(str(read_config(folder)["data"]["root"]))
        files = [folder / CONFIG, folder / BEST, *ranker, root / "dataset.json"]
    return hash_parts(bytes.fromhex(sha256(file)) if file.is_file() else b"" for file in files)


def open_linker(
    model: str,
    device: str = "auto",
    trust: str | None = None,
    dataset: Path | None = None,
    image_root: Path | None = None,
    judge: str = SAVED,
) -> Linker:
    """The linker of a folder that `save` or `dim export` wrote, of a run of `dim fit`, or of the hub.

    Args:
        model: A folder, or an id on the hub.
        device: Where towers and encoders compute.
        trust: Packages, separated by commas, whose classes the folder may name; they are imported.
        dataset: Of a run, where its dataset stands now, if it has moved.
        image_root: Of a linker's folder, where the images of its KB stand that are not in it.
        judge: `saved`: the judge that it has, if any; `none`: nobody judges; or the URL of the server of its judge.

    Raises:
        DataError: There is no linker, or a damaged one.
        ConfigError: The run's method has none, or `dataset` stands beside what is no run, or `image_root` beside one.
    """
    folder, asked = check_name(model), None if judge == NOBODY else judge
    if is_run(folder):
        if image_root is not None:
            remedy = "Leave it out: the run's dataset says where its images stand."
            raise ConfigError("a linker's folder beside --image_root", f"a run at {model}", remedy)
        return Linker.from_checkpoint(folder, device, dataset=dataset, trusted=trusted_by(trust), judge=asked)
    if dataset is not None:
        raise ConfigError("a run beside --dataset", f"{model}, which has its KB in it", "Leave --dataset out.")
    return Linker.from_pretrained(model, device, trusted=trusted_by(trust), image_root=image_root, judge=asked)
