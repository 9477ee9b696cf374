"""Commands that write, for tests that end them at any moment: what must hold then, and once they have ended."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from demo_run import demo_run, linker_of, questions_of
from llm_servers import FaultyServer
from refreshing import NAMES, VARIANT, answers, num_answers, small_dataset
from releases import write_tables
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.core.files import WORKPLACE
from dim.data.dataset import Dataset
from dim.encoders.tiny import TinyTextEncoder
from dim.evaluation.result_files import read_results
from dim.linker import Linker
from dim.reranker.ranker import Ranker
from dim.training.checkpoint import hash_weights, read_checkpoint
from dim.training.run_folder import can_resume, settle_run

#: What is there while a command is at work and goes when it has ended.
LEFT = (".partial", ".state.json", ".whole", "unfinished.json", "previous.ckpt")


@dataclass
class Case:
    """A command that writes into a folder.

    Attributes:
        make: Fills the folder.
        args: The command, for the folder as it is now.
        check: What must hold whenever it is killed; gets the folder.
        finished: What must hold once the command has ended; gives what stays the same however often it was cut off.
        begin: Called when the folder was filled, or is as it was then.
        failed: Called after a kill.
        is_done: Whether a kill came when nothing was left to do, where the command refuses to do it again.
    """

    make: Callable[[Path], None]
    args: Callable[[Path], list[str]]
    check: Callable[[Path], None]
    finished: Callable[[Path], object]
    begin: Callable[[Path], None] = lambda _: None
    failed: Callable[[], None] = lambda: None
    is_done: Callable[[Path], bool] = lambda _: False


def leftovers(root: Path) -> list[Path]:
    """What commands leave in a folder that are killed."""
    return [path for path in root.rglob("*") if path.name.endswith(LEFT) or WORKPLACE in path.name]


def weights(run: Path, name: str = "last") -> str:
    return hash_weights(read_checkpoint(run / "checkpoints" / f"{name}.ckpt")["state_dict"])


def whole_checkpoints(folder: Path) -> None:
    for path in folder.rglob("*.ckpt"):
        if WORKPLACE not in str(path):
            read_checkpoint(path)


def whole_run(run: Path) -> None:
    settle_run(run)
    whole_checkpoints(run)
    assert read_results(run).entries
    weights(run, "best")


def of_prepare(_: pytest.TempPathFactory) -> Case:
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


def of_refresh(factory: pytest.TempPathFactory, server: FaultyServer) -> Case:
    """Asks one entity after the other, so that a kill loses the answer in flight and no other."""
    known = {"begun": 0, "served": 0, "failures": 0}

    def begin(root: Path) -> None:
        known.update(begun=len(server.requests), served=0, failures=0)

    def failed() -> None:
        known.update(served=len(server.requests) - known["begun"], failures=known["failures"] + 1)

    def args(root: Path) -> list[str]:
        return ["refresh", str(root / "data"), "--model=tiny", f"--base_url={server.url}", "--concurrency=1"]

    def check(root: Path) -> None:
        data = Dataset(root / "data")
        assert VARIANT not in data.variants or (
            data.texts(VARIANT).notna().sum() == len(NAMES) and data.meta["text_facts"][VARIANT]["model"] == "tiny"
        )
        assert num_answers(root / "data") >= known["served"] - known["failures"], "an answer that was paid for is gone"
        if num_answers(root / "data"):
            ids = [json.loads(line)["entity_id"] for line in whole_lines(root / "data")]
            assert len(ids) == len(set(ids)), "an answer is there twice"

    def finished(root: Path) -> object:
        assert Dataset(root / "data").texts(VARIANT).notna().all()
        return sorted(line["entity_id"] for line in answers(root / "data"))

    return Case(lambda root: small_dataset(root / "data") and None, args, check, finished, begin, failed)


def whole_lines(data: Path) -> list[bytes]:
    written = (data / "answers" / f"{VARIANT}.jsonl").read_bytes()
    return [line for line in written[: written.rfind(b"\n")].split(b"\n") if line.strip()]


def of_demo_world(_: pytest.TempPathFactory) -> Case:
    """More files than are synced one by one."""

    def args(root: Path) -> list[str]:
        return ["demo-world", str(root / "world"), "--num_entities=100", "--num_images=120", "--overwrite=true"]

    def check(root: Path) -> None:
        world = Dataset(root / "world")
        for table in (world.entities, world.mentions):
            assert all((world.image_root / image).stat().st_size for images in table["images"] for image in images)

    return Case(
        lambda root: ended_well([*args(root), "--seed=1"]), args, check, lambda root: Dataset(root / "world").meta
    )


def of_fit(factory: pytest.TempPathFactory) -> Case:
    world = tiny_world(factory)

    def args(root: Path) -> list[str]:
        more = ["--ckpt_path=last"] if can_resume(root / "run") else ["--overwrite=true"]
        return ["fit", *tiny_options(world, root / "run", "--trainer.max_epochs=3", *more)]

    return Case(lambda _: None, args, whole_checkpoints, lambda root: weights(root / "run"))


def of_fit_overwrite(factory: pytest.TempPathFactory) -> Case:
    world = tiny_world(factory)

    def args(root: Path) -> list[str]:
        more = ["--ckpt_path=last"] if can_resume(root / "run" / ".new") else ["--overwrite=true"]
        return ["fit", *tiny_options(world, root / "run", "--seed_everything=1", *more)]

    return Case(
        lambda root: ended_well(["fit", *tiny_options(world, root / "run")]),
        args,
        lambda root: whole_run(root / "run"),
        lambda root: weights(root / "run"),
    )


def of_rank(factory: pytest.TempPathFactory) -> Case:
    world = tiny_world(factory)

    def check(root: Path) -> None:
        whole_checkpoints(root / "run")
        if (root / "run" / "ranker" / "ranker.json").exists():
            Ranker.load(root / "run" / "ranker")

    return Case(
        lambda root: ended_well(["fit", *tiny_options(world, root / "run")]),
        lambda root: ["rank", f"--run={root / 'run'}", "--folds=2", "--num_candidates=4", "--overwrite=true"],
        check,
        lambda root: read_results(root / "run" / "ranked").ranks("dev")["rank"].fillna(-1).tolist(),
    )


def of_save(factory: pytest.TempPathFactory) -> Case:
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


def of_add(_: pytest.TempPathFactory) -> Case:
    def make(root: Path) -> None:
        Linker.from_entities([{"id": f"m{n}", "name": f"Käthe {n}"} for n in range(50)], TinyTextEncoder(64)).save(
            root / "linker"
        )
        (root / "more.csv").write_text("id;name\nn1;Emil Nolde\nn2;齐白石\n")

    def num_entities(root: Path) -> int:
        return len(Linker.from_pretrained(root / "linker", device="cpu"))

    def check(root: Path) -> None:
        assert num_entities(root) in (50, 52)

    def args(root: Path) -> list[str]:
        return ["add", str(root / "linker"), str(root / "more.csv")]

    return Case(make, args, check, num_entities, is_done=lambda root: num_entities(root) == 52)


def of_link(factory: pytest.TempPathFactory, suffix: str = "jsonl") -> Case:
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

    def finished(root: Path) -> object:
        return (root / f"answers.{suffix}").read_bytes()

    def is_done(root: Path) -> bool:
        return (root / f"answers.{suffix}").exists() and not (root / f"answers.{suffix}.state.json").exists()

    return Case(make, args, check, finished, is_done=is_done)


def of_link_csv(factory: pytest.TempPathFactory) -> Case:
    return of_link(factory, "csv")


def of_embed(factory: pytest.TempPathFactory) -> Case:
    world = tiny_world(factory)

    def finished(root: Path) -> object:
        found = (path for path in (root / "cache").rglob("*") if path.is_file() and path.name != "log.jsonl")
        files = (path for path in found if "/." not in path.as_posix())  # a lock, or a workplace
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    return Case(
        lambda _: None,
        lambda root: ["embed", str(world), f"--cache_dir={root / 'cache'}", "--text_encoder=TinyTextEncoder"],
        lambda _: None,
        finished,
    )


def of_caption(factory: pytest.TempPathFactory) -> Case:
    world = tiny_world(factory)

    def make(root: Path) -> None:
        shutil.copytree(world, root / "data")
        ids = pd.read_parquet(root / "data" / "mentions.parquet", columns=["id"])["id"]
        pd.DataFrame({"mention_id": ids, "caption": "a red coat"}).to_csv(root / "said.csv", index=False)

    def check(root: Path) -> None:
        assert set(Dataset(root / "data").mentions["caption"].dropna()) <= {"a red coat"}

    return Case(
        make,
        lambda root: ["caption", str(root / "data"), f"--import_from={root / 'said.csv'}"],
        check,
        lambda root: Dataset(root / "data").meta["hashes"],
    )


def ended_well(args: list[str]) -> None:
    assert main(args) == 0
