"""Every command that writes, on a stranger's folder, on its own source, where it may not write, and killed."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from demo_run import demo_run
from forked_commands import killed
from lacking import no_privileges, small_files
from releases import write_tables

from dim.__main__ import TRAINER_COMMANDS, main
from dim.cli.commands import COMMANDS
from dim.linker import Linker

#: Commands that replace no folder: what they write, and where that is tested.
OTHERS = {
    "show": "nothing",
    "serve": "nothing",
    "bench": "temporary folders; `bench convert --folder` wants an empty one",
    "embed": "files of the cache under their own hashes: below",
    "caption": "a column and a record of the dataset: below",
    "refresh": "a text and answers of the dataset: tests/refresh/test_refresh.py",
    "compare": "runs of dim fit, and a report: below",
    "report": "files that are reports already: below",
    "judge": "results, a judge and answers of the run: tests/judge/test_judge_command.py",
    "link": "a new file: tests/test_link.py",
    "annotate": "a new file: tests/test_annotate_command.py",
    "nif": "a new file: tests/test_nif.py",
    "collective": "results, and the run's ranker anew: tests/test_collective.py",
    "unpack": "new folders, never over one: tests/data/test_hdf5_images.py",
    "fetch-images": "new files, each at once: tests/test_fetch_images.py",
    "configs": "new files",
    **dict.fromkeys(("add", "remove"), "a linker's folder, whole: tests/linker/test_untrained.py"),
    **dict.fromkeys(TRAINER_COMMANDS, "files of its own names in the run"),
}


@dataclass
class Place:
    """What commands read, made once; `new` is a folder for what one test writes."""

    new: Path
    run: Path
    tables: Path
    ranks: Path

    @property
    def world(self) -> Path:
        return self.run.parent / "world"


@dataclass(frozen=True)
class Writer:
    """A command with a target.

    Attributes:
        args: Of its command line.
        source: What it reads.
        overwrite: Whether it has an option to replace what it wrote before.
    """

    args: Callable[[Place, Path], list[str]]
    source: Callable[[Place], Path] | None = None
    overwrite: bool = True


SMALL = ["--num_entities", "100", "--num_images", "0", "--num_mentions", "200"]
WRITERS = {
    "demo-world": Writer(lambda place, target: [str(target), *SMALL]),
    "prepare": Writer(lambda place, target: [str(place.tables), str(target), "--audit=false"], lambda p: p.tables),
    "audit": Writer(
        lambda place, target: [str(place.world), "--write_clean", str(target), "--out", str(place.new / "a.json")],
        lambda place: place.world,
        overwrite=False,
    ),
    "hold-out": Writer(
        lambda place, target: ["--dataset", str(place.world), "--out", str(target)], lambda place: place.world
    ),
    "demo-lm": Writer(
        lambda place, target: [str(place.world), str(target), "--num_questions=8", "--size.layers=1"],
        lambda place: place.world,
    ),
    "export": Writer(lambda place, target: [str(place.run), str(target)], lambda place: place.run),
    "linker": Writer(
        lambda place, target: [str(place.tables), str(target), "--verify=false"], lambda place: place.tables
    ),
    "evaluate": Writer(
        lambda place, target: ["--ranks", str(place.ranks), "--dataset", str(place.world), "--run", str(target)],
        lambda place: place.world,
    ),
    "rank": Writer(
        lambda place, target: ["--run", str(place.run), "--out", str(target), "--folds=2"],
        lambda place: place.run,
    ),
    "index": Writer(lambda place, target: [str(target)], overwrite=False),
}
#: Those that write a folder in a second or two.
QUICK = [name for name in WRITERS if name not in ("demo-lm", "rank", "index")]
#: Where an export opens what it wrote in a new process, make test-all has it.
QUICKEST = [pytest.param(name, marks=[pytest.mark.long] * (name == "export")) for name in QUICK]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    run, folder = demo_run(tmp_path_factory), tmp_path_factory.mktemp("sources")
    write_tables(folder / "tables")
    (folder / "ranks.jsonl").write_text(json.dumps({"mention_id": dev_mention(run.parent / "world"), "rank": 1}) + "\n")
    return Place(folder, run, folder / "tables", folder / "ranks.jsonl")


def dev_mention(world: Path) -> str:
    import pandas as pd

    mentions = pd.read_parquet(world / "mentions.parquet")
    return str(mentions.loc[mentions["split"] == "dev", "id"].iloc[0])


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    return Place(tmp_path, made.run, made.tables, made.ranks)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stranger(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "thesis.txt").write_text("three years")
    (folder / "chapters").mkdir()
    (folder / "chapters" / "one.txt").write_text("one of them")
    return folder


def run_command(name: str, place: Place, target: Path, *more: str) -> int:
    return main([name, *WRITERS[name].args(place, target), *more])


def test_every_command_is_either_tested_here_or_writes_no_folder() -> None:
    known = set(WRITERS) | set(OTHERS)
    assert {*COMMANDS, *TRAINER_COMMANDS} <= known
    assert not set(WRITERS) & set(OTHERS)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "index"])
def test_a_strangers_folder_is_refused_by_name_and_stays(
    name: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(stranger(place.new / "target"))
    for more in [[], ["--overwrite=true"]] if WRITERS[name].overwrite else [[]]:
        assert run_command(name, place, place.new / "target", *more) == 1
        said = capsys.readouterr().err
        assert f"at {place.new / 'target'}\nfound    other files: chapters, thesis.txt\n" in said
        assert contents(place.new / "target") == before
    assert [path.name for path in place.new.iterdir()] == ["target"]


@pytest.mark.parametrize("name", [name for name in WRITERS if WRITERS[name].source])
def test_its_own_source_is_refused_and_stays(name: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    source = WRITERS[name].source
    assert source is not None
    read = source(place)
    (place.new / "link").symlink_to(read)
    before = {path: path.stat().st_mtime_ns for path in read.parent.rglob("*") if path.is_file()}
    for target in (read, place.new / "link", read / "new", read.parent):
        if name == "rank" and target not in (read, place.new / "link"):
            continue  # its results stand in the run
        more = ["--overwrite=true"] if WRITERS[name].overwrite else []
        assert run_command(name, place, target, *more) == 1, target
        assert f"at {target}\nfound    " in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in read.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", QUICKEST)
def test_what_it_wrote_is_replaced_where_that_is_asked_for_and_no_strangers_file_with_it(
    name: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    target, more = place.new / "target", ["--overwrite=true"] if WRITERS[name].overwrite else []
    target.mkdir()
    assert run_command(name, place, target) == 0, capsys.readouterr().err
    assert run_command(name, place, target, *more) == 0, capsys.readouterr().err
    (target / "thesis.txt").write_text("three years")
    before = contents(target)
    assert run_command(name, place, target, *more) == 1
    assert "with files that it did not write: thesis.txt\nto do    Move them away" in capsys.readouterr().err
    assert contents(target) == before
    assert not [path for path in place.new.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["export", "hold-out", "evaluate", "rank"])
def test_another_command_s_folder_is_never_replaced(
    name: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    target = place.new / "target"
    for marker, what in (("dataset.json", "a dataset"), ("linker.json", "a linker"), ("metrics.json", "a run")):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        (target / marker).write_text('{"model": "DIM", "splits": {}}')
        assert run_command(name, place, target, "--overwrite=true") == 1
        assert f"found    {what}: {marker}" in capsys.readouterr().err
        assert [path.name for path in target.iterdir()] == [marker]


def test_results_are_replaced_only_where_that_is_asked_for(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    target = place.new / "target"
    assert run_command("evaluate", place, target) == 0, capsys.readouterr().err
    before = contents(target)
    assert run_command("evaluate", place, target) == 1
    assert "--overwrite true" in capsys.readouterr().err
    assert contents(target) == before
    assert run_command("evaluate", place, target, "--overwrite=true") == 0
    assert set(contents(target)) == set(before) == {"metrics.json", "ranks.parquet"}


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_folder_that_may_not_be_written_is_named(
    name: str, place: Place, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    closed = place.new / "closed"
    closed.mkdir()
    if name == "index":
        target = shutil.copytree(request.getfixturevalue("linker"), closed / "target")
    else:
        target = closed / "target"
    before = contents(closed)
    for folder in (target, closed):
        if folder.exists():
            folder.chmod(0o555)
    try:
        with no_privileges():
            assert run_command(name, place, target) == 1
    finally:
        for folder in (closed, target):
            if folder.exists():
                folder.chmod(0o755)
    said = capsys.readouterr().err
    assert f"permission to write {closed}" in said
    assert "to do    Change its permissions, or choose another folder." in said
    assert contents(closed) == before


@pytest.fixture(scope="module")
def linker(made: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linker") / "linker"
    Linker.from_checkpoint(made.run, device="cpu").save(folder)
    return folder


@pytest.mark.parametrize("name", [*QUICKEST, "index"])
def test_killed_in_the_middle_it_leaves_what_was_there_and_can_be_run_again(
    name: str, place: Place, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    target = place.new / "target"
    if name == "index":
        shutil.copytree(request.getfixturevalue("linker"), target)
    else:
        killed([name, *WRITERS[name].args(place, target)], place.new / "log")
        assert not target.exists() or all(".dim-new-" in path for path in contents(target))
        assert run_command(name, place, target) == 0, capsys.readouterr().err
    before = contents(target)
    more = ["--overwrite=true"] if WRITERS[name].overwrite else []
    killed([name, *WRITERS[name].args(place, target), *more], place.new / "log")
    after = contents(target)
    assert {path: after[path] for path in before} == before
    assert all(".dim-new-" in path for path in set(after) - set(before))
    assert run_command(name, place, target, *more) == 0, capsys.readouterr().err
    assert not [*place.new.rglob(".*target*"), *target.rglob(".*")]


def test_an_index_is_not_built_into_a_folder_with_a_strangers_file(
    linker: Path, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shutil.copytree(linker, place.new / "target")
    (target / "thesis.txt").write_text("three years")
    before = contents(target)
    assert main(["index", str(target), "--kind=hnsw"]) == 1
    assert "others: thesis.txt" in capsys.readouterr().err  # refused when it is opened
    assert contents(target) == before


def test_embed_and_caption_leave_a_strangers_files(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    world, cache = shutil.copytree(place.world, place.new / "world"), place.new / "cache"
    for folder in (world, cache, cache / "features"):
        stranger(folder)
    before = contents(place.new)
    args = [str(world), f"--cache_dir={cache}", "--num_workers=0"]
    assert main(["embed", *args, "--text_encoder=TinyTextEncoder"]) == 0, capsys.readouterr().err
    assert main(["caption", *args, "--captioner=TinyCaptioner"]) == 0, capsys.readouterr().err
    after = contents(place.new)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"world/mentions.parquet", "world/dataset.json"}
    assert not {name for name in after if name.endswith(".dim-lock")}


@pytest.mark.parametrize("suffix", ["md", "csv", "html"])
def test_a_report_replaces_reports_alone(place: Place, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    out = place.new / f"out.{suffix}"
    args = ["report", str(place.run), "--rounds=100", f"--out={out}"]
    for _ in range(2):
        assert main(args) == 0, capsys.readouterr().err
    out.write_text("# My thesis\nthree years\n")
    assert main(args) == 1
    assert f"a report written before, at {out}\nfound    another file" in capsys.readouterr().err
    config = next(Path("lightning_configs").glob("demo.yaml"))
    assert main(["compare", str(config), f"--runs={place.new / 'runs'}", f"--out={out}"]) == 1
    assert "found    another file" in capsys.readouterr().err
    assert out.read_text() == "# My thesis\nthree years\n"
    assert not (place.new / "runs").exists()


def test_compare_takes_no_run_that_it_did_not_start(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(place.run, place.new / "runs" / "demo" / "seed0")
    before = contents(run)
    config = next(Path("lightning_configs").glob("demo.yaml"))
    assert main(["compare", str(config), f"--runs={place.new / 'runs'}", "--seeds=1"]) == 1
    assert "found    a run that dim compare did not start" in capsys.readouterr().err
    assert contents(run) == before


def test_a_demo_world_is_made_again_but_not_over_what_was_added(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    world = place.new / "world"
    args = ["demo-world", str(world), "--num_entities=100", "--num_images=5", "--num_mentions=200"]
    assert main(args) == 0
    assert f"written: {world}, 100 entities, mentions: train " in capsys.readouterr().out
    first = contents(world)
    assert sum(name.endswith(".png") for name in first) == 5
    assert main(args) == 0
    assert contents(world) == first
    assert main([*args, "--seed=1"]) == 1
    assert "a demo world, written before\nto do    Choose another folder, or replace it" in capsys.readouterr().err
    (world / "answers").mkdir()
    (world / "answers" / "paid.jsonl").write_text("{}\n")
    for again in (args, [*args, "--seed=1", "--overwrite=true"]):  # what was paid for stays
        assert main(again) == 0
        assert (world / "answers" / "paid.jsonl").read_text() == "{}\n"
    (world / "images" / "mine.png").write_bytes(b"mine")
    assert main([*args, "--seed=1", "--overwrite=true"]) == 1
    assert "did not write: images/mine.png" in capsys.readouterr().err


def test_a_linker_is_saved_to_where_it_was_opened_from_and_not_over_another(linker: Path, place: Place) -> None:
    from dim.errors import ConfigError

    one = Linker.from_pretrained(shutil.copytree(linker, place.new / "one"), device="cpu")
    shutil.copytree(linker, place.new / "two")
    one.save(place.new / "one")
    with pytest.raises(ConfigError, match=r"a linker, written before\nto do .*overwrite=True"):
        one.save(place.new / "two")
    for inside in ("one/new", "."):
        with pytest.raises(ConfigError, match="which it is made from"):
            one.save(place.new / inside, overwrite=True)
    one.save(place.new / "two", overwrite=True)
    one.save(place.new / "two")
    (place.new / "two" / ".gitattributes").touch()
    with pytest.raises(ConfigError, match=r"did not write: \.gitattributes"):
        one.save(place.new / "two", overwrite=True)


def test_no_lock_or_workplace_is_left(place: Place) -> None:
    assert not [path for path in place.run.parent.rglob("*.dim-*") if os.path.lexists(path)]


@pytest.mark.parametrize(
    "name", [*QUICK, "index", pytest.param("demo-lm", marks=pytest.mark.long)]
)  # rank's has its own
def test_a_disk_that_is_full_ends_it_with_a_message_and_leaves_what_was_there(
    name: str, place: Place, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    target, quick = place.new / "target", ["--verify=false"] if name == "export" else []
    if name == "index":
        shutil.copytree(request.getfixturevalue("linker"), target)
    else:
        assert run_command(name, place, target, *quick) == 0, capsys.readouterr().err
    before = contents(place.new)
    more = ["--overwrite=true"] if WRITERS[name].overwrite else []
    if name == "audit":  # which replaces nothing
        shutil.rmtree(target)
        before = contents(place.new)
    with small_files(512):
        assert run_command(name, place, target, *more, *quick) == 1
    said = capsys.readouterr().err
    assert f"error: expected room to write {place.new}" in said
    assert "\nto do    Choose a disk that takes them" in said
    assert contents(place.new) == before
