"""What a stranger's folder would have run: the module `own_marker` leaves a file where it is imported or made."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "own_marker"
SOURCE = """
from pathlib import Path
from dim.encoders.tiny import TinyTextEncoder
from dim.training.task import LinkingTask

(Path(__file__).parent / "imported").touch()

class Marker(TinyTextEncoder):
    pass
"""
SUB = f"class_path: {NAME}.Marker\n"


@contextmanager
def importable(folder: Path) -> Iterator[Path]:
    """A folder with the module, a package of it and a YAML file that names it, from which it can be imported.

    Yields the file that is there once the module was imported.
    """
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.py").write_text(SOURCE)
    (folder / "further.yaml").write_text(SUB)
    sys.path.insert(0, str(folder))
    try:
        yield folder / "imported"
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(NAME, None)


def forms(folder: Path) -> dict[str, object]:
    """The class by every form in which a parser of configurations takes one."""
    path = f"{NAME}.Marker"
    return {
        "text": path,
        "module": NAME,
        "bare name": "Marker",
        "mapping": {"class_path": path},
        "mapping with options": {"class_path": path, "init_args": {"width": 8}},
        "mapping with dict_kwargs": {"class_path": path, "dict_kwargs": {"width": 8}},
        "module of a module": f"dim.linker.{path}",
        "file": str(folder / "further.yaml"),
        "list": [path],
        "list of mappings": [{"class_path": path}],
        "known class, strange options": {"class_path": "TinyTextEncoder", "init_args": {"width": {"class_path": path}}},
        "known class, strange dict_kwargs": {"class_path": "TinyTextEncoder", "dict_kwargs": {"width": path}},
        "class inside of a loss": {
            "class_path": "pytorch_metric_learning.losses.NTXentLoss",
            "init_args": {"distance": {"class_path": path}},
        },
        "class inside of a loss, in a list": {
            "class_path": "pytorch_metric_learning.losses.MultipleLosses",
            "init_args": {"losses": [{"class_path": path}]},
        },
        "options by a dotted key": {"class_path": "TinyTextEncoder", "init_args.width": path},
        "no text": 7,
    }
