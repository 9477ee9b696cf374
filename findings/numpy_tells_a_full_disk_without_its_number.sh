#!/bin/sh
# numpy 2.4.6: np.save where there is no room raises an OSError without errno.
#
# Expected: like any write in Python, it raises OSError with errno ENOSPC (a full disk), EFBIG or EDQUOT (a limit), so
# that a program can say "the disk is full" and what to do.
# What happens: an array goes to a real file through C's stdio (`ndarray.tofile`), which counts the items written and
# raises OSError("5000 requested and 1008 written") with errno None. What asks errno takes a full disk for a fault of
# the program. The same array written as bytes raises the usual error. The cut file stays where it is.
# A user of dim would meet it who embeds onto a full disk: dim/core/error_numbers.py knows these words, and
# tests/core/test_shortages.py asks for a message with the remedy.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'END'
import errno
import resource
from pathlib import Path

import numpy as np

# Python ignores the signal of this limit, so that a write beyond it fails as one on a full disk does.
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
array = np.ones(5000)
errors = {}
for how, write in {
    "np.save": lambda: np.save("saved.npy", array),
    "ndarray.tofile": lambda: array.tofile("filed.bin"),
    "its bytes": lambda: Path("bytes.bin").write_bytes(array.tobytes()),
}.items():
    try:
        write()
    except OSError as error:
        errors[how] = error
        print(f"{how}: {error!r}, errno {error.errno}, filename {error.filename}")
print(f"numpy {np.__version__}")
assert errors["its bytes"].errno == errno.EFBIG, "no longer so: the limit does not count"
for how in ("np.save", "ndarray.tofile"):
    assert errors[how].errno is None and "requested" in str(errors[how]), f"no longer so: {how} tells the number"
assert Path("saved.npy").stat().st_size > 0, "no longer so: nothing is left of it"
END
