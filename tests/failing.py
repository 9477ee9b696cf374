"""Callbacks for `--trainer.callbacks failing.…`: a training that fails, or is killed, mostly in its second epoch."""

import os
import signal

from pytorch_lightning import Callback


class _Failing(Callback):
    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            self.fail()


class Crash(_Failing):
    """As an out-of-memory error would."""

    def fail(self):
        raise RuntimeError("the disk fell out")


class Kill(_Failing):
    """As the machine's owner would."""

    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Interrupt(_Failing):
    """As Ctrl-C would."""

    def fail(self):
        signal.raise_signal(signal.SIGINT)


class TerminateBesideResult(Callback):
    """As `kill` would, once all mentions are ranked and nothing is written."""

    def on_validation_end(self, trainer, pl_module):
        if trainer.state.fn == "validate":
            signal.raise_signal(signal.SIGTERM)


class InterruptSetup(Callback):
    """As an impatient user would: Ctrl-C before the first epoch, and again while the trainer ends."""

    def setup(self, trainer, pl_module, stage):
        signal.raise_signal(signal.SIGINT)

    def on_exception(self, trainer, pl_module, exception):
        signal.raise_signal(signal.SIGINT)
