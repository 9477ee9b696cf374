import json
import os
import re
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from releases import (
    edit_json,
    mention_rows,
    row,
    write_dim_release,
    write_image,
    write_json,
    write_melbench,
    write_table,
    write_tables,
)

from dim.data.dataset import Dataset, add_texts, gold_ids
from dim.errors import ConfigError, DataError, DimError
from dim.features.caption_store import ANSWER_SCHEMA, write_answers, write_captions
from dim.images.reading import load_image
from dim.refresh.answers import AnswerLog
from dim.releases.prepare import _raw_key, open_dataset, prepare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dim_release(tmp_path / "wikimel", images=True)


def prepare_error(root: Path, **options: object) -> str:
    with pytest.raises(DimError) as caught:
        prepare(root, root.parent / "out", **options)  # type: ignore[arg-type]
    assert not (root.parent / "out").exists()
    return str(caught.value)


def plain(text: str) -> str:
    """Printed text with each run of spaces as one."""
    return re.sub(r"[ \n]+", " ", text)


def test_the_dataset_folder_holds_what_the_release_says(root: Path, tmp_path: Path) -> None:
    dataset = prepare(root, tmp_path / "out")
    assert dataset.name == "wikimel"
    assert dataset.variants == ["brief", "brief_long"]
    assert dataset.texts("brief")["Q107"] is None
    mention = dataset.mention("train-000001")
    assert (mention.mention, mention.entity_id, mention.images) == ("Turing", "Q101", ("0.jpg",))
    assert mention.candidates == ("Q101", "Q100")
    assert dataset.image_root == root / "images"
    assert dataset.meta["num_mentions"] == {"train": 18, "dev": 4, "test": 4, "tune": 2}


def test_tune_is_the_same_whole_captions_every_time(root: Path, tmp_path: Path) -> None:
    first, second = prepare(root, tmp_path / "a"), prepare(root, tmp_path / "b")
    assert first.hash == second.hash
    assert (tmp_path / "a" / "dataset.json").read_bytes() == (tmp_path / "b" / "dataset.json").read_bytes()
    assert first.split("tune")["context"].nunique() == 1
    assert not set(first.split("tune")["context"]) & set(first.split("train")["context"])


def test_siblings_stay_together_even_where_the_images_are_not_there(tmp_path: Path) -> None:
    root = write_dim_release(tmp_path / "release")
    rows = {str(n): row(n) | {"sentence": f"caption {n}", "imgPath": f"{n // 2}.jpg"} for n in range(40)}
    write_json(root / "train.json", rows)
    dataset = prepare(root, tmp_path / "out")
    tune = {int(json.loads(text)["key"]) for text in dataset.split("tune")["attributes"]}
    assert len(tune) == 4
    assert {n ^ 1 for n in tune} == tune
    assert dataset.mention("train-000000").images == ()


def test_the_summary_counts_all_that_was_read_kept_and_left_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {
        "unknown": row(0) | {"answer": "Q9"},
        "empty": row(1) | {"mentions": " ", "sentence": "", "imgPath": "gone.png"},
        "nil": row(2) | {"answer": "NIL", "imgPath": "../secret.jpg"},
        "gone": row(3) | {"mentions": row(3)["entities"].lower(), "imgPath": "gone.jpg"},
    }
    write_json(root / "train.json", {str(n): row(n % 20) for n in range(120)} | changes)
    dataset = prepare(root, tmp_path / "out", name="My [red]WikiMEL")
    text = plain(capsys.readouterr().out)
    for line in (
        "My [red]WikiMEL → ",
        "mention rows read 132",
        "kept 130",
        "in train 110 in tune 12 in dev 4 in test 4",
        "with an answer in the KB 129 NIL 1",
        "skipped 2",
        "answer not in the KB 1 first: train.json unknown: 'Lovelace' → Q9",
        "neither name, context nor usable image 1 first: train-000121",
        "mention is the gold's name 0.8% of those with an answer",
        "mentions without image 2",
        "images left out 3 of mentions and entities",
        "no such file 2 first: gone.png; gone.jpg",
        "path leaves the image folder 1 first: ../secret.jpg",
        f"entities (the KB) 8 hash {dataset.kb_hash}",
        "without name 0",
        "without text 'brief' 1 without text 'brief_long' 0",
        f"dataset hash {dataset.hash}",
    ):
        assert line in text
    meta = dataset.meta
    assert (meta["rows_read"], meta["rows_kept"], meta["num_nil"], meta["layout"]) == (132, 130, 1, "dim")
    assert meta["skipped"]["neither name, context nor usable image"] == {"count": 1, "examples": ["train-000121"]}
    assert meta["images"]["no such file"]["count"] == 2
    assert meta["entities_without_text"] == {"brief": 1, "brief_long": 0}
    assert dataset.mention("train-000122").images == ()
    assert dataset.mention("train-000122").entity_id is None
    assert dataset.mention("train-000123").images == ("gone.jpg",)


def test_a_release_without_images_is_text_only_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = prepare(write_dim_release(tmp_path / "release"), tmp_path / "out")
    assert dataset.meta["mentions_without_image"] == 28
    assert "no folder images" in plain(capsys.readouterr().out)


def test_a_limit_of_missing_images_holds_where_there_is_no_folder_of_them(tmp_path: Path) -> None:
    root = write_dim_release(tmp_path / "release")
    message = prepare_error(root, max_missing_images=0.9)
    assert "at most 90% of them missing" in message
    assert "28 of 28 mentions without theirs (28 no image folder)" in message
    assert "dim prepare --images FOLDER" in message


def test_an_image_folder_elsewhere_can_be_named(tmp_path: Path) -> None:
    write_image(tmp_path / "pictures" / "0.jpg")
    dataset = prepare(write_dim_release(tmp_path / "release"), tmp_path / "out", images=tmp_path / "pictures")
    assert dataset.image_root == tmp_path / "pictures"
    assert dataset.meta["mentions_without_image"] == 26


def test_further_texts_become_variants(root: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "new.json", {"Q100": "Mathematician.", "Q101": None, "Q999": "Nobody."})
    dataset = prepare(root, tmp_path / "out", texts={"refreshed": tmp_path / "new.json"})
    assert dataset.variants == ["brief", "brief_long", "refreshed"]
    assert dataset.texts("refreshed").dropna().to_dict() == {"Q100": "Mathematician."}
    assert dataset.meta["entities_without_text"]["refreshed"] == 7


def test_a_variant_name_that_is_a_path_is_refused(root: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "new.json", {"Q100": "Mathematician."})
    assert "found    '../x'" in prepare_error(root, texts={"../x": tmp_path / "new.json"})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_own_tables_give_the_same_dataset_in_every_format(tmp_path: Path, suffix: str) -> None:
    dataset = prepare(write_tables(tmp_path / "mine", suffix), tmp_path / "out")
    assert dataset.meta["layout"] == "tables"
    assert dataset.entity("1").aliases == ("Turing", "Professor Turing")
    assert dataset.entity("1").popularity == 10.5
    assert dataset.mention("mention-000001").attributes == {"topic": "science"}
    assert dataset.meta["num_mentions"] == {"train": 22, "tune": 2, "dev": 2, "test": 2}
    write_tables(tmp_path / "other" / "mine", ".csv")
    attributes = ["attributes"]  # born is a string in CSV and a number elsewhere
    csv = prepare(tmp_path / "other" / "mine", tmp_path / "csv")
    pd.testing.assert_frame_equal(dataset.mentions, csv.mentions)
    pd.testing.assert_frame_equal(dataset.entities.drop(columns=attributes), csv.entities.drop(columns=attributes))


def test_melbench_is_recognized_as_a_folder_and_as_a_file(tmp_path: Path) -> None:
    root = write_melbench(tmp_path / "melbench")
    folder = prepare(root, tmp_path / "a")
    file = prepare(root / "Wikidata-MEL.json", tmp_path / "b")
    assert folder.meta | {"prepared_from": ""} == file.meta | {"prepared_from": ""}
    assert folder.meta["layout"] == "melbench"
    assert folder.variants == []


def test_more_than_a_hundredth_of_unknown_answers_stops(root: Path, tmp_path: Path) -> None:
    edit_json(root / "train.json", **{f"x{n}": row(n) | {"answer": f"Q9{n}"} for n in range(6)})
    message = prepare_error(root)
    assert "expected answers that the KB of wikimel has (at most 1% may be unknown)" in message
    assert "6 of 34 rows with an unknown answer; first: train.json x0: 'Lovelace' → Q90; " in message
    assert message.count("train.json x") == 5
    assert "--allow_missing=true" in message
    assert prepare(root, tmp_path / "out", allow_missing=True).meta["skipped"]["answer not in the KB"]["count"] == 6


def test_an_entity_id_that_stands_twice_is_an_error(root: Path) -> None:
    write_json(root / "qids_ordered.json", ["Q100", "Q101", "Q100"])
    assert "expected every entity id once in wikimel\nfound    1 twice: Q100" in prepare_error(root)


def test_a_kb_of_one_entity_is_refused(root: Path) -> None:
    write_json(root / "qids_ordered.json", ["Q100"])
    message = prepare_error(root, allow_missing=True)
    assert "expected a KB of two entities or more in wikimel\nfound    1" in message
    assert "every answer is right" in message


def test_a_release_without_a_usable_mention_is_refused(root: Path) -> None:
    for split in ("train", "dev", "test"):
        write_json(
            root / f"{split}.json", {"0": row(0) | {"mentions": "", "sentence": " ", "imgPath": f"no {split}.jpg"}}
        )
    assert (
        "expected a usable mention in wikimel\nfound    none (3 neither name, context nor usable image)"
        in prepare_error(root)
    )


def test_a_split_with_no_rows_is_named_when_it_is_used(root: Path, tmp_path: Path) -> None:
    (root / "test.json").unlink()
    dataset = prepare(root, tmp_path / "out")
    with pytest.raises(DataError, match=r"the split 'test' of wikimel\nfound    no row; the splits are: train \(18\)"):
        dataset.split("test")


def test_an_unknown_layout_lists_what_each_layout_needs(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("")
    message = prepare_error(tmp_path / "folder")
    assert "dim: train.json, dev.json, test.json (one or more) beside qid2ne.json or ne2qid.json" in message
    assert "found    notes.txt" in message


def test_a_layout_can_be_named(root: Path) -> None:
    assert "one of entities.csv, entities.tsv, entities.jsonl, entities.ndjson, entities.parquet" in prepare_error(
        root, layout="tables"
    )


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    assert f"expected {tmp_path / 'none'}\nfound    nothing there" in prepare_error(tmp_path / "none")


def test_a_dataset_folder_is_no_release(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "done")
    message = prepare_error(tmp_path / "done")
    assert "a dataset folder, prepared already" in message
    assert f"--data.root {tmp_path / 'done'}" in message


def test_an_earlier_dataset_is_replaced_but_nothing_else_is(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "out")
    prepare(root, tmp_path / "out", name="again")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["name"] == "again"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match=r"found    other files: thesis\.tex"):
        prepare(root, tmp_path / "home", overwrite=True)
    for place, found in ((root, "the folder itself"), (root / "out", "a place inside"), (tmp_path, "that holds")):
        with pytest.raises(ConfigError, match=found):
            prepare(root, place, overwrite=True)
    prepare(write_tables(tmp_path / "mine"), tmp_path / "mine's")
    with pytest.raises(ConfigError, match=r"a dataset of dim prepare, written before\nto do .*--overwrite true"):
        prepare(root, tmp_path / "mine's")
    prepare(root, tmp_path / "mine's", overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "precious"


def test_another_release_of_the_same_folder_replaces_nothing_unasked(root: Path, tmp_path: Path) -> None:
    write_tables(root)
    prepare(root, tmp_path / "out", layout="dim", audit=False)
    both = write_melbench(tmp_path / "melbench")
    (both / "Richpedia-MEL.json").write_bytes((both / "Wikidata-MEL.json").read_bytes())
    prepare(both / "Wikidata-MEL.json", tmp_path / "first", audit=False)
    before = {name: (tmp_path / name / "dataset.json").read_bytes() for name in ("out", "first")}
    with pytest.raises(ConfigError, match="written before"):
        prepare(root, tmp_path / "out", layout="tables", audit=False)
    with pytest.raises(ConfigError, match="written before"):
        prepare(both / "Richpedia-MEL.json", tmp_path / "first", audit=False)
    assert {name: (tmp_path / name / "dataset.json").read_bytes() for name in before} == before


def test_what_models_said_of_a_dataset_is_not_dropped_unasked(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset = prepare(root, out, audit=False)
    add_texts(out, "refreshed-mine", dataset.text_table("brief"), model="mine")
    with pytest.raises(ConfigError, match=r"found    one with what models said: refreshed-mine\nto do .*--overwrite"):
        prepare(root, out, audit=False)
    assert "refreshed-mine" in Dataset(out).variants
    table = out / "texts" / "refreshed-mine.parquet"
    pd.read_parquet(table).to_parquet(table, index=False)  # as before tables said it of themselves
    with pytest.raises(ConfigError, match="found    one with what models said: refreshed-mine\n"):
        prepare(root, out, audit=False)
    assert prepare(root, out, audit=False, overwrite=True).variants == ["brief", "brief_long"]
    captioned = write_captions(Dataset(out), ["A portrait."] * len(Dataset(out).mentions), overwrite=True)
    answers = {name: ["…"] for name in ANSWER_SCHEMA.names} | {"images": [["0.jpg"]]}
    write_answers(captioned, "mine", pd.DataFrame(answers), [])
    with pytest.raises(ConfigError, match="found    one with what models said: captions\n"):
        prepare(root, out, audit=False)
    assert (Dataset(out).mentions["caption"] == "A portrait.").all()
    for overwrite in (True, False):  # the record of captions is kept, and is none of those that stand there
        assert prepare(root, out, audit=False, overwrite=overwrite).mentions["caption"].isna().all()
        assert (out / "captions" / "mine.parquet").exists()


def test_a_dataset_whose_refresh_runs_is_not_replaced(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "out")
    before = (tmp_path / "out" / "dataset.json").read_bytes()
    with (
        AnswerLog(tmp_path / "out", "new").open(),
        ThreadPoolExecutor(1) as other,
        pytest.raises(ConfigError, match=r"nobody else writing in .*out\nfound    dim refresh \(process"),
    ):
        other.submit(prepare, root, tmp_path / "out").result()
    assert (tmp_path / "out" / "dataset.json").read_bytes() == before
    prepare(root, tmp_path / "out")
    assert (tmp_path / "out" / "answers" / "new.jsonl").exists()


def test_open_dataset_prepares_once_and_again_when_a_file_changes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = open_dataset(root, tmp_path / "cache")
    assert first.root.parent == tmp_path / "cache" / "datasets"
    assert "mention rows read" in capsys.readouterr().out
    assert open_dataset(root, tmp_path / "cache").root == first.root
    assert capsys.readouterr().out == f"wikimel: prepared already, in {first.root}\n"
    os.utime(root / "brief.json", ns=(1, 1))
    assert open_dataset(root, tmp_path / "cache").root != first.root


def test_open_dataset_notices_a_change_of_a_table_whose_ending_is_in_capitals(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "mine")
    (root / "mentions.csv").rename(root / "mentions.CSV")
    first = open_dataset(root, tmp_path / "cache")
    write_table(root / "mentions.csv", mention_rows()[:20])
    (root / "mentions.csv").rename(root / "mentions.CSV")
    second = open_dataset(root, tmp_path / "cache")
    assert (len(first.mentions), len(second.mentions)) == (28, 20)


def test_open_dataset_opens_a_dataset_folder_as_it_is(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "out")
    assert open_dataset(tmp_path / "out", tmp_path / "cache").root == tmp_path / "out"
    assert not (tmp_path / "cache").exists()


def test_open_dataset_notices_images_that_came_later(tmp_path: Path) -> None:
    root = write_dim_release(tmp_path / "release")
    assert open_dataset(root, tmp_path / "cache").mention("train-000000").images == ()
    write_image(root / "images" / "0.jpg")
    assert open_dataset(root, tmp_path / "cache").mention("train-000000").images == ("0.jpg",)


def test_a_release_that_may_only_be_read_is_left_as_it_was(root: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
    open_dataset(root, tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == before


VIETNAMESE, KOREAN = "Nguyễn Huệ", "김구"
FORMS = ["NFC", "NFD"]


def write_composed_or_not(root: Path, tables: str, files: str) -> Path:
    """Tables with Vietnamese and Korean names, and their images, in the Unicode forms named."""
    image = root / "images" / unicodedata.normalize(files, f"{VIETNAMESE}.png")
    write_image(image)
    entities = [
        {"id": "é1", "name": VIETNAMESE, "aliases": f"Quang Trung|{KOREAN}", "image": f"images/{VIETNAMESE}.png"},
        {"id": "é2", "name": KOREAN, "aliases": "", "image": ""},
    ]
    mentions = [
        {
            "mention": name,
            "context": f"é: {name} hét {number}",
            "entity_id": entity_id,
            "image": f"images/{VIETNAMESE}.png",
            "start": len(unicodedata.normalize(tables, "é: ")),
            "end": len(unicodedata.normalize(tables, f"é: {name}")),
            "candidates": "é1|é2",
            "topic": VIETNAMESE,
        }
        for number, (name, entity_id) in enumerate([(VIETNAMESE, "é1"), (KOREAN, "é2")] * 3)
    ]
    for name, rows in (("entities", entities), ("mentions", mentions)):
        write_table(root / f"{name}.csv", rows)
        text = (root / f"{name}.csv").read_text(encoding="utf-8")
        (root / f"{name}.csv").write_text(unicodedata.normalize(tables, text), encoding="utf-8")
    return root


@pytest.mark.parametrize("tables", FORMS)
@pytest.mark.parametrize("files", FORMS)
def test_composed_and_decomposed_tables_and_files_are_one_dataset(tmp_path: Path, tables: str, files: str) -> None:
    wanted = prepare(write_composed_or_not(tmp_path / "c", "NFC", "NFC"), tmp_path / "wanted", name="x", audit=False)
    found = prepare(write_composed_or_not(tmp_path / "d", tables, files), tmp_path / "found", name="x", audit=False)
    assert found.hash == wanted.hash
    assert found.meta["mentions_without_image"] == 0
    mention = found.mention("mention-000000")
    assert mention.context[mention.start : mention.end] == VIETNAMESE
    assert mention.candidates == ("é1", "é2")
    assert found.entity("é1").aliases == ("Quang Trung", KOREAN)
    assert load_image(found.image_root / mention.images[0], found.image_root).size == (8, 8)
    assert not any("start and end" in note for note in found.meta["notes"])


def splits_by_context(dataset: Dataset) -> dict[str, str]:
    return dict(zip(dataset.mentions["context"], dataset.mentions["split"], strict=True))


def give_other_splits(folder: Path) -> dict[str, str]:
    """Exchanges train and test of a dataset folder, as if another version of dim had drawn them."""
    dataset = Dataset(folder)
    other = {"train": "test", "test": "train"}
    mentions = dataset.mentions.assign(split=dataset.mentions["split"].map(lambda split: other.get(split, split)))
    mentions.to_parquet(folder / "mentions.parquet", index=False)
    return splits_by_context(Dataset(folder))


def test_a_repaired_image_path_moves_no_mention(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "mine")
    text = (root / "mentions.csv").read_text()
    assert ",0.jpg," in text
    first = prepare(root, tmp_path / "first", audit=False)
    (root / "mentions.csv").write_text(text.replace(".jpg", "-repaired.png"))
    second = prepare(root, tmp_path / "second", audit=False)
    assert second.mentions["images"].tolist() != first.mentions["images"].tolist()
    assert splits_by_context(second) == splits_by_context(first)


def test_splits_once_written_stay_when_a_release_is_prepared_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_tables(tmp_path / "mine")
    prepare(root, tmp_path / "out", audit=False)
    before = give_other_splits(tmp_path / "out")
    with (root / "mentions.csv").open("a") as file:
        file.write((root / "mentions.csv").read_text().splitlines()[-1].replace("meeting", "a new meeting") + "\n")
    capsys.readouterr()
    again = prepare(root, tmp_path / "out", audit=False)
    assert splits_by_context(again).items() >= before.items()
    assert "drawn are those of out: 28 mentions found again, 1 new ones drawn" in plain(capsys.readouterr().out)
    assert splits_by_context(prepare(root, tmp_path / "new", audit=False)).items() != before.items()


def test_a_changed_release_keeps_the_splits_that_the_cache_has_of_it(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "mine")
    first = open_dataset(root, tmp_path / "cache")
    before = give_other_splits(first.root)
    with (root / "entities.csv").open("a") as file:
        file.write((root / "entities.csv").read_text().splitlines()[-1].replace("7", "77", 1) + "\n")
    second = open_dataset(root, tmp_path / "cache")
    assert second.root != first.root
    assert splits_by_context(second) == before


def test_an_earlier_folder_that_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_tables(tmp_path / "mine")
    prepare(root, tmp_path / "out", audit=False)
    (tmp_path / "out" / "mentions.parquet").write_bytes(b"cut off")
    prepare(root, tmp_path / "out", audit=False)
    assert "note: splits are drawn anew: the mentions of" in plain(capsys.readouterr().out)


def test_the_missing_demo_world_names_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="Make the demo world: dim demo-world demo/world --num_entities 2000"):
        open_dataset(Path("demo/world"), tmp_path)
    with pytest.raises(DataError, match="dim demo-world demo/small --num_entities 720"):
        Dataset("demo/small")
    with pytest.raises(DataError, match=r"counts from .*\), or name another[\s\S]*a release has to be unpacked first"):
        open_dataset(Path("data/wikimel"), tmp_path)


def test_options_for_tables_are_refused_for_published_layouts(root: Path) -> None:
    assert "found    the layout dim at" in prepare_error(root, encoding="cp1252")
    assert "tables of your own with --encoding" in prepare_error(root, list_separator=";")


def test_images_that_are_not_unpacked_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dim_release(tmp_path / "release")
    (root / "images.ZIP").write_bytes(b"PK")
    prepare(root, tmp_path / "out", audit=False)
    assert f"images may wait in images.ZIP: unzip -q {root}/images.ZIP -d {root}/images" in plain(
        capsys.readouterr().out
    )


NIL_LABELS = ("--NME--", "NIL0012", "None", "null", "-1")


def with_nil_labels(root: Path) -> Path:
    edit_json(root / "train.json", **{f"x{n}": row(n) | {"answer": label} for n, label in enumerate(NIL_LABELS)})
    return root


def test_labels_of_nil_are_named_when_they_are_met(root: Path) -> None:
    message = prepare_error(with_nil_labels(root))
    assert "If --NME--, NIL0012, None, null, -1 means that the KB has no such entity: --nil_labels" in plain(message)


def test_labels_of_nil_are_nil_by_option(root: Path, tmp_path: Path) -> None:
    labels = ["--NME--", "NIL*", "none", "null", "-1"]
    dataset = prepare(with_nil_labels(root), tmp_path / "out", nil_labels=labels, audit=False)
    assert (dataset.meta["rows_kept"], dataset.meta["num_nil"]) == (33, 5)
    part = prepare(root, tmp_path / "part", nil_labels=labels[:-1], audit=False, allow_missing=True)
    assert any("answers that mean NIL elsewhere were read as ids: -1; " in note for note in part.meta["notes"])


def test_a_name_that_stands_twice_without_offsets_is_said(root: Path, tmp_path: Path) -> None:
    edit_json(root / "train.json", x=row(0) | {"sentence": "Lovelace wrote to Lovelace"})
    dataset = prepare(root, tmp_path / "out", audit=False)
    said = "names that stand in their context more than once, and no offset says which is meant: 1, first train-000020"
    assert said in dataset.meta["notes"]


def test_mentions_that_an_encoder_may_not_reach_are_said(root: Path, tmp_path: Path) -> None:
    edit_json(root / "train.json", x=row(0) | {"sentence": "so " * 150 + "Lovelace"})
    notes = prepare(root, tmp_path / "out", audit=False).meta["notes"]
    assert any("300 characters into their context: 1, first train-000020; " in note for note in notes)


def test_several_golds_of_a_release_are_kept_and_captions_leave_them(root: Path, tmp_path: Path) -> None:
    key, first = next(iter(json.loads((root / "dev.json").read_text(encoding="utf-8")).items()))
    edit_json(root / "dev.json", **{key: first | {"answer": "Q101|Q100"}})
    dataset = prepare(root, tmp_path / "out")
    mentions = dataset.mentions
    [several] = mentions.index[[bool(len(ids)) for ids in mentions["other_golds"]]]
    assert gold_ids(mentions)[several] == ("Q101", "Q100")
    captioned = write_captions(dataset, ["A portrait."] * len(mentions), overwrite=True)
    assert gold_ids(captioned.mentions) == gold_ids(mentions)
    assert captioned.hash == dataset.hash


def test_a_release_in_the_cache_is_of_its_place_and_its_images(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.json").write_text("{}")
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # with the times of the files
    asked = [("a", None), ("b", None), ("a", tmp_path / "images"), ("a", tmp_path / "others")]
    assert len({_raw_key(tmp_path / root, images) for root, images in asked}) == len(asked)
