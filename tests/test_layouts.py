"""Every published layout through the real command: told by its files, prepared, audited, and the same every time."""

import json
import re
from os.path import normpath
from pathlib import Path

import pytest
from fake_diffmel import write_diffmel
from fake_diverse import write_diverse
from fake_drin import write_drin_wikimel
from fake_fissfuse import write_fissfuse
from fake_gemel import write_gemel
from fake_ghmfc import write_ghmfc
from fake_kgmel import write_kgmel
from fake_mimic import write_mimic
from fake_oven import write_oven
from fake_text_releases import write_shadowlink, write_zelda
from fake_tidedra import write_tidedra
from fake_wikidiverse import write_caption_images, write_entity_files, write_mentions, write_passages
from fake_wikiperson import write_wikiperson
from releases import write_dim_release, write_melbench, write_tables

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.releases.layouts import PUBLISHED, converters

ROOT = Path(__file__).resolve().parents[1]


def write_wikidiverse(root: Path) -> Path:
    write_mentions(root)
    write_entity_files(root)
    return write_caption_images(root)


WRITERS = {
    "dim": write_dim_release,
    "diverse": write_diverse,
    "wikidiverse": write_wikidiverse,
    "mimic": write_mimic,
    "gemel": write_gemel,
    "wikiperson": write_wikiperson,
    "ghmfc": write_ghmfc,
    "tidedra": write_tidedra,
    "drin": write_drin_wikimel,
    "fissfuse": write_fissfuse,
    "diffmel": write_diffmel,
    "oven": write_oven,
    "zelda": write_zelda,
    "kgmel": write_kgmel,
    "tables": write_tables,
}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_is_told_by_its_files_and_prepared_the_same_every_time(layout, tmp_path, capsys):
    release = tmp_path / "release"
    WRITERS[layout](release)
    options = ["--allow_missing", "true"]  # the fakes hold unknown answers on purpose
    for name in ("one", "two"):
        assert main(["prepare", str(release), str(tmp_path / name), *options]) == 0
    shown = capsys.readouterr().out
    one, two = Dataset(tmp_path / "one"), Dataset(tmp_path / "two")
    assert one.meta["layout"] == layout
    assert one.meta["hashes"] == two.meta["hashes"]
    assert (tmp_path / "one" / "audit.json").read_bytes() == (tmp_path / "two" / "audit.json").read_bytes()
    assert {"train", "tune"} <= set(one.mentions["split"])
    audit = json.loads((tmp_path / "one" / "audit.json").read_text())
    assert audit["dataset_hash"] == one.hash
    assert "· not checked" in shown
    assert re.search(rf"python -m dim fit --config own(_text)? --data.root {re.escape(str(tmp_path / 'one'))} ", shown)


def test_a_release_of_test_sets_alone_is_prepared(tmp_path, capsys):
    release = write_shadowlink(tmp_path / "release")
    assert main(["prepare", str(release), str(tmp_path / "out")]) == 0
    dataset = Dataset(tmp_path / "out")
    assert dataset.meta["layout"] == "shadowlink"
    assert set(dataset.mentions["split"]) == {"test"}
    assert "note: the release is a test set" in capsys.readouterr().out


def test_passages_of_wikidiverse_are_a_release_too(tmp_path):
    release = tmp_path / "release"
    write_passages(release)
    assert main(["prepare", str(release), str(tmp_path / "out"), "--allow_missing", "true", "--audit", "false"]) == 0
    assert Dataset(tmp_path / "out").meta["layout"] == "wikidiverse"
    assert not (tmp_path / "out" / "audit.json").exists()


def test_melbench_is_named_by_its_file(tmp_path):
    release = write_melbench(tmp_path / "release")
    file = next(path for path in release.glob("*.json"))
    assert main(["prepare", str(file), str(tmp_path / "out"), "--allow_missing", "true"]) == 0
    assert Dataset(tmp_path / "out").meta["layout"] == "melbench"


def test_titles_of_refreshed_texts_find_their_entities_however_they_are_written(tmp_path):
    release = write_diverse(tmp_path / "release")
    (tmp_path / "plus.json").write_text(json.dumps({"ada_Lovelace": "A refreshed text."}))
    arguments = ["prepare", str(release), str(tmp_path / "out"), "--allow_missing", "true"]
    assert main([*arguments, "--texts", json.dumps({"plus": str(tmp_path / "plus.json")})]) == 0
    assert Dataset(tmp_path / "out").texts("plus")["Ada Lovelace"] == "A refreshed text."


def test_what_a_language_model_answered_survives_a_new_preparation(tmp_path):
    release = write_dim_release(tmp_path / "release")
    arguments = ["prepare", str(release), str(tmp_path / "out"), "--allow_missing", "true", "--audit", "false"]
    assert main(arguments) == 0
    (tmp_path / "out" / "answers").mkdir()
    (tmp_path / "out" / "answers" / "refreshed.jsonl").write_text("{}\n")
    assert main(arguments) == 0
    assert (tmp_path / "out" / "answers" / "refreshed.jsonl").read_text() == "{}\n"


def test_no_layout_names_the_folder_of_the_release_among_its_subfolders_nor_one_twice():
    for converter in converters():
        folders = [normpath(folder) for folder in converter.folders]
        assert "." not in folders
        assert sorted(set(folders)) == sorted(converter.folders)


@pytest.mark.parametrize("document", ["how_to/prepare.md", "reference/layouts.md", "reference/releases.md"])
def test_every_layout_stands_in_the_tables_of_the_documents(document):
    rows = [line for line in (ROOT / "docs" / document).read_text().splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert {converter.layout for converter in PUBLISHED} | {"tables"} <= told
