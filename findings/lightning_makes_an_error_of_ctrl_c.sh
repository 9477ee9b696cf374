#!/bin/sh
# pytorch-lightning 2.6.6: Ctrl-C in Trainer.fit becomes SystemExit(1), and after one in setup no Ctrl-C works any more.
#
# Expected: as elsewhere in Python, Ctrl-C (SIGINT) leaves fit as KeyboardInterrupt; a program that does nothing about
# it ends as interrupted (130 in a shell), not as failed, and SIGINT has the handler that it had before.
# What happens: fit raises SystemExit with code 1, what an error gives, too: `except KeyboardInterrupt` around it sees
# nothing. Interrupted before its loops begin (here in setup), it also leaves SIGINT ignored for good: who catches the
# exit (a notebook, a sweep, a test) has a process that Ctrl-C does not stop, and a second fit runs to its end.
# Interrupted while it trains, it gives the handler back.
# A user of dim would meet a `dim fit` that ends like one that failed, without a word on how to go on; and dim embeds
# in setup what is missing. dim raises KeyboardInterrupt again and gives SIGINT its handler back (`_run_subcommand` in
# dim/cli/trainer.py), and ends with 130 (`main` in dim/__main__.py); the test (of an interrupt in training) is
# test_fit_keeps_the_last_finished_epoch in tests/test_interrupts.py.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 pytorch-lightning==2.6.6
cd "$work"
"$work/venv/bin/python" - <<'END'
import logging
import os
import signal
import warnings

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, index):
        return self.weight**2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class CtrlC(lightning.Callback):
    """Sends what a terminal sends, in the setup or in the second epoch of three."""

    def __init__(self, place):
        self.place = place

    def setup(self, trainer, module, stage):
        if self.place == "setup":
            os.kill(os.getpid(), signal.SIGINT)

    def on_train_epoch_start(self, trainer, module):
        if self.place == "training" and trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


def loop():
    os.kill(os.getpid(), signal.SIGINT)


def fit(place):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"accelerator": "cpu", "devices": 1, "max_epochs": 3, "enable_checkpointing": False}
    lightning.Trainer(callbacks=[CtrlC(place)], **options, **quiet).fit(Model(), DataLoader(torch.zeros(2)))


def interrupted(what, work, *arguments):
    """How it ends, and the handler of SIGINT afterwards."""
    try:
        work(*arguments)
        end = "goes on, nothing raised"
    except BaseException as error:
        end = repr(error)
    handler = signal.getsignal(signal.SIGINT)
    print(f"{what}, interrupted: {end}; SIGINT has {getattr(handler, '__name__', None) or handler.name} afterwards")
    return end, handler


print(f"pytorch-lightning {lightning.__version__}")
signal.signal(signal.SIGINT, signal.default_int_handler)  # Python's; a shell's background job begins without
own = interrupted("a function", loop)
training = interrupted("fit, in training", fit, "training")
setup = interrupted("fit, in setup", fit, "setup")
after = interrupted("a function after that", loop)
again = interrupted("fit after that, in training", fit, "training")
assert own == ("KeyboardInterrupt()", signal.default_int_handler), "no longer so: Python's own"
assert training == ("SystemExit(1)", signal.default_int_handler), "no longer so: fit ends otherwise"
assert setup == ("SystemExit(1)", signal.SIG_IGN), "no longer so: the handler comes back"
assert after == again == ("goes on, nothing raised", signal.SIG_IGN), "no longer so: Ctrl-C works again"
END
