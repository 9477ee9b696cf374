#!/bin/sh
# huggingface_hub 2.4.0: a model downloaded by its commit is not found offline by its name, with all files in the cache.
#
# Expected: who pins a model to the commit that main stands for, and has downloaded it, can load it offline by its name.
# What happens: only a download by a branch's name (or resolve_revision) writes which commit the branch is. By the
# commit, refs/main is never written, not even by snapshot_download or when HfApi.model_info has just said that main is
# this very commit. Offline the name alone then raises LocalEntryNotFoundError: "Cannot find the requested files in the
# disk cache", where they are.
# A user of dim would meet it because dim reads each model at one commit: the second run, without a connection, would
# not find what the first one downloaded. dim notes in refs/ itself what it was told (`_remember` in
# dim/encoders/hub.py); the test is test_without_a_connection_the_cache_says_what_main_was in tests/features/test_hub.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet huggingface_hub==2.4.0
export HF_HUB_CACHE="$work/cache" HF_HUB_OFFLINE=0 PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
"$work/venv/bin/python" - <<'END'
import os
from pathlib import Path

import small_hub

small_hub.serve()
commit = "a" * 40
small_hub.publish("lab/model", commit, {"config.json": b"{}"})

import huggingface_hub
from huggingface_hub.errors import LocalEntryNotFoundError

refs = Path(os.environ["HF_HUB_CACHE"]) / "models--lab--model" / "refs"


def offline(revision):
    try:
        huggingface_hub.hf_hub_download("lab/model", "config.json", revision=revision, local_files_only=True)
    except LocalEntryNotFoundError as error:
        return f"LocalEntryNotFoundError: {error}"
    return "found"


print(f"huggingface_hub {huggingface_hub.__version__}")
assert huggingface_hub.HfApi().model_info("lab/model").sha == commit
huggingface_hub.hf_hub_download("lab/model", "config.json", revision=commit)
huggingface_hub.snapshot_download("lab/model", revision=commit)
by_commit, by_name = offline(commit), offline(None)
print(f"downloaded by its commit, refs/main written: {(refs / 'main').exists()}")
print(f"  offline by its commit: {by_commit}")
print(f"  offline by its name: {by_name}")
assert by_commit == "found", "no longer so: not found by its commit"
assert by_name.startswith("LocalEntryNotFoundError: Cannot find the requested files"), "no longer so: main is known"
huggingface_hub.hf_hub_download("lab/model", "config.json")
print(f"downloaded by its name, refs/main written: {(refs / 'main').exists()}")
print(f"  offline by its name: {offline(None)}")
assert offline(None) == "found", "no longer so: not found by its name"
END
