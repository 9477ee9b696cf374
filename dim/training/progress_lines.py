"""How far a trainer is, on stderr: Lightning's bar on a terminal, else a line an epoch and one every half minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar

from dim.core.distributed import process_of_run
from dim.core.progress import RUNNING, Bar, Lines, duration
from dim.display.lines import warn
from dim.training.task import LinkingTask


class WholeFit:
    """How long the epochs of a fit still take, with what belongs to them, such as mining and ranking tune."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._starts: list[float] = []
        self._steady = 0.0  # since when a batch follows on another

    def start_epoch(self) -> None:
        """Called as each begins."""
        self._starts.append(self._clock())

    def end_first_batch(self) -> None:
        """Called as the first batch of each is done: what it waited for, such as mining, comes once an epoch."""
        self._steady = self._clock()

    def left(self, trainer: Trainer) -> str:
        """In words, at most, as it may stop early; empty where nobody knows.

        An epoch takes as long as those before it. The first tells by its batches behind the first one, not by what
        follows on them.
        """
        num_epochs, num_batches = trainer.max_epochs or -1, trainer.num_training_batches
        if num_epochs < 2 or not self._starts:
            return ""
        now = self._clock()
        spent = now - self._starts[-1]
        done = trainer.fit_loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        # Of this epoch, should it go on so.
        by_batches = (now - self._steady) * (num_batches - done) / (done - 1) if done > 1 else 0.0
        if (before := len(self._starts) - 1) > 0:
            each = (self._starts[-1] - self._starts[0]) / before
        elif done > 1 or done == num_batches:
            each = spent + by_batches
        else:
            return ""
        seconds = max(each - spent, by_batches) + each * (num_epochs - trainer.current_epoch - 1)
        return f"at most {duration(seconds)} of all {num_epochs} epochs"


class ProgressBar(RichProgressBar):
    """Lightning's bar without the logger's version number; where a method of ours ranks, it counts mentions.

    What a method does beside, such as encoding the KB, is shown below it.
    """

    _num_ranked = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._whole = WholeFit()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to show."""
        super().on_train_start(trainer, pl_module)
        self._start_leading()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        self._whole.start_epoch()
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts it."""
        if batch_idx == 0:
            self._whole.end_first_batch()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands beside the bar."""
        found = {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}
        left = self._whole.left(trainer) if trainer.training else ""
        return found | ({"left": left} if left else {})

    @property
    def total_val_batches_current_dataloader(self) -> int | float:
        """The mentions of tune or dev."""
        return self._total(super().total_val_batches_current_dataloader, self.trainer.val_dataloaders)

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """The mentions of test."""
        return self._total(super().total_test_batches_current_dataloader, self.trainer.test_dataloaders)

    @property
    def total_predict_batches_current_dataloader(self) -> int | float:
        """The mentions that are answered."""
        return self._total(super().total_predict_batches_current_dataloader, self.trainer.predict_dataloaders)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        super().on_validation_start(trainer, pl_module)
        self._listen(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        super().on_test_start(trainer, pl_module)
        self._listen(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        super().on_predict_start(trainer, pl_module)
        self._listen(pl_module)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any, **more: Any) -> None:
        """Nothing where its mentions were counted as they were ranked."""
        if not self._counts_mentions:
            super().on_validation_batch_end(trainer, pl_module, *given, **more)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any, **more: Any) -> None:
        """The same."""
        if not self._counts_mentions:
            super().on_test_batch_end(trainer, pl_module, *given, **more)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *given: Any, **more: Any) -> None:
        """The same."""
        if not self._counts_mentions:
            super().on_predict_batch_end(trainer, pl_module, *given, **more)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends."""
        super().on_validation_end(trainer, pl_module)
        stop_listening(pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends."""
        super().on_test_end(trainer, pl_module)
        stop_listening(pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends."""
        super().on_predict_end(trainer, pl_module)
        stop_listening(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Is gone."""
        super().teardown(trainer, pl_module, stage)
        self._stop_leading()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Is gone."""
        super().on_exception(trainer, pl_module, exception)
        self._stop_leading()

    def _start_leading(self) -> None:
        if self.progress is not None:
            self._stop_leading()
            RUNNING.append((self.progress, self.progress.soft_refresh))

    def _stop_leading(self) -> None:
        RUNNING[:] = [each for each in RUNNING if each[0] is not self.progress]

    @property
    def _counts_mentions(self) -> bool:
        """Not in Lightning's trial of two batches before a fit."""
        return isinstance(self.trainer.lightning_module, LinkingTask) and not self.trainer.sanity_checking

    def _total(self, num_batches: int | float, loader: Any) -> int | float:
        return num_mentions(loader, num_batches) if self._counts_mentions else num_batches

    def _listen(self, module: LightningModule) -> None:
        self._start_leading()
        if isinstance(module, LinkingTask) and self._counts_mentions:
            self._num_ranked = 0
            module.heard = self._advance

    def _advance(self, count: int) -> None:
        self._num_ranked += count
        bar = self.test_progress_bar_id if self.trainer.testing else self.val_progress_bar_id
        bar = self.predict_progress_bar_id if self.trainer.predicting else bar
        if self.progress is not None and bar is not None:
            self.progress.update(bar, completed=self._num_ranked, visible=True)
            self.refresh()


def num_mentions(loader: Any, num_batches: float) -> int:
    """The mentions in the first batches of a loader of ours."""
    return sum(map(len, loader.sampler[: int(num_batches)]))


def stop_listening(module: LightningModule) -> None:
    """Has a task tell nobody of what it ranks: it may be sent to another process."""
    if isinstance(module, LinkingTask):
        module.heard = int


def progress_callback(name: str = "") -> Callback:
    """What shows how far a trainer is, where its output goes: a terminal, or a file.

    Args:
        name: What is fitted, where a command fits more than one.
    """
    return ProgressBar(console_kwargs={"stderr": True}) if sys.stderr.isatty() else TrainingLines(name)


class TrainingLines(Callback):
    """A line at the end of each epoch, and one every half minute within an epoch and while a split is ranked."""

    def __init__(self, name: str = "", say: Callable[[str], None] | None = None) -> None:
        self.name = f"{name}, " if name else ""
        self.say = say or _print
        self._bar: Bar | None = None
        self._lines = ExitStack()
        self._whole = WholeFit()

    def _follow(self, what: str, total: float, note: Callable[[], str] = str) -> None:
        self._bar = Bar(f"{self.name}{what}", int(total), note=note)
        self._lines.close()
        self._lines.enter_context(Lines(self._bar.line, self.say))

    def _follow_ranking(self, split: str, module: LightningModule, loader: Any, num_batches: float) -> None:
        """Counts mentions where a method of ours ranks them: a batch may take minutes."""
        if not isinstance(module, LinkingTask):
            return self._follow(f"{split}, batch", num_batches)
        module.heard = self._advance
        return self._follow(f"{split}, mention", num_mentions(loader, num_batches))

    def _advance(self, count: int = 1) -> None:
        if self._bar is not None:
            self._bar.advance(count)

    def _end(self) -> None:
        self._lines.close()
        self._bar = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says how the epoch before went: its loss is known now."""
        self._say_epoch(trainer, trainer.current_epoch)
        self._whole.start_epoch()
        epoch = f"epoch {_of_all(trainer.current_epoch + 1, trainer)}, batch"
        self._follow(epoch, trainer.num_training_batches, lambda: self._whole.left(trainer))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts it; the rate is that of those behind the first, which waits for what comes once an epoch."""
        self._advance()
        if batch_idx == 0:
            self._whole.end_first_batch()
            if self._bar is not None:
                self._bar.begin()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says how the last epoch went."""
        self._end()
        self._say_epoch(trainer, trainer.current_epoch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count tune or dev."""
        loader, num_batches = trainer.val_dataloaders, _sum(trainer.num_val_batches)
        self._follow_ranking("tune" if trainer.state.fn == "fit" else "dev", pl_module, loader, num_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count test."""
        loader, num_batches = trainer.test_dataloaders, _sum(trainer.num_test_batches)
        self._follow_ranking("test", pl_module, loader, num_batches)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count what is answered."""
        loader, num_batches = trainer.predict_dataloaders, _sum(trainer.num_predict_batches)
        self._follow_ranking("predict", pl_module, loader, num_batches)

    def _begin_batch(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._bar is not None and batch_idx == 0:  # the KB was encoded before
            self._bar.begin()

    def _end_batch(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Counts it, where no mentions are counted as they are ranked."""
        if not isinstance(pl_module, LinkingTask):
            self._advance()

    def _end_ranking(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stop_listening(pl_module)
        self._end()

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = _begin_batch
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _end_batch
    on_validation_end = on_test_end = on_predict_end = _end_ranking

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends."""
        self._end()

    def _say_epoch(self, trainer: Trainer, number: int) -> None:
        found = trainer.callback_metrics
        if "train/loss" in found:
            metrics = ", ".join(f"{name} {float(value):.4f}" for name, value in found.items())
            self.say(f"{self.name}epoch {_of_all(number, trainer)}: {metrics}")


def _of_all(number: int, trainer: Trainer) -> str:
    return f"{number} of {trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else str(number)


def _sum(counts: Any) -> float:
    return float(sum(counts) if isinstance(counts, list) else counts)


def _print(line: str) -> None:
    if process_of_run() == 0:
        warn(line)
