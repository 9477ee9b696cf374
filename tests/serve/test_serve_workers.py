"""`dim serve --workers`: several processes answer at one address, and one that dies is replaced."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from demo_run import demo_run, linker_of
from serving import QUESTION, process
from waiting import HANG, wait_until

from dim.cli.serve import closing_line, serve
from dim.data.entity import Entity
from dim.errors import ConfigError, DimError
from dim.serve.control import Ended, Opened, Reloaded, ReloadNow
from dim.serve.settings import Settings
from dim.serve.source import Source
from dim.serve.workers import SPAWN, Workers, _Worker, num_threads

TOKEN = {"Authorization": "Bearer tell-nobody"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linker") / "tiny"
    linker_of(demo_run(tmp_path_factory)).save(folder)
    return folder


def workers_of(served: subprocess.Popen[str]) -> list[int]:
    """The processes that answer."""
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()
    return [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def counted(client: httpx.Client, line: str) -> Callable[[], bool]:
    return lambda: f"\n{line}\n" in client.get("/metrics", headers=TOKEN).text


def test_all_of_them_answer_are_counted_together_and_lose_nothing_at_their_end(folder: Path) -> None:
    with process(folder, "workers=2, batch_size=1") as (served, client), ThreadPoolExecutor(8) as pool:
        assert len(workers_of(served)) == 2
        assert counted(client, "dim_workers 2.0")()
        asked = {"questions": [QUESTION] * 20}
        waiting = [pool.submit(client.post, "/link/batch", json=asked) for _ in range(8)]
        wait_until(counted(client, "dim_questions_total 160.0"))
        for each in (served.pid, *workers_of(served)):  # as systemd does
            os.kill(each, signal.SIGTERM)
        answers = [answer.result() for answer in waiting]
        assert [answer.status_code for answer in answers] == [200] * 8
        assert all(len(result["answers"]) == 5 for answer in answers for result in answer.json()["results"])
        out, err = served.communicate(timeout=HANG)
        assert served.returncode == 0, err
        assert "stopped: 160 questions accepted, and all answered" in out
        assert "Traceback" not in err


@pytest.mark.long
def test_one_that_dies_is_replaced(folder: Path) -> None:
    with process(folder, "workers=2") as (served, client):
        before = workers_of(served)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(workers_of(served)) == 2 and workers_of(served) != before)
        wait_until(counted(client, "dim_workers 2.0"))
        assert all(client.post("/link", json=QUESTION).status_code == 200 for _ in range(10))
        served.send_signal(signal.SIGTERM)
        out, err = served.communicate(timeout=HANG)
        assert served.returncode == 0, err
        assert "a process that answered ended (signal 9): another takes its place" in err
        assert "10 questions accepted; 1 process died, and what they had then got no answer" in out


@pytest.mark.long
def test_a_reload_is_that_of_all(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    linker, folder = linker_of(demo_run(tmp_path_factory)), tmp_path / "linker"
    linker.save(folder)
    with process(folder, "workers=2, token='tell-nobody'") as (served, client):
        client.headers.update(TOKEN)
        sizes = lambda: {client.get("/about").json()["entities"] for _ in range(20)}  # noqa: E731
        linker.add_entities([Entity("Q-new", "Velton the Newer")])
        linker.save(folder)
        assert sizes() == {300}
        assert client.post("/reload").json() == {"status": "reloaded"}
        assert sizes() == {301}
        linker.add_entities([Entity("Q-newer", "Velton the Newest")])
        linker.save(folder)
        served.send_signal(signal.SIGHUP)
        wait_until(lambda: sizes() == {302})
        (folder / "model.safetensors").write_bytes(b"damaged")
        wait_until(lambda: client.post("/reload").status_code != 503)  # that of SIGHUP may not be over in all
        refused = client.post("/reload")
        assert refused.status_code == 422
        assert "a linker in" in refused.json()["error"]["expected"]
        assert sizes() == {302}


def test_one_that_opens_the_linker_of_before_meanwhile_is_reloaded_too() -> None:
    async def reload() -> None:
        with socket.socket() as listener:
            workers = Workers(Source("linker"), Settings(), listener, 2)
        loop = workers._loop = asyncio.get_running_loop()
        (ours, at_first), (other, at_second) = SPAWN.Pipe(), SPAWN.Pipe()
        first, second = (_Worker(cast(Any, None), end, loop.create_future()) for end in (ours, other))
        workers._alive = {first, second}
        workers._take(first, Opened(300, ""))  # the second still opens what stood there before
        reloading = asyncio.create_task(workers._reload())
        assert isinstance(await asyncio.to_thread(at_first.recv), ReloadNow)
        workers._take(first, Reloaded(None))
        workers._take(second, Opened(300, ""))
        assert await asyncio.to_thread(at_second.poll, HANG)
        assert isinstance(at_second.recv(), ReloadNow)
        assert not reloading.done()
        workers._take(second, Reloaded(None))
        assert await reloading is None

    asyncio.run(reload())


def test_a_process_that_the_system_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dim.serve.workers.RETRY_S", 0)
    tried = []

    def opened_in(loop: asyncio.AbstractEventLoop) -> _Worker:
        worker = _Worker(SPAWN.Process(), SPAWN.Pipe()[0], loop.create_future())  # never started
        worker.opened.set_result(Opened(300, ""))
        return worker

    class Refused(Workers):
        def _start(self) -> _Worker:
            tried.append(1)
            if len(tried) == 1:
                raise OSError("Too many open files")
            return opened_in(self._loop)

    async def replaced() -> None:
        with socket.socket() as listener:
            workers = Refused(Source("linker"), Settings(), listener, 2)
        workers._loop, workers._stopping = asyncio.get_running_loop(), asyncio.Event()
        workers._alive = {opened_in(workers._loop)}
        await workers._replace()
        assert len(tried) == 2

    asyncio.run(replaced())


@pytest.mark.long
def test_they_end_with_the_process_that_looks_after_them(folder: Path) -> None:
    with process(folder, "workers=2") as (served, client):
        workers = workers_of(served)
        variables = Path(f"/proc/{workers[0]}/environ").read_text().split("\0")
        (counts,) = (Path(each.partition("=")[2]) for each in variables if each.startswith("PROMETHEUS_MULTIPROC_DIR="))
        assert counts.is_dir()
        served.kill()
        wait_until(lambda: not any(Path(f"/proc/{each}").exists() for each in workers))
        assert not counts.exists()
        with pytest.raises(httpx.ConnectError):
            client.get("/health")


@pytest.mark.long
def test_a_linker_that_cannot_be_opened_is_the_error_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "linker").mkdir()
    with pytest.raises(DimError, match="a linker"):
        serve(str(tmp_path / "linker"), port=0, workers=2)


@pytest.mark.long
def test_no_module_of_the_folder_that_they_are_started_in_is_imported(folder: Path, tmp_path: Path) -> None:
    for name in sys.stdlib_module_names:
        (tmp_path / f"{name}.py").write_text("open(__file__ + '-imported', 'w')\n")
    code = f"from dim.__main__ import main; main(['serve', '--model={folder}', '--port=0', '--workers=2'])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(place).absolute()) for place in sys.path)}
    command = [sys.executable, "-P", "-c", code]  # as the command `dim`, which stands in a folder of its own
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            assert any(line.startswith("API:") for line in served.stdout)
            assert list(tmp_path.glob("*-imported")) == []
        finally:
            served.terminate()


def test_no_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers of at least 1"):
        serve(str(tmp_path), port=0, workers=0)


def test_processes_share_the_cores() -> None:
    cores = num_threads(1)
    assert (num_threads(cores), num_threads(10 * cores)) == (1, 1)


def test_what_died_is_said_at_the_end() -> None:
    assert closing_line(Ended(1234, 0, False, False)) == "stopped: 1,234 questions accepted, and all answered"
    assert "got no answer" in closing_line(Ended(1234, 0, False, True))
    assert "1,234 questions accepted; 2 processes died" in closing_line(Ended(1234, 2, False, False))


def test_what_could_not_be_opened_is_one_line_of_the_process_that_looks_after_them() -> None:
    program = r"""
import asyncio
from dim.errors import DataError
from dim.serve.settings import Settings
from dim.serve.source import Source
from dim.serve.workers import Workers

workers = Workers(Source("nowhere"), Settings(), None, 1)

async def failed():
    return DataError("a linker", "a \x1b[2J of two\nlines", "Install it.")

workers._reload = failed
asyncio.run(workers._reload_and_log())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == 1
    assert r"\x1b[2J of two" in done.stderr
