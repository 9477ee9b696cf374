"""SIGKILL again and again: nothing lost, nothing doubled, nothing half, and nothing left in the end."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import writing_commands as writing
from forked_commands import command, ended, num_events
from llm_servers import KEY, FaultyServer
from refreshing import VARIANT, kind_answer, num_answers
from releases import write_table
from waiting import HANG, wait_until
from writing_commands import Case, leftovers, whole_lines

from dim.__main__ import main
from dim.data.dataset import Dataset

OTHER_DISK = Path("/dev/shm")
ENVIRONMENT = {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a command is killed."""
    return 30 if request.config.getoption("--long") else 1


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on another file system than the temporary folder."""
    if not os.access(OTHER_DISK, os.W_OK) or OTHER_DISK.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip(f"{OTHER_DISK} is no other file system than {tempfile.gettempdir()}")
    folder = Path(tempfile.mkdtemp(dir=OTHER_DISK))
    yield folder
    shutil.rmtree(folder)


def check_kills(case: Case, root: Path, tmp_path: Path, kills: int) -> None:
    """Kills a command so often, at moments spread over its work, each time where the last one left it."""
    log, before = tmp_path / "log", tmp_path / "before"

    def begin() -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(before, root)
        case.begin(root)

    root.mkdir(exist_ok=True)
    case.make(root)
    shutil.copytree(root, before)
    begin()
    count = num_events(case.args(root), log, root, environment=ENVIRONMENT)
    wanted = case.finished(root)
    begin()
    moments = [1 + (place * (count - 1)) // max(1, kills - 1) if kills > 1 else count // 2 for place in range(kills)]
    Random(0).shuffle(moments)
    num_killed = 0
    for moment in moments:
        while True:
            if case.is_done(root):
                assert case.finished(root) == wanted
                begin()
            log.unlink(missing_ok=True)
            code = ended(case.args(root), log, watched=(root, moment), environment=ENVIRONMENT)
            assert code in (0, -signal.SIGKILL), log.read_text()
            if code:
                break
            # What an earlier kill had left to be done was less than that: from the beginning.
            assert case.finished(root) == wanted
            begin()
        num_killed += 1
        case.failed()
        case.check(root)
        assert len({path.name for path in leftovers(root) if path.is_dir()}) <= 4, "what killed ones left piles up"
    log.unlink()
    assert case.is_done(root) or ended(case.args(root), log, environment=ENVIRONMENT) == 0, log.read_text()
    assert not log.exists() or "Traceback" not in log.read_text()
    assert case.finished(root) == wanted
    assert not leftovers(root)
    assert num_killed == kills


def test_fit_with_its_run_on_another_disk(
    other_disk: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kills: int
) -> None:
    check_kills(writing.of_fit(tmp_path_factory), other_disk / "root", tmp_path, kills)


CASES = [
    *(writing.of_save, writing.of_add, writing.of_rank, writing.of_link, writing.of_link_csv),
    *(writing.of_fit_overwrite, writing.of_prepare, writing.of_caption),
]


@pytest.mark.long
@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__[3:])
def test_every_writer(
    made: Callable[[pytest.TempPathFactory], Case], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kills: int
) -> None:
    check_kills(made(tmp_path_factory), tmp_path / "root", tmp_path, kills)


@pytest.mark.long
def test_refresh(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kills: int) -> None:
    with FaultyServer(kind_answer) as server:
        check_kills(writing.of_refresh(tmp_path_factory, server), tmp_path / "root", tmp_path, kills)


def test_prepare_during_refresh_loses_no_answer(tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Refreshes are killed in flight, prepare is refused meanwhile, and killed in its own work when it is not."""
    tables, data, log = (tmp_path / name for name in ("tables", "data", "log"))
    names = [f"Name{number}" for number in range(kills + 2)]
    write_table(tables / "entities.csv", [{"id": n, "name": name, "description": "x"} for n, name in enumerate(names)])
    mentions = [{"mention": name, "context": f"{name} spoke", "entity_id": n} for n, name in enumerate(names)]
    write_table(tables / "mentions.csv", mentions)
    assert main(["prepare", str(tables), str(data)]) == 0
    preparing = ["prepare", str(tables), str(data)]
    count = num_events(preparing, log, data.parent / ".data")
    answered_now = 0

    def script(number: int, question: str, body: Any) -> Any:
        nonlocal answered_now
        if answered_now == 1:  # the next one never is
            server.leave.wait(HANG)
        answered_now += 1
        return kind_answer(number, question, body)

    with FaultyServer(script) as server:
        refreshing = ["refresh", str(data), "--model=tiny", f"--base_url={server.url}", "--concurrency=1"]
        for kill in range(kills):
            before, answered_now = num_answers(data), 0
            with command(refreshing, log, environment=ENVIRONMENT) as (pid, wait):
                wait_until(lambda before=before: num_answers(data) > before)
                assert main(preparing) == 1
                os.kill(pid, signal.SIGKILL)
                assert wait() == -signal.SIGKILL
            said = capsys.readouterr().err
            assert f"nobody else writing in {data}\nfound    dim refresh (process {pid} on " in said
            assert ", since 2" in said
            answered = whole_lines(data)
            code = ended(preparing, log, watched=(data.parent / ".data", 1 + kill * count // kills))
            assert code in (0, -signal.SIGKILL)
            assert whole_lines(data) == answered
            assert len(Dataset(data).mentions) == len(names)
        assert ended(preparing, log) == 0
        answered_now = 2
        assert ended(refreshing, log, environment=ENVIRONMENT) == 0, log.read_text()
    assert Dataset(data).texts(VARIANT).notna().all()
    assert len(server.requests) <= len(names) + kills  # a kill costs what is in flight, and nothing is asked twice else
    assert not leftovers(tmp_path)
