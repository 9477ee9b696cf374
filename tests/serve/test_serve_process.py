"""`dim serve` as a process: it starts with a clear word, holds under many connections, and loses nothing at its end."""

import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from connections import Crowd, raised_limit
from demo_run import demo_run, linker_of
from serving import QUESTION, process
from waiting import HANG, wait_until

from dim.cli.serve import opening_lines, serve
from dim.errors import ConfigError, MissingExtraError
from dim.serve.control import Opened
from dim.serve.server import bound_socket
from dim.serve.settings import Settings, is_loopback


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linker") / "tiny"
    linker_of(demo_run(tmp_path_factory)).save(folder)
    return folder


def test_sigterm_in_flight_loses_no_accepted_question(folder: Path) -> None:
    with process(folder, "batch_size=1, token=None") as (served, client), ThreadPoolExecutor(4) as pool:
        asked = {"questions": [QUESTION] * 40}
        waiting = [pool.submit(client.post, "/link/batch", json=asked) for _ in range(4)]
        wait_until(lambda: "dim_questions_total 160.0" in client.get("/metrics").text)
        served.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in waiting]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert all(len(result["answers"]) == 5 for answer in answers for result in answer.json()["results"])
        out, err = served.communicate(timeout=HANG)
        assert served.returncode == 0, err
        assert "stopped: 160 questions accepted, and all answered" in out
        assert "Traceback" not in err


@pytest.mark.long  # make test has 500, in test_serve_limits.py
def test_thousands_of_open_connections_leave_room_for_a_question(folder: Path) -> None:
    with raised_limit(10_200) as files, process(folder, "body_timeout_s=20") as (_, client):
        count = min(10_000, files - 200)
        with Crowd(client.base_url.port or 0, count) as crowd:
            print(f"{count:,} connections")
            for _ in range(3):
                assert client.post("/link", json=QUESTION).status_code == 200
            assert crowd.statuses(HANG) == {408: count}
        assert client.post("/link", json=QUESTION).status_code == 200


def test_a_port_in_use_is_named_before_the_linker_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"a free port, at 127\.0\.0\.1:{port}\nfound .*in use\n.*--port \(0"):
            serve(str(tmp_path / "none"), port=port)
    for host, number in (("192.0.2.1", 0), ("127.0.0.1", 70_000)):
        with pytest.raises(ConfigError, match="a free port"):
            bound_socket(host, number)


def test_an_absent_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"prometheus_client\n.*\n.*pip install 'dim-linker\[serve\]'"):
        serve("nowhere", port=0)


@pytest.mark.parametrize(
    ("host", "token", "warns"),
    [("127.0.0.1", None, False), ("0.0.0.0", None, True), ("0.0.0.0", "secret", False)],
)
def test_without_a_token_other_machines_are_warned_of(folder: Path, host: str, token: str | None, warns: bool) -> None:
    with bound_socket(host, 0) as listener:
        lines = opening_lines(str(folder), Opened(300, ""), listener, Settings(token=token), 1000)
    assert f"{folder}, 300 entities" in lines[0]
    assert any(line.startswith("WARNING: whoever reaches 0.0.0.0") for line in lines) == warns
    assert "secret" not in "".join(lines)
    assert is_loopback(host) == (host == "127.0.0.1")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("max_body_bytes", 0, "a max_body_bytes of at least 1"),
        ("timeout_s", 0, "a timeout_s of at least 0.001"),
        ("timeout_s", float("nan"), "a timeout_s of at least 0.001"),
        ("batch_wait_ms", -1, "a batch_wait_ms of at least 0"),
        ("queue_size", 10, r"a queue_size of at least max_batch \(64\)"),
        ("max_buffered_bytes", 10, r"a max_buffered_bytes of at least max_body_bytes \(10,000,000\)"),
        ("token", "", "a token of ASCII characters"),
        ("token", "ü", "a token of ASCII characters"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(option: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Settings(**{option: value})  # type: ignore[arg-type]
