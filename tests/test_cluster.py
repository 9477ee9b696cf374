"""Blocks on a real Ray cluster of three nodes on this machine, workers and drivers killed in the middle."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from embedding import embedded
from slow_encoders import SlowImageEncoder, SlowTextEncoder
from waiting import HANG, let_work

import dim.features.embed
from dim.core.ray_cluster import RayCluster, open_executor
from dim.data.dataset import Dataset
from dim.demo import demo_world
from dim.encoders.base import Features
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.errors import ConfigError, DataError, MissingExtraError

BLOCK_SIZE = {"text": 12, "image": 12}
FIELDS = ["context", "caption", "spelling", "name", "name_spelling", "image"]  # left out: two fields are enough


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # before Ray is imported: 127.0.0.1 stays 127.0.0.1
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'dim-linker[ray]' (make test-all does)")
        from ray.cluster_utils import Cluster

        node = {"node_ip_address": "127.0.0.1", "num_cpus": 1}
        cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        for _ in range(2):
            cluster.add_node(**node)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dim.features.embed, "BLOCK_SIZE", BLOCK_SIZE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("world") / "world"
    demo_world(folder, num_entities=120, seed=1)
    return Dataset(folder)


def run(dataset: Dataset, cache: Path, address: str | None = None, **options: object) -> dict[str, Features]:
    """All features; without an address in this process."""
    encoders = {"text_encoder": TinyTextEncoder(64), "image_encoder": TinyImageEncoder()} | options
    shared = {"batch_size": 5, "leave_out": FIELDS}
    with open_executor("ray" if address else "local", address) as executor:
        found = embedded(dataset, cache, executor=executor, **shared, **encoders)
    return {name: features.dense() for name, features in found.items()}


def same(one: dict[str, Features], other: dict[str, Features]) -> bool:
    return one.keys() == other.keys() and all(np.abs(one[name] - other[name]).max() <= 1e-5 for name in one)


@pytest.mark.ray
def test_a_cluster_of_three_nodes_gives_what_one_process_gives(tmp_path: Path, dataset: Dataset, address: str) -> None:
    pids = tmp_path / "pids"
    slow = {"text_encoder": SlowTextEncoder(pids), "image_encoder": SlowImageEncoder(pids)}
    found = run(dataset, tmp_path / "ray", address, **slow)
    assert set(found) == {"mention", "text", "entity_image"}
    assert same(found, run(dataset, tmp_path / "local"))
    assert len(set(pids.read_text().split())) >= 3, "not every node took part"
    assert str(os.getpid()) not in pids.read_text().split()


@pytest.mark.ray
def test_workers_killed_in_the_middle_lose_and_double_nothing(
    tmp_path: Path, dataset: Dataset, address: str, num_kills: int
) -> None:
    pids, killed = tmp_path / "pids", set[int]()
    moments, is_over = random.Random(0), threading.Event()

    def kill() -> None:
        while len(killed) < num_kills and not is_over.wait(moments.uniform(0.1, 0.5)):
            lines = pids.read_text().splitlines() if pids.exists() else []
            if lines and (pid := int(lines[-1])) not in killed and is_worker(pid):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    seconds = 0.3 if num_kills < 5 else 1.0
    slow = {"text_encoder": SlowTextEncoder(pids, seconds), "image_encoder": SlowImageEncoder(pids, seconds)}
    try:
        found = run(dataset, tmp_path / "ray", address, **slow)
    finally:
        is_over.set()
        killer.join()
    assert len(killed) == num_kills
    assert same(found, run(dataset, tmp_path / "local"))


def is_worker(pid: int) -> bool:
    """Whether it still lives, and is no other process under an old number."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::")
    except OSError:
        return False


@pytest.mark.ray
def test_a_killed_driver_goes_on_where_it_stood(tmp_path: Path, dataset: Dataset, address: str, num_kills: int) -> None:
    pids, cache = tmp_path / "pids", tmp_path / "ray"
    arguments = [
        "embed", str(dataset.root), "--engine", "ray", "--address", address, "--cache_dir", str(cache),
        "--batch_size", "5", "--text_encoder", "slow_encoders.SlowTextEncoder",
        "--text_encoder.pids", str(pids), "--text_encoder.seconds", "0.1",
    ]  # fmt: skip
    script = f"from dim.features import embed; embed.BLOCK_SIZE = {BLOCK_SIZE}\n"
    script += f"from dim.__main__ import main; main({arguments})"
    done = 0
    for _ in range(num_kills):
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        let_work(process, lambda: num_blocks(cache), done + 2)
        assert process.poll() is None, "ended before it was killed"
        process.kill()
        process.wait()
        assert num_blocks(cache) > done
        done = num_blocks(cache)
    assert same(run(dataset, cache, address), run(dataset, tmp_path / "local"))


def num_blocks(cache: Path) -> int:
    """Blocks in finished and unfinished fields."""
    unfinished = sum(len(path.read_bytes().splitlines()) for path in cache.glob("features/.*/progress.jsonl"))
    finished = [np.load(path, mmap_mode="r") for path in cache.glob("features/[a-z]*/matrix.npy")]
    return unfinished + sum(-(-len(matrix) // BLOCK_SIZE["text"]) for matrix in finished)


class Broken(TinyTextEncoder):
    def encode_text(self, texts: Sequence[str]) -> Features:
        return np.full((len(texts), self.width), np.nan, np.float32)


@pytest.mark.ray
def test_an_error_of_the_encoder_reaches_the_user_with_its_remedy(
    tmp_path: Path, dataset: Dataset, address: str
) -> None:
    with pytest.raises(DataError, match=r"NaN or infinity for(?s:.*)Use precision fp32 or bf16"):
        run(dataset, tmp_path, address, text_encoder=Broken(64), image_encoder=None)


@pytest.mark.ray
def test_a_cluster_of_its_own_listens_on_this_machine_only(tmp_path: Path, dataset: Dataset) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dim-linker[ray]' (make test-all does)")
    script = (
        "from dim.core.ray_cluster import RayCluster; cluster = RayCluster(); cluster._open(); "
        "import ray; ray.get(ray.remote(lambda: 1).remote()); print('open', flush=True); input(); cluster.close()"
    )
    before = listening()
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    opened = listening() - before
    process.communicate("\n", timeout=HANG)
    assert opened
    loopback = ("0100007F", "0000000000000000FFFF00000100007F", "0" * 24 + "01000000")
    assert {place.split(":")[0] for place in opened} <= set(loopback)


def listening() -> set[str]:
    """Addresses and ports, as the kernel writes them, that any process listens on."""
    tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    return {row[1] for row in rows if row[3] == "0A"}


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dim-linker\[ray\]'"):
        RayCluster()


@pytest.mark.ray
def test_an_address_where_nothing_listens_is_an_error_at_once(tmp_path: Path, dataset: Dataset) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'dim-linker[ray]' (make test-all does)")
    with pytest.raises(ConfigError, match=r"a Ray cluster at 127.0.0.1:9(?s:.*)ray start --head"):
        run(dataset, tmp_path, "127.0.0.1:9")


def test_an_address_without_ray_is_refused() -> None:
    with pytest.raises(ConfigError, match="Add --engine ray"), open_executor("local", "127.0.0.1:6379"):
        pass
