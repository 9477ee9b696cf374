"""A folder from a stranger runs nothing, reads nothing outside of it, and is refused in words."""

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from demo_run import demo_run, linker_of
from marker_module import NAME, forms, importable
from mutated_manifest import check_mutations, reseal
from tiny_text import write_bert
from waiting import ending

from dim.__main__ import main
from dim.core import folder_files
from dim.core.arrow_file import write_arrow
from dim.core.checksums import sha256
from dim.core.sealed import _seal
from dim.data import dataset as dataset_module
from dim.data.dataset import Dataset
from dim.errors import ConfigError, DataError, DimError
from dim.linker import Linker
from dim.linker.folder import MANIFEST
from dim.methods.contrastive.linker import ContrastiveLinker
from dim.search.entity_names import EntityNames
from dim.training.datamodule import LinkingDataModule
from dim.training.saved_run import instantiate_run

read = ContrastiveLinker.read
ENCODERS = ("text_encoder", "name_encoder", "image_encoder", "captioner")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def saved(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger") / "saved"
    linker_of(run).save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(saved, tmp_path / "linker")
    return tmp_path / "linker"


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "modules") as imported:
        yield imported


def put(folder: Path, name: str, content: bytes) -> None:
    """Puts a file in the place of one that the manifest lists."""
    (folder / name).write_bytes(content)
    facts = {"bytes": len(content), "sha256": sha256(folder / name)}
    reseal(folder, lambda manifest: manifest["files"].update({name: facts}))


@pytest.mark.parametrize("form", list(forms(Path())))
def test_no_class_of_a_strangers_linker_is_imported_or_made(folder: Path, imported: Path, form: str) -> None:
    value = forms(imported.parent)[form]
    before = (folder / MANIFEST).read_text()
    for place in (*ENCODERS, "model", "negatives", "loss"):
        (folder / MANIFEST).write_text(before)

        def change(manifest: dict[str, Any], place: str = place) -> None:
            recipe = manifest["about"]["recipe"]
            owner = recipe if place == "model" else recipe["encoders"] if place in ENCODERS else None
            (recipe["model"]["init_args"] if owner is None else owner)[place] = value

        reseal(folder, change)
        with pytest.raises(DataError, match=r"expected (a|the) "):
            read(folder, "cpu")
        assert not imported.exists()


def strangers_run(run: Path, place: Path, option: str, value: object) -> Path:
    """A copy of a run whose configuration names something else for an option."""
    shutil.copytree(run, place)
    config = yaml.safe_load((place / "config.yaml").read_text())
    owner = config if option == "model" else config["data" if option in config["data"] else "model"]
    owner = owner["init_args"] if option in ("negatives", "loss") else owner
    owner[option] = value
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    return place


@pytest.mark.parametrize("form", ["text", "mapping", "file", "module", "class inside of a loss"])
@pytest.mark.parametrize("option", ["text_encoder", "protocol", "negatives", "model", "loss"])
def test_no_class_of_a_strangers_run_is_imported_or_made(
    run: Path, imported: Path, tmp_path: Path, form: str, option: str
) -> None:
    stranger = strangers_run(run, tmp_path / "run", option, forms(imported.parent)[form])
    with pytest.raises(DataError, match=r"a run (at|in) .*/run"):
        Linker.from_checkpoint(stranger, device="cpu")
    assert not imported.exists()


@pytest.mark.parametrize("command", ["link", "export", "rank", "serve", "validate", "test", "predict"])
def test_no_command_makes_a_class_of_a_strangers_run(
    run: Path, imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    stranger = strangers_run(run, tmp_path / "run", "text_encoder", f"{NAME}.Marker")
    options = {
        "link": ["--model", str(stranger), "--mention", "Ada"],
        "export": [str(stranger), str(tmp_path / "out")],
        "rank": ["--run", str(stranger)],
        "serve": ["--model", str(stranger), "--port", "0"],
        "predict": [f"--config={stranger / 'config.yaml'}"],
    }
    assert main([command, *options.get(command, ["--config", str(stranger / "config.yaml")])]) == 1
    assert f"found    {NAME}.Marker as" in capsys.readouterr().err
    assert not imported.exists()
    assert not (tmp_path / "out").exists()


def test_what_a_run_says_itself_of_trust_does_not_count(run: Path, imported: Path, tmp_path: Path) -> None:
    marker = {"class_path": f"{NAME}.Marker", "init_args": {"width": 256}}
    stranger = strangers_run(run, tmp_path / "run", "text_encoder", marker)
    config = yaml.safe_load((stranger / "config.yaml").read_text())
    (stranger / "config.yaml").write_text(yaml.safe_dump(config | {"trust": NAME}))
    assert main(["validate", "--config", str(stranger / "config.yaml")]) == 1
    assert main(["validate", "--config", str(stranger / "config.yaml"), "--trust", NAME]) == 1
    with pytest.raises(DataError, match=f"--trust {NAME}"):
        Linker.from_checkpoint(stranger, device="cpu")
    assert not imported.exists()
    assert Linker.from_checkpoint(stranger, device="cpu", trusted=(NAME,)).link("Ada")
    assert imported.exists()


def test_where_it_computes_is_said_on_the_command_line_and_by_no_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = strangers_run(run, tmp_path / "run", "engine", "ray")
    config = yaml.safe_load((stranger / "config.yaml").read_text())
    config["data"]["address"] = "stranger:1"
    (stranger / "config.yaml").write_text(yaml.safe_dump(config))
    _, datamodule = instantiate_run(stranger)  # as link, export, rank and serve open it
    assert (datamodule.engine, datamodule.address) == ("local", None)
    asked: list[tuple[str, str | None]] = []
    make = LinkingDataModule.__init__

    def made(self: LinkingDataModule, *args: Any, **options: Any) -> None:
        asked.append((options["engine"], options["address"]))
        make(self, *args, **options)
        raise ConfigError("no more", "what was asked", "Look at it.")

    monkeypatch.setattr(LinkingDataModule, "__init__", wraps(make)(made))
    typed = ["--data.engine", "ray", "--data.address", "mine:1"]
    for command in ("validate", "test", "predict"):
        for more in ([], typed):
            assert main([command, "--config", str(stranger / "config.yaml"), *more]) == 1
    assert asked == [("local", None), ("ray", "mine:1")] * 3


@pytest.mark.parametrize("template", ["{mention.__class__}", "{mention[0]}", "{mention!r}", "{mention:>9}", "{0}"])
def test_a_template_looks_into_nothing(folder: Path, template: str) -> None:
    reseal(folder, lambda manifest: manifest["about"]["recipe"].update(context_template=template))
    with pytest.raises(DimError, match="each by its name alone"):
        read(folder, "cpu")


@pytest.mark.parametrize("place", ["/etc", "../modules", "~", "modules"])
def test_the_files_of_an_encoder_are_inside_the_folder(
    folder: Path, imported: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(imported.parent.parent)
    encoder = {"class_path": "TransformersTextEncoder", "init_args": {"path": place}}
    reseal(folder, lambda manifest: manifest["about"]["recipe"]["encoders"].update(text_encoder=encoder))
    with pytest.raises(DataError, match="files of the text_encoder inside the linker's folder"):
        read(folder, "cpu")


@pytest.mark.parametrize("name", [".git/model", "LICENSE_model"])
def test_an_encoder_outside_of_the_folder_is_reached_by_no_link_that_hubs_leave(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(write_bert(tmp_path / "outside"))
    encoder = {"class_path": "TransformersTextEncoder", "init_args": {"path": name}}
    reseal(folder, lambda manifest: manifest["about"]["recipe"]["encoders"].update(text_encoder=encoder))
    with pytest.raises(DataError, match="files of the text_encoder inside the linker's folder"):
        read(folder, "cpu")


@pytest.mark.parametrize("name", [".git/model", "LICENSE_model", ".", "empty"])
def test_an_encoder_of_files_that_the_manifest_does_not_list_is_refused(folder: Path, name: str) -> None:
    if name == "empty":
        (folder / name).mkdir()
    elif name != ".":
        write_bert(folder / name)
        for file in (folder / name).iterdir():
            if name == "LICENSE_model":  # as hubs leave them
                file.rename(file.with_name(f"LICENSE_{file.name}"))
    encoder = {"class_path": "TransformersTextEncoder", "init_args": {"path": name}}
    reseal(folder, lambda manifest: manifest["about"]["recipe"]["encoders"].update(text_encoder=encoder))
    with pytest.raises(DataError, match="files of the text_encoder inside the linker's folder"):
        read(folder, "cpu")


@pytest.mark.parametrize("path", ["a\0b", "a\ud83d"])
def test_a_path_of_what_is_no_character_is_refused_in_words(folder: Path, path: str) -> None:
    encoder = {"class_path": "TransformersTextEncoder", "init_args": {"path": path}}
    reseal(folder, lambda manifest: manifest["about"]["recipe"]["encoders"].update(text_encoder=encoder))
    with pytest.raises(DataError, match="files of the text_encoder by a path"):
        read(folder, "cpu")


@pytest.mark.parametrize("option", ["path", "pretrained"])
def test_a_path_of_any_length_is_refused_in_words(folder: Path, option: str) -> None:
    kind = {"path": "TransformersTextEncoder", "pretrained": "OpenClipEncoder"}[option]
    encoder = {"class_path": kind, "init_args": {option: "a" * 300}}
    reseal(folder, lambda manifest: manifest["about"]["recipe"]["encoders"].update(text_encoder=encoder))
    with pytest.raises(DataError, match="files of the text_encoder by a path\nfound    300 characters"):
        read(folder, "cpu")


def test_files_that_the_manifest_does_not_list_are_refused_and_those_of_hubs_are_not(folder: Path) -> None:
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in (".gitattributes", ".git/HEAD", ".cache/huggingface/x.metadata", "LICENSE", ".DS_Store"):
        (folder / name).write_text("left by a hub")
    assert len(read(folder, "cpu"))
    for name in ("encoders/text_encoder/own_code.py", "index/more.npy", "own.py", ".cache/other"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a stranger's")
        with pytest.raises(DataError, match=rf"nothing but the files that linker\.json lists\nfound    others: {name}"):
            read(folder, "cpu")
        (folder / name).unlink()
    (folder / "ranker").symlink_to(folder.parent)
    with pytest.raises(DataError, match="others: ranker"):
        read(folder, "cpu")


def test_a_file_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("private")
    facts = {"bytes": 7, "sha256": sha256(secret)}
    for name in ("../secret.txt", str(secret), "index/../../secret.txt", "a\0b"):
        before = (folder / MANIFEST).read_text()
        reseal(folder, lambda manifest, name=name: manifest["files"].update({name: facts}))
        with pytest.raises(DataError, match="a file that lies outside of it"):
            read(folder, "cpu")
        (folder / MANIFEST).write_text(before)
    (folder / "linked").symlink_to(secret)
    reseal(folder, lambda manifest: manifest["files"].update(linked=facts))
    with pytest.raises(DataError, match="a file that lies outside of it: linked"):
        read(folder, "cpu")


def test_a_folder_in_the_hubs_cache_whose_files_are_links_to_its_blobs_opens(folder: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    blobs.mkdir(parents=True)
    for number, path in enumerate(path for path in folder.rglob("*") if path.is_file()):
        place = snapshot / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(blobs / str(number))
        place.symlink_to(blobs / str(number))
    assert len(read(snapshot, "cpu"))


@pytest.mark.parametrize("form", ["repeated", "compressed"])
def test_a_table_out_of_proportion_is_refused_by_what_its_metadata_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    monkeypatch.setattr(folder_files, "LEAST", 2**18)
    table = pa.ipc.open_file((folder / "entities.arrow").read_bytes()).read_all()
    text = ["ab" * 10_000] * len(table)
    wrong = table.set_column(table.schema.names.index("text"), "text", pa.array(text, pa.string()))
    options = {} if form == "repeated" else {"use_dictionary": False, "compression": "zstd"}
    pq.write_table(wrong, tmp_path / "wrong.parquet", **options)
    with pytest.raises(DataError, match=r"wrong\.parquet, whose [\d,]+ bytes become 6,[\d,]+ in memory, more than 200"):
        folder_files.read_parquet(tmp_path / "wrong.parquet", "a table", "again")


def test_a_table_of_a_dataset_out_of_proportion_is_refused_and_a_context_of_many_mentions_is_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "LEAST", 2**18)
    root = Path(yaml.safe_load((run / "config.yaml").read_text())["data"]["root"])
    shutil.copytree(root, tmp_path / "dataset")
    for name, column in (("mentions", "context"), ("entities", "name"), ("texts/brief", "text")):
        place = tmp_path / "dataset" / f"{name}.parquet"
        good = pq.read_table(place)
        for length, is_refused in ((2_000, False), (100_000, True)):
            text = pa.array(["ab" * length] * len(good), pa.large_string())
            pq.write_table(good.set_column(good.schema.names.index(column), column, text), place)
            opened = Dataset(tmp_path / "dataset")
            read_it = partial(opened.texts, "brief") if "/" in name else partial(getattr, opened, name)
            if is_refused:
                with pytest.raises(
                    DataError, match=rf"{place.name}, whose [\d,]+ bytes become [\d,]+ in memory, more than 1000"
                ):
                    read_it()
            else:
                assert len(read_it())
        pq.write_table(good, place)


def test_other_tables_are_refused(folder: Path, tmp_path: Path) -> None:
    name = "entities.arrow"
    table = pa.ipc.open_file((folder / name).read_bytes()).read_all()
    good = (folder / name).read_bytes()
    for wrong, message in (
        (table.drop_columns(["name"]), "the entities of a linker"),
        (table.set_column(0, "row", pa.array([-1] * len(table), pa.int64())), "rows that are not below 300, each once"),
        (table.set_column(1, "id", pa.array(["same"] * len(table))), "several of the id 'same'"),
        (table.set_column(1, "id", pa.array([None] * len(table), pa.string())), "without a row, an id or a name"),
        (table.set_column(2, "name", pa.array([["a"]] * len(table))), "the entities of a linker"),
    ):
        write_arrow(wrong, tmp_path / "wrong")
        put(folder, name, (tmp_path / "wrong").read_bytes())
        with pytest.raises(DataError, match=message):
            read(folder, "cpu")
    put(folder, name, b"no table")
    with pytest.raises(DataError, match=rf"damaged {name}"):
        read(folder, "cpu")
    put(folder, name, good)
    assert len(read(folder, "cpu"))


LISTS = ("string_words", "word_strings", "word_ngrams", "ngram_words")
OTHER_WEIGHTS = ("idf", "lengths", "reaches", "norms", "word_times", "ngram_times")
NAME_FILES = ["ngrams", "counts", "live", *LISTS, *(f"{name}_starts" for name in LISTS), *OTHER_WEIGHTS]


@pytest.mark.parametrize("name", NAME_FILES)
def test_arrays_that_do_not_fit_each_other_are_refused(saved: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(saved / "names", tmp_path / "names")
    array = np.load(saved / "names" / f"{name}.npy")
    claimed = np.lib.format.header_data_from_array_1_0(array) | {"shape": (10**12,)}
    with (tmp_path / "long.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, claimed)  # type: ignore[arg-type]
    np.save(tmp_path / "short.npy", array[:-1])
    np.save(tmp_path / "other.npy", np.array(["a"]))
    np.save(
        tmp_path / "far.npy", array[None] if array.dtype.kind in "bU" else array + np.array(10**6).astype(array.dtype)
    )
    for wrong in ("long", "short", "other", "far"):
        if wrong == "far" and name in OTHER_WEIGHTS:
            continue  # other weights are weights
        content = (tmp_path / f"{wrong}.npy").read_bytes()
        (tmp_path / "names" / f"{name}.npy").write_bytes(content)
        manifest = json.loads((tmp_path / "names" / "index.json").read_text())
        manifest.pop("seal")
        manifest["files"][f"{name}.npy"] = {
            "bytes": len(content),
            "sha256": sha256(tmp_path / "names" / f"{name}.npy"),
        }
        (tmp_path / "names" / "index.json").write_text(json.dumps({**manifest, "seal": _seal(manifest)}))
        with pytest.raises(DataError, match="a name index"):
            EntityNames.load(tmp_path / "names")


BRACKETS = "[" * 20_000


@pytest.mark.parametrize("name", ["linker.json", "index/index.json", "names/index.json"])
@pytest.mark.parametrize("content", [BRACKETS, '{"a":' * 5_000, "", "null", "7", "[]", "{}", '"a"', "\ud83d", "{'a'}"])
def test_what_is_no_manifest_is_refused_in_words(folder: Path, name: str, content: str) -> None:
    data = content.encode("utf-8", "surrogatepass")
    if "/" in name:
        put(folder, name, data)
    else:
        (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=r"in the place of|damaged|found    a "):
        read(folder, "cpu")


@pytest.mark.parametrize("name", ["config.yaml", "places.json"])
@pytest.mark.parametrize("content", [BRACKETS, "", "null", "7", "[]", "model: 7", "&a [*a, *a]", "data: {root: 3}"])
def test_what_is_no_configuration_of_a_run_is_refused_in_words(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    stranger = tmp_path / "run"
    stranger.mkdir()
    for each in ("config.yaml", "places.json"):
        shutil.copyfile(run / each, stranger / each)
    (stranger / name).write_text(content)
    assert main(["link", "--model", str(stranger), "--mention", "Ada"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "places.json", "metrics.json", "ranks.parquet", "checkpoints/best.ckpt", "unfinished.json"],
)
@pytest.mark.parametrize("what", ["pipe", pytest.param("device", marks=pytest.mark.long)])
def test_what_is_no_file_in_the_place_of_a_runs_file_is_not_read(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, what: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    put_what_never_ends(tmp_path / "run" / name, what)
    commands = [
        ["test", "--config", str(tmp_path / "run" / "config.yaml")],
        ["link", "--model", str(tmp_path / "run"), "--mention", "Ada"],
        ["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")],
    ]
    for command in commands:
        with ending():
            main(command)
    assert "Traceback" not in capsys.readouterr().err
    if name in ("config.yaml", "places.json", "checkpoints/best.ckpt"):
        with ending(), pytest.raises(DimError, match="is a pipe or a device, and no file"):
            Linker.from_checkpoint(tmp_path / "run", device="cpu")


def put_what_never_ends(path: Path, what: str) -> None:
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["dataset.json", "entities.parquet", "mentions.parquet", "texts/brief.parquet"])
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_what_is_no_file_in_the_place_of_a_datasets_file_is_not_read(
    run: Path, tmp_path: Path, name: str, what: str
) -> None:
    root = Path(yaml.safe_load((run / "config.yaml").read_text())["data"]["root"])
    shutil.copytree(root, tmp_path / "dataset")
    put_what_never_ends(tmp_path / "dataset" / name, what)
    with ending(), pytest.raises(DataError, match="is a pipe or a device, and no file"):
        read_whole(tmp_path / "dataset")


def read_whole(folder: Path) -> None:
    dataset = Dataset(folder)
    _ = dataset.entities, dataset.mentions, dataset.texts("brief")


def test_a_linker_with_any_key_of_its_manifest_changed_or_gone_opens_or_is_refused_in_words(
    saved: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copytree(saved, tmp_path / "linker")

    def use(folder: Path) -> None:
        assert read(folder, "cpu").link("Ada", "Ada sang.", top_k=2)

    check_mutations(tmp_path / "linker", use, 1500 if request.config.getoption("--long") else 60)


def linked_out(folder: Path, outside: Path) -> dict[Path, bytes]:
    """Moves each file of a folder away and puts a link to it in its place; what the links lead to."""
    found = {}
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        place = outside / f"{number}{file.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, place)
        file.symlink_to(place)
        found[place] = place.read_bytes()
    return found


@pytest.mark.usefixtures("quick_ranker")
def test_what_links_of_a_strangers_run_and_dataset_lead_to_is_not_written_over(run: Path, tmp_path: Path) -> None:
    shutil.copytree(yaml.safe_load((run / "config.yaml").read_text())["data"]["root"], tmp_path / "dataset")
    shutil.copytree(run, tmp_path / "run")
    dataset, stranger = tmp_path / "dataset", tmp_path / "run"
    before = linked_out(dataset, tmp_path / "of_dataset") | linked_out(stranger, tmp_path / "of_run")
    ids = Dataset(dataset).mentions["id"].tolist()
    (tmp_path / "captions.csv").write_text(f"mention_id,caption\n{ids[0]},a portrait\n")
    config = ["--config", str(stranger / "config.yaml"), "--data.root", str(dataset)]
    commands = [
        ["audit", str(dataset)],
        ["caption", str(dataset), "--import_from", str(tmp_path / "captions.csv")],
        ["validate", *config],
        ["test", *config],
        ["predict", *config],
        ["rank", "--run", str(stranger), "--folds", "2", "--num_candidates", "4"],
        ["report", str(stranger), "--out", str(tmp_path / "report.html")],
    ]
    ended = {command[0]: main(command) for command in commands}
    assert [path for path in before if path.read_bytes() != before[path]] == []
    assert not any(ended[command] for command in ("audit", "caption", "validate", "rank", "report"))
    assert "a portrait" in Dataset(dataset).mentions["caption"].tolist()


@pytest.mark.parametrize("command", ["refresh", "caption"])
def test_no_answer_is_added_to_what_a_link_of_a_strangers_dataset_leads_to(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    shutil.copytree(yaml.safe_load((run / "config.yaml").read_text())["data"]["root"], tmp_path / "dataset")
    name, option = {"refresh": ("new", "--model"), "caption": ("captions-new", "--server.model")}[command]
    record = tmp_path / "dataset" / "answers" / f"{name}.jsonl"
    record.parent.mkdir()
    (tmp_path / "mine.txt").write_text("mine\n")
    record.symlink_to(tmp_path / "mine.txt")
    named = ["--variant", "new"] if command == "refresh" else ["--name", "new", "--overwrite", "true"]
    url = ["--base_url" if command == "refresh" else "--server.base_url", "http://127.0.0.1:9/v1"]
    assert main([command, str(tmp_path / "dataset"), option, "tiny", *named, *url]) == 1
    assert f"found    a link to {tmp_path / 'mine.txt'}" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine\n"
