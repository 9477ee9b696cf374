#!/bin/sh
# huggingface_hub 2.4.0: ModelHubMixin.save_pretrained removes a config.json, even where saving then is refused.
#
# Expected: a class that refuses a folder with somebody's files in it, or fails to write its own, leaves them; a class
# that has no config leaves config.json alone.
# What happens: save_pretrained unlinks config.json in the folder before it calls the class's `_save_pretrained`, the
# one method that a class is to write. So a check there comes too late; the other files stay, without their config. The
# same where all goes well and the class has no config (nothing comes in its place). The docstring does not say so.
# A user of dim would meet it who names the folder of an encoder as the place for a linker: the refusal would have
# broken the encoder. dim checks the folder before it calls the mixin's method (`Linker.save_pretrained` in
# dim/linker/linker.py, by `check_target` in dim/core/output.py); the test is
# test_the_hubs_way_to_save_keeps_to_the_same_rule in tests/linker/test_linker_folder.py.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet huggingface_hub==2.4.0
cd "$work"
"$work/venv/bin/python" - <<'END'
from pathlib import Path

import huggingface_hub
from huggingface_hub import ModelHubMixin


class Careful(ModelHubMixin):
    """Writes into an empty folder alone."""

    def _save_pretrained(self, save_directory):
        if any(save_directory.iterdir()):
            raise FileExistsError("other files stand there")
        (save_directory / "words.txt").write_text("anna")


class Broken(ModelHubMixin):
    """Cannot write its file, as where a disk is full."""

    def _save_pretrained(self, save_directory):
        raise OSError("no space left")


class Plain(ModelHubMixin):
    """Has no config."""

    def _save_pretrained(self, save_directory):
        (save_directory / "words.txt").write_text("anna")


print(f"huggingface_hub {huggingface_hub.__version__}")
ends, left = {}, {}
for kind in (Careful, Broken, Plain):
    folder = Path(kind.__name__)
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_text("somebody's weights")
    (folder / "README.md").write_text("somebody's model")
    try:
        kind().save_pretrained(folder)
        ends[kind] = "saved"
    except OSError as error:
        ends[kind] = repr(error)
    left[kind] = sorted(path.name for path in folder.iterdir())
    print(f"{kind.__name__}, onto config.json and others: {ends[kind]}; there now: {', '.join(left[kind])}")
assert ends[Careful].startswith("FileExistsError") and ends[Broken].startswith("OSError"), "no longer so: other errors"
assert ends[Plain] == "saved", "no longer so: it does not save"
for kind, names in left.items():
    assert {"README.md", "model.safetensors"} <= set(names), "no longer so: other files go, too"
    assert "config.json" not in names, f"no longer so: {kind.__name__} leaves config.json"
END
