"""Long work is never silent: a bar on a terminal, plain lines in a file."""

import io
import queue
import re

import pytest
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.demos.boring_classes import BoringModel
from rich.console import Console
from tiny_fit import tiny_options, tiny_world
from waiting import wait_until

import dim.core.progress
from dim.__main__ import main
from dim.core.progress import INTERVAL, RUNNING, Bar, Lines, shown, tracked
from dim.data.dataset import Dataset
from dim.training.progress_lines import ProgressBar, TrainingLines, WholeFit


class Moments:
    """A clock that the test moves: `pass_one` lets one interval pass, and returns when its line was said."""

    def __init__(self):
        self.asked, self.answers, self.lines = [], queue.Queue(), queue.Queue()

    def wait(self, seconds):
        self.asked.append(seconds)
        return self.answers.get()

    def pass_one(self):
        self.answers.put(False)
        return self.lines.get()

    def end(self):
        self.answers.put(True)


def test_a_line_comes_every_half_minute_also_while_the_work_stands_still():
    moments, bar = Moments(), Bar("link", 100)
    with Lines(bar.line, moments.lines.put, moments.wait):
        assert moments.pass_one().startswith("link: 0 of 100 (0%)")
        bar.advance(30)
        assert moments.pass_one().startswith("link: 30 of 100 (30%)")
        assert moments.pass_one().startswith("link: 30 of 100 (30%)")
        moments.end()
    assert set(moments.asked) == {INTERVAL}
    assert INTERVAL <= 30


def test_a_line_tells_rate_time_left_unit_and_note():
    ticks = iter([0.0, 30.0, 60.0])
    bar = Bar("reading a.json", 400 * 10**6, unit="MB", note=lambda: "limit: disk", clock=lambda: next(ticks))
    bar.advance(300 * 10**6)
    assert bar.line() == "reading a.json: 300 of 400 MB (75%), 10/s, 10 s left, limit: disk"
    bar.advance(100 * 10**6)
    assert bar.line() == "reading a.json: 400 of 400 MB (100%), 6.7/s, 0 s left, limit: disk"


def test_what_was_done_before_does_not_count_for_the_rate():
    ticks = iter([0.0, 10.0])
    bar = Bar("embed", 100, done=80, clock=lambda: next(ticks))
    bar.advance(10)
    assert bar.line() == "embed: 90 of 100 (90%), 1/s, 10 s left"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_gets_a_bar_and_a_file_lines(monkeypatch, is_terminal):
    moments, out = Moments(), io.StringIO()
    monkeypatch.setattr(dim.core.progress, "Lines", lambda line, say: Lines(line, moments.lines.put, moments.wait))
    with shown("embed", 4, console=Console(file=out, force_terminal=is_terminal, width=80)) as advance:
        advance(3)
        line = "" if is_terminal else moments.pass_one()
        moments.end()
    assert line.startswith("" if is_terminal else "embed: 3 of 4 (75%)")
    assert ("━" in out.getvalue()) == is_terminal


def test_what_is_silent_says_nothing_and_gives_all_items():
    assert list(tracked([1, 2], "x", 2, silent=True)) == [1, 2]


@pytest.mark.parametrize(("max_epochs", "stays"), [(3, ""), (1, "no estimate"), (-1, "no estimate")])
def test_the_time_of_all_epochs_is_that_of_the_first_batches_then_that_of_the_epochs_before(max_epochs, stays):
    minutes, said = [0.0], []
    whole = WholeFit(clock=lambda: 60 * minutes[0])

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, module):
            whole.start_epoch()
            said.append(whole.left(trainer))

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            minutes[0] += 10
            if batch_idx == 0:
                minutes[0] += 20  # negatives were mined before it, once an epoch
                whole.end_first_batch()
            said.append(whole.left(trainer))

        def on_validation_end(self, trainer, module):
            minutes[0] += 20  # which the first epoch does not know of

    options = {"max_epochs": max_epochs, "max_steps": 9, "limit_train_batches": 3, "limit_val_batches": 1}
    shown = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    Trainer(accelerator="cpu", callbacks=[Watch()], enable_model_summary=False, **options, **shown).fit(BoringModel())
    if stays:
        assert set(said) == {""}
        return
    first = ["", "", "at most 110 min of all 3 epochs", "at most 100 min of all 3 epochs"]
    second = ["2 h 20 min", "110 min", "100 min", "90 min"]
    third = ["70 min", "40 min", "30 min", "20 min"]
    assert said == [*first, *(f"at most {time} of all 3 epochs" for time in (*second, *third))]


def test_the_rate_of_batches_leaves_out_what_the_first_one_waits_for():
    moments = iter([0.0, 600.0, 620.0])
    bar = Bar("epoch 1 of 3, batch", 255, clock=lambda: next(moments))
    bar.advance()
    bar.begin()  # at 600 s: nine minutes of mining were no batch
    bar.advance(10)
    assert bar.line() == "epoch 1 of 3, batch: 11 of 255 (4%), 0.5/s, 8 min left"


def test_a_fit_in_a_log_file_says_a_line_an_epoch(tmp_path_factory, tmp_path, capsys):
    world = tiny_world(tmp_path_factory)
    options = ["--trainer.max_epochs", "3", "--trainer.enable_progress_bar", "true"]
    assert main(["fit", *tiny_options(world, tmp_path / "run", *options)]) == 0
    out, shown_lines = capsys.readouterr()
    for number in (1, 2, 3):
        assert re.search(rf"^epoch {number} of 3: .*train/loss \d\.\d+", shown_lines, re.MULTILINE)
    assert len(re.findall(r"^epoch ", shown_lines, re.MULTILINE)) == 3
    assert "tune/mrr" in shown_lines
    assert "epoch 1" not in out
    assert "━━━" not in shown_lines + out.partition("full_kb")[0]


def test_lines_of_a_fold_begin_with_its_name():
    said = []
    lines = TrainingLines("fold 1 of 5", said.append)
    lines._follow("epoch 2 of 3, batch", 10)
    lines._advance()
    assert lines._bar is not None
    assert lines._bar.line().startswith("fold 1 of 5, epoch 2 of 3, batch: 1 of 10")
    lines._end()


def test_within_other_work_the_lines_of_the_inner_alone_are_said():
    outer, inner = Moments(), Moments()
    with Lines(lambda: "outer", outer.lines.put, outer.wait):
        with Lines(lambda: "inner", inner.lines.put, inner.wait):
            outer.answers.put(False)
            assert inner.pass_one() == "inner"
            wait_until(lambda: len(outer.asked) == 2)  # its half minute passed, and it waits for the next
            inner.end()
        assert outer.lines.empty()
        assert outer.pass_one() == "outer"
        outer.end()


def test_within_other_work_a_bar_joins_that_on_the_terminal_and_goes_with_its_work():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with shown("link", 4, console=console), shown("entities", 2, console=console) as advance:
        advance(2)
        [(bars, _)] = RUNNING
        assert [(task.description, task.completed) for task in bars.tasks] == [("link", 0), ("entities", 2)]
    assert [task.visible for task in bars.tasks] == [True, False]
    assert RUNNING == []


def test_work_within_an_evaluation_is_seen_below_the_trainers_bar():
    out = io.StringIO()
    terminal = {"file": out, "force_terminal": True, "width": 80}

    class Works(Callback):
        def on_validation_start(self, trainer, module):
            with shown("names indexed", 5, console=Console(**terminal)) as advance:
                advance(3)
                wait_until(lambda: "3/5" in out.getvalue())

    bars = [ProgressBar(console_kwargs=terminal), Works()]
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    Trainer(accelerator="cpu", callbacks=bars, limit_val_batches=1, **quiet).validate(BoringModel(), verbose=False)
    assert RUNNING == []


def test_each_stage_of_an_evaluation_is_counted_by_itself(tmp_path_factory, tmp_path, monkeypatch):
    world, lines, said_alone = tiny_world(tmp_path_factory), [], []
    advance = Bar.advance

    def heard(self, count=1):
        advance(self, count)
        innermost = Lines._innermost_last[-1].line.__self__
        if "epoch" not in self.name:
            lines.append(self.line().partition(" (")[0])
            said_alone.append(innermost is self)

    monkeypatch.setattr(Bar, "advance", heard)
    options = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "true"]
    assert main(["fit", *tiny_options(world, tmp_path / "run", *options)]) == 0
    mentions = Dataset(world).mentions["split"].value_counts()
    tune, dev, num = mentions["tune"], mentions["dev"], len(Dataset(world).entities)
    stages = [
        ("entities encoded", num),
        ("tune, mention", tune),
        ("entities encoded", num),
        ("dev, mention", dev),
        ("names indexed", num),
        ("string floor, mention", dev),
        ("alias floor, mention", dev),
        ("frozen vectors, mention", dev),
    ]
    ended = [line for line in lines if (counts := line.split(": ")[1].split(" of "))[0] == counts[1]]
    assert ended[-len(stages) :] == [f"{name}: {count:,} of {count:,}" for name, count in stages]
    assert all(said_alone)
    assert not Lines._innermost_last


def test_the_bar_of_a_terminal_counts_mentions_where_they_are_ranked(tmp_path_factory, tmp_path, monkeypatch):
    world, bars, out, said = tiny_world(tmp_path_factory), [], io.StringIO(), set()

    def on_a_terminal():
        bars.append(ProgressBar(console_kwargs={"file": out, "force_terminal": True, "width": 100}))
        return bars[-1]

    advance, batch_end = ProgressBar._advance, ProgressBar.on_train_batch_end

    def note(self):
        said.update((task.description, task.completed, task.total) for task in self.progress.tasks if task.visible)

    def heard(self, count):
        advance(self, count)
        note(self)

    def trained(self, *given):
        batch_end(self, *given)
        note(self)

    monkeypatch.setattr("dim.cli.trainer.progress_callback", on_a_terminal)
    monkeypatch.setattr(ProgressBar, "_advance", heard)
    monkeypatch.setattr(ProgressBar, "on_train_batch_end", trained)
    shown = ["--trainer.enable_progress_bar", "true"]
    assert main(["fit", *tiny_options(world, tmp_path / "run", "--trainer.max_epochs", "1", *shown)]) == 0
    config = ["--config", str(tmp_path / "run" / "config.yaml"), *shown]
    assert main(["test", *config]) == 0
    assert main(["predict", *config, "--data.predict_split", "train"]) == 0
    counts = Dataset(world).mentions["split"].value_counts()
    for what, splits in (("Validation", ("tune", "dev")), ("Testing", ("test",)), ("Predicting", ("train",))):
        found = {(done, total) for name, done, total in said if what in name}
        assert {total for _, total in found} == {counts[split] for split in splits}
        assert {(counts[split], counts[split]) for split in splits} <= found
    assert any("Epoch" in name and total < counts["train"] for name, _, total in said)  # a step stays a step
    assert len(bars) == 3
    assert "━" in out.getvalue()
