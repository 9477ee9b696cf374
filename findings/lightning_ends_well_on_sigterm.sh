#!/bin/sh
# pytorch-lightning 2.6.6: after SIGTERM `fit` and `validate` end the process with status 0, and `predict` goes on to its end.
#
# Expected: `kill`, a time limit or a container that stops ends a Python program at once, with a status that says so
# (143 in a shell), as it does before a Trainer begins.
# What happens: a Trainer takes SIGTERM for itself. `fit` and `validate` finish the batch that runs and then leave the
# program with status 0, without a line: `train && export` exports half a training. Where the signal comes at the end of
# an epoch of `validate`, or anywhere in `predict`, nothing happens at all: the program goes on.
# A user of dim would meet a `dim validate` that `kill` did not end until all was written, and a `dim fit` that was killed
# and looked done. dim takes SIGTERM before Lightning does (dim/core/termination.py): every command ends as after Ctrl-C,
# with one line on how to go on, and with 143 (tests/test_interrupts.py).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 pytorch-lightning==2.6.6
cd "$work"
cat > run.py <<'END'
import logging
import os
import signal
import sys
import warnings

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
command, place = sys.argv[1:]


def kill_at(here):
    if here == place:
        os.kill(os.getpid(), signal.SIGTERM)


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, index):
        kill_at(f"batch {index}")
        return self.weight**2

    def validation_step(self, batch, index):
        if command == "validate":
            kill_at(f"batch {index}")

    def on_validation_epoch_end(self):
        if command == "validate":
            kill_at("the end")

    def predict_step(self, batch, index):
        kill_at(f"batch {index}")
        print(f"predicted {index}", flush=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


if command == "nothing":
    kill_at(place)
quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
trainer = lightning.Trainer(accelerator="cpu", devices=1, max_epochs=2, num_sanity_val_steps=0, **quiet)
data = DataLoader(torch.zeros(3))
getattr(trainer, command)(Model(), data)
print("went on", flush=True)
END
"$work/venv/bin/python" -c "import pytorch_lightning as l; print('pytorch-lightning', l.__version__)"
check() { # COMMAND PLACE STATUS LAST-LINE
    status=0
    said=$("$work/venv/bin/python" run.py "$1" "$2" 2>/dev/null) || status=$?
    last=$(printf '%s\n' "$said" | tail -n 1)
    echo "SIGTERM in $1, at $2: status $status, last line '$last'"
    [ "$status" = "$3" ] && [ "$last" = "$4" ] || { echo "no longer so: $3 and '$4' before"; exit 1; }
}
check nothing now 143 ''
check fit 'batch 0' 0 ''
check validate 'batch 0' 0 ''
check validate 'the end' 0 'went on'
check predict 'batch 0' 0 'went on'
