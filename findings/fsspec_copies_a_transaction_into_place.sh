#!/bin/sh
# fsspec 2026.9.0: what a transaction writes to a local disk may be copied under its final name, and not renamed.
#
# Expected: a file that is written in `with fs.transaction` has its name at the end, in one step: there is the old
# file or the new one. Lightning saves its checkpoints so, by a function that it calls atomic save.
# What happens: the file is written into the system's temporary folder (TMPDIR), and shutil.move takes it to its place.
# Where that is on another disk, as with /tmp in memory or a run on a network disk, a move is a copy: the old file is cut
# to nothing first, and whoever reads it meanwhile, or is left with it after a kill, has a part of the new one.
# A user of dim would meet it who is killed while a checkpoint is saved: `last.ckpt` was cut, and the one before was
# gone. dim writes checkpoints beside their place and renames them (`WholeCheckpoints` in dim/training/checkpoint.py); the test
# is test_no_checkpoint_passes_through_another_folder in tests/training/test_checkpoint.py.
set -eu
work=$(mktemp -d)
other=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work" "$other"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet fsspec==2026.9.0
cd "$work"
TMPDIR="$other" "$work/venv/bin/python" - "$work" "$other" <<'END'
import os
import shutil
import sys
from pathlib import Path

import fsspec

here, temporary = map(Path, sys.argv[1:])
if here.stat().st_dev == temporary.stat().st_dev:
    sys.exit("cannot be seen here: the two folders are on one disk")
target = here / "last.ckpt"
target.write_bytes(b"old" * 1000)
seen = []


def watch(event, arguments):
    """What is done to the file at its final name, and what stands there when it begins."""
    if event in ("os.rename", "shutil.copyfile", "shutil.move") and str(arguments[1]) == str(target):
        seen.append((event, target.stat().st_size))
    if event == "open" and str(arguments[0]) == str(target) and "w" in str(arguments[1]):
        seen.append(("opened for writing", target.stat().st_size))


sys.addaudithook(watch)
files = fsspec.filesystem("file")
with files.transaction, files.open(str(target), "wb") as file:
    file.write(b"new" * 1000)
print(f"fsspec {fsspec.__version__}")
for event, size in seen:
    print(f"{event}: {target.name}, of {size} bytes then")
assert target.read_bytes() == b"new" * 1000
steps = [event for event, _ in seen]
assert "opened for writing" in steps and "shutil.copyfile" in steps, "no longer so: it is renamed into its place"
END
