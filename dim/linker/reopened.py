"""Whether a linker's folder opens: asked of a new process, which knows nothing that this one knows."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dim.errors import DataError, DimError
from dim.images.decoder_process import same_imports

if TYPE_CHECKING:
    from dim.linker.answer import Answer
    from dim.linker.linker import Linker

TOLERANCE = 1e-3  #: Of a score: a batch of another shape may change its last digits.
_PROGRAM = "from dim.linker.reopened import answer_here; answer_here()"


def check_opens(folder: Path, linker: Linker, trusted: Sequence[str] = ()) -> None:
    """Opens a folder in a new process, asks it one question with an image, and compares its answers with the linker's.

    It takes the time, and as much memory again, that opening the linker and its encoders takes.

    Raises:
        DataError: It does not open, or answers something else.
    """
    first = next(iter(linker.knowledge), None)
    mention, image = first.name if first else "a name", _picture() if linker.reads_images else None
    asked = {
        "folder": str(folder.absolute()),
        "trusted": list(trusted),
        "mention": mention,
        "image": None if image is None else base64.b64encode(image).decode(),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM],  # no module of the folder that it is called in
        input=json.dumps(asked),
        env=same_imports(),
        capture_output=True,
        text=True,
    )
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise _refused(last, "Report this as a fault of dim, with the encoders that the run has.") from error
    if "error" in said:
        expected, found, remedy = said["error"]
        raise _refused(f"expected {expected}, found {found}", remedy)
    check_same(linker.link(mention, mention, image), said["answers"])


def check_same(here: Sequence[Answer], there: Sequence[tuple[str, float]]) -> None:
    """Raises DataError where answers differ from the ids and scores that another process gave."""
    if len(here) != len(there) or not all(
        math.isclose(answer.score, score, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for answer, (_, score) in zip(here, there, strict=True)
    ):
        shown = [[answer.id, answer.score] for answer in here[:2]]
        raise _refused(
            f"other answers ({list(there[:2])} in the place of {shown})",
            "Has a file of an encoder changed since the run was opened? Then fit again.",
        )


def answer_here() -> None:
    """What the new process does: reads what is asked from its input, and writes the answers as one line of JSON."""
    from dim.linker.linker import Linker

    asked = json.load(sys.stdin)
    image = None if asked["image"] is None else base64.b64decode(asked["image"])
    said: dict[str, list[Any]]
    try:
        linker = Linker.from_pretrained(asked["folder"], trusted=asked["trusted"])
        answers = linker.link(asked["mention"], asked["mention"], image)
    except DimError as error:
        said = {"error": [error.expected, error.found, error.remedy]}
    else:
        said = {"answers": [[answer.id, answer.score] for answer in answers]}
    sys.stdout.write(json.dumps(said) + "\n")


def _picture() -> bytes:
    """A small picture as the bytes of a file."""
    written = BytesIO()
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(written, "PNG")
    return written.getvalue()


def _refused(found: str, remedy: str) -> DataError:
    return DataError("a linker that opens again in a new process, and answers the same", found, remedy)
