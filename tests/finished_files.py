"""What a folder holds of finished work."""

from pathlib import Path

from dim.core.locks import LOCK_SUFFIX

LEFT_OUT = ("log.jsonl", LOCK_SUFFIX)  #: Logs hold dates; a kill leaves the file of a lock, which nobody holds then.


def finished_files(folder: Path, root: Path | None = None) -> dict[str, bytes]:
    """The bytes of each file but logs and locks, by its place below `root`."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(LEFT_OUT))
    return {path.relative_to(root or folder).as_posix(): path.read_bytes() for path in files}
