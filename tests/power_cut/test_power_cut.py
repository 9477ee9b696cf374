"""A power cut at any moment leaves the old or the new, and the same command goes on; what a command said is there stays."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from demo_run import demo_run, linker_of, questions_of
from forked_commands import ended
from llm_servers import KEY, FaultyServer
from power_cut.disk import Disk, built
from refreshing import NAMES, VARIANT, answers, kind_answer, num_answers, small_dataset
from releases import write_tables
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.checkpoint import hash_weights, read_checkpoint
from dim.linker import Linker
from dim.ranking.ranker import Ranker
from dim.records import Dataset
from dim.result_files import read_results
from dim.run_folder import can_resume, is_run, settle_run

pytestmark = pytest.mark.long
MOST = 12  #: Moments a command.
LEFT = (".dim-lock", ".partial", ".state.json", ".whole", "unfinished.json", "previous.ckpt")


@dataclass
class Case:
    """A command that writes into a folder.

    Attributes:
        make: Fills the folder.
        args: The command, for the folder as it is now.
        check: What must hold whenever the power fails; gets the folder.
        finished: What must hold once the command has ended; gives what stays the same however often it was cut off.
    """

    make: Callable[[Path], None]
    args: Callable[[Path], list[str]]
    check: Callable[[Path], None]
    finished: Callable[[Path], object]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer(kind_answer) as server:
        yield server


def weights(run: Path, name: str = "last") -> str:
    return hash_weights(read_checkpoint(run / "checkpoints" / f"{name}.ckpt")["state_dict"])


def whole_checkpoints(folder: Path) -> None:
    for path in folder.rglob("*.ckpt"):
        if ".dim-new-" not in str(path):
            read_checkpoint(path)


def whole_run(run: Path) -> None:
    settle_run(run)
    whole_checkpoints(run)
    assert read_results(run).entries
    weights(run, "best")


def of_prepare(_: pytest.TempPathFactory, server: FaultyServer) -> Case:
    def make(root: Path) -> None:
        write_tables(root / "tables")
        assert main(["prepare", str(root / "tables"), str(root / "data"), "--audit=false"]) == 0
        (root / "data" / "answers").mkdir()
        (root / "data" / "answers" / "paid.jsonl").write_text('{"paid": true}\n')

    def check(root: Path) -> None:
        data = Dataset(root / "data")
        assert data.name in ("tables", "again")
        assert len(data.mentions)
        assert all(len(data.texts(variant)) for variant in data.variants)
        assert (root / "data" / "answers" / "paid.jsonl").read_text() == '{"paid": true}\n'

    def args(root: Path) -> list[str]:
        return ["prepare", str(root / "tables"), str(root / "data"), "--name=again"]

    return Case(make, args, check, lambda root: Dataset(root / "data").name)


def of_refresh(_: pytest.TempPathFactory, server: FaultyServer) -> Case:
    def args(root: Path) -> list[str]:
        server.requests.clear()
        return ["refresh", str(root / "data"), "--model=tiny", f"--base_url={server.url}", "--concurrency=1"]

    def check(root: Path) -> None:
        texts = Dataset(root / "data").texts(VARIANT) if VARIANT in Dataset(root / "data").variants else None
        assert texts is None or texts.notna().sum() == len(NAMES)
        assert num_answers(root / "data") >= len(server.requests) - 1  # which was in flight

    def finished(root: Path) -> object:
        assert Dataset(root / "data").texts(VARIANT).notna().all()
        return sorted(line["entity_id"] for line in answers(root / "data"))

    return Case(lambda root: small_dataset(root / "data") and None, args, check, finished)


def of_fit(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    world = tiny_world(factory)

    def args(root: Path) -> list[str]:
        more = ["--ckpt_path=last"] if can_resume(root / "run") else ["--overwrite=true"]
        return ["fit", *tiny_options(world, root / "run", "--trainer.max_epochs=3", *more)]

    return Case(lambda _: None, args, whole_checkpoints, lambda root: weights(root / "run"))


def of_fit_overwrite(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    world = tiny_world(factory)

    def args(root: Path) -> list[str]:
        more = ["--ckpt_path=last"] if is_run(root / "run" / ".new") else ["--overwrite=true"]
        return ["fit", *tiny_options(world, root / "run", "--seed_everything=1", *more)]

    return Case(
        lambda root: ended_well(["fit", *tiny_options(world, root / "run")]),
        args,
        lambda root: whole_run(root / "run"),
        lambda root: weights(root / "run"),
    )


def of_rank(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    world = tiny_world(factory)

    def check(root: Path) -> None:
        whole_checkpoints(root / "run")
        if (root / "run" / "ranker" / "ranker.json").exists():
            Ranker.load(root / "run" / "ranker")

    return Case(
        lambda root: ended_well(["fit", *tiny_options(world, root / "run")]),
        lambda root: ["rank", f"--run={root / 'run'}", "--folds=2", "--num_candidates=4", "--overwrite=true"],
        check,
        lambda root: read_results(root / "run" / "ranked").ranks("dev")["rank"].tolist(),
    )


def of_save(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    run = demo_run(factory)

    def make(root: Path) -> None:
        linker = linker_of(run)
        linker.add_entities([{"id": "new", "name": "Zyxtral"}])
        linker.save(root / "linker")

    def check(root: Path) -> None:
        assert len(Linker.from_pretrained(root / "linker", device="cpu")) in (300, 301)

    def args(root: Path) -> list[str]:
        return ["export", str(run), str(root / "linker"), "--overwrite=true", "--verify=false"]

    return Case(make, args, check, lambda root: len(Linker.from_pretrained(root / "linker", device="cpu")))


def of_link(factory: pytest.TempPathFactory, server: FaultyServer, suffix: str = "jsonl") -> Case:
    run = demo_run(factory)

    def make(root: Path) -> None:
        linker_of(run).save(root / "linker")
        lines = [json.dumps({"mention": q.mention, "context": q.context}) for q in questions_of(run)[:20]]
        (root / "asked.jsonl").write_text("\n".join(lines))

    def args(root: Path) -> list[str]:
        files = [f"--input={root / 'asked.jsonl'}", f"--output={root / f'answers.{suffix}'}", "--batch_size=4"]
        return ["link", f"--model={root / 'linker'}", "--device=cpu", *files]

    def check(root: Path) -> None:
        if (root / f"answers.{suffix}").exists():
            assert (root / f"answers.{suffix}").read_bytes().count(b"\n") in (20, 21)  # CSV has a head

    return Case(make, args, check, lambda root: (root / f"answers.{suffix}").read_bytes())


def of_link_csv(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    return of_link(factory, server, "csv")


def of_embed(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    world = tiny_world(factory)

    def finished(root: Path) -> object:
        files = (path for path in (root / "cache").rglob("*") if path.is_file() and path.name != "log.jsonl")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    return Case(
        lambda _: None,
        lambda root: ["embed", str(world), f"--cache_dir={root / 'cache'}", "--text_encoder=TinyTextEncoder"],
        lambda _: None,
        finished,
    )


def of_caption(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    world = tiny_world(factory)

    def make(root: Path) -> None:
        shutil.copytree(world, root / "data")
        ids = pd.read_parquet(root / "data" / "mentions.parquet", columns=["id"])["id"]
        (root / "said.json").write_text(json.dumps({mention_id: "a red coat" for mention_id in ids}))

    def check(root: Path) -> None:
        assert set(Dataset(root / "data").mentions["caption"].dropna()) <= {"a red coat"}

    return Case(
        make,
        lambda root: ["caption", str(root / "data"), f"--import_from={root / 'said.json'}"],
        check,
        lambda root: Dataset(root / "data").meta["hashes"],
    )


def ended_well(args: list[str]) -> None:
    assert main(args) == 0


CASES = [of_prepare, of_refresh, of_fit, of_fit_overwrite, of_rank, of_save, of_link, of_link_csv, of_embed, of_caption]


def put(left: Path, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    shutil.move(left, root)


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__[3:])
def test_a_power_cut_leaves_the_old_or_the_new(
    made: Callable[[pytest.TempPathFactory, FaultyServer], Case],
    server: FaultyServer,
    shim: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    case, root, log = made(tmp_path_factory, server), tmp_path / "root", tmp_path / "log"
    before = tmp_path / "before"
    root.mkdir()
    case.make(root)
    shutil.copytree(root, before)

    def run(at: int = 0, store: Path | None = None) -> int:
        environment = {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
        if store is not None:
            environment |= {"POWER_CUT_DISK": str(store), "POWER_CUT_AT": str(at)}
        log.unlink(missing_ok=True)
        code = ended(case.args(root), log, environment=environment, preload=shim)
        assert "Traceback" not in log.read_text(), log.read_text()
        return code

    def cut(at: int) -> tuple[int, int, list[Path]]:
        put(shutil.copytree(before, tmp_path / "copy"), root)
        disk = Disk(root, tmp_path / "disk")
        code = run(at, disk.store)
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
        assert code == -signal.SIGKILL, log.read_text()
        for folder in left:
            put(folder, root)
            case.check(root)
            assert run() == 0, log.read_text()
            assert case.finished(root) == wanted
            assert not [path for path in root.rglob("*") if path.name.endswith(LEFT) or ".dim-new-" in path.name]
