"""Callbacks for `--trainer.callbacks failing.…`: a training that fails, or is killed, mostly in its second epoch."""

import os
import signal

from pytorch_lightning import Callback


class Crash(Callback):
    """As an out-of-memory error would."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise RuntimeError("the disk fell out")


class Kill(Callback):
    """As the machine's owner would."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Interrupt(Callback):
    """As Ctrl-C would."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)


class InterruptSetup(Callback):
    """As an impatient user would: Ctrl-C before the first epoch, and again while the trainer ends."""

    def setup(self, trainer, pl_module, stage):
        signal.raise_signal(signal.SIGINT)

    def on_exception(self, trainer, pl_module, exception):
        signal.raise_signal(signal.SIGINT)
