"""A power cut leaves the old or the new, whenever it comes; what a command had done stays."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import writing_commands as writing
from forked_commands import ended
from llm_servers import KEY, FaultyServer
from power_cut.disk import Disk, built
from refreshing import kind_answer
from writing_commands import Case, leftovers

pytestmark = pytest.mark.long
MOST = 8  #: Moments a command.


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer(kind_answer) as server:
        yield server


CASES = [
    *(writing.of_prepare, writing.of_fit, writing.of_fit_overwrite, writing.of_rank, writing.of_save),
    *(writing.of_demo_world, writing.of_link, writing.of_link_csv, writing.of_embed, writing.of_caption),
]


def put(left: Path, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    shutil.move(left, root)


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__[3:])
def test_a_power_cut_leaves_the_old_or_the_new(
    made: Callable[[pytest.TempPathFactory], Case], shim: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_cuts(made(tmp_path_factory), tmp_path, shim)


def test_a_power_cut_loses_no_answer_that_was_paid_for(
    server: FaultyServer, shim: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_cuts(writing.of_refresh(tmp_path_factory, server), tmp_path, shim)


def check_cuts(case: Case, tmp_path: Path, shim: str) -> None:
    root, log, before = tmp_path / "root", tmp_path / "log", tmp_path / "before"
    root.mkdir()
    case.make(root)
    shutil.copytree(root, before)

    def run(at: int = 0, store: Path | None = None) -> int:
        environment = {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
        if store is not None:
            environment |= {"POWER_CUT_ROOT": str(root), "POWER_CUT_DISK": str(store), "POWER_CUT_AT": str(at)}
        log.unlink(missing_ok=True)
        code = ended(case.args(root), log, environment=environment, preload=shim)
        assert "Traceback" not in log.read_text(), log.read_text()
        return code

    def cut(at: int) -> tuple[int, int, list[Path]]:
        put(shutil.copytree(before, tmp_path / "copy"), root)
        case.begin(root)
        disk = Disk(root, tmp_path / "disk")
        code = run(at, disk.store)
        case.failed()
        return code, disk.num_syncs, disk.left()

    code, count, (lost, named) = cut(0)  # after the end
    assert code == 0, log.read_text()
    put(named, root)
    wanted = case.finished(root)
    put(lost, root)
    case.check(root)
    assert case.finished(root) == wanted, "what the command had done was not on the disk"

    for at in sorted({1 + place * (count - 1) // (MOST - 1) for place in range(MOST)}):
        code, _, left = cut(at)
        assert code in (0, -signal.SIGKILL), log.read_text()  # threads may sync a little less often
        for folder in left:
            put(folder, root)
            case.check(root)
            assert case.is_done(root) or run() == 0, log.read_text()
            assert case.finished(root) == wanted
            assert not leftovers(root)
