from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_fissfuse import write_lines
from fake_oven import page, question, write_infoseek, write_oven
from releases import PEOPLE, qid

from dim.data.dataset import write_dataset
from dim.data.streamed_texts import StreamedTexts
from dim.errors import DataError
from dim.releases.base import Release
from dim.releases.found_images import look_up_images
from dim.releases.layouts import find_converter
from dim.releases.oven import NO_ENTITY, Oven


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_oven(tmp_path / "oven")


def _texts(release: Release) -> dict[str, str]:
    texts = release.texts["brief"]
    assert isinstance(texts, StreamedTexts)
    return {row["entity_id"]: row["text"] for table in texts.tables() for row in table.to_pylist()}


def test_questions_become_mentions_without_a_context_that_would_tie_their_images(root: Path) -> None:
    assert find_converter(root).layout == "oven"
    release = Oven().read(root)
    assert release.name == "OVEN"
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 8}
    assert set(release.mentions["mention"]) == {"who is this person?"}
    assert set(release.mentions["context"]) == {""}
    assert release.mentions["entity_id"].tolist() == [qid(number) for number in range(28)]
    assert release.mentions["type"].value_counts().to_dict() == {"entity": 24, "query": 4}


def test_the_pages_are_the_kb_without_their_articles(root: Path) -> None:
    release = Oven().read(root)
    assert release.entities["id"].tolist() == [f"Q{100 + number}" for number in range(8)]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert _texts(release) == {f"Q{100 + number}": f"scientist {number}" for number in range(8)}


def test_images_are_found_in_their_shards_by_any_suffix(root: Path) -> None:
    release = Oven().read(root)
    looked_up = look_up_images(release, None)
    assert looked_up.has_image.count(False) == 1
    assert release.mentions["images"].tolist()[:3] == [
        ["oven_images/00/oven_00000000.jpg"],
        ["oven_images/01/oven_01000001.JPEG"],
        ["oven_images/02/oven_02000002.png"],
    ]
    assert release.entities["images"].tolist()[0] == ["wikipedia_images_full/Q100/Q100.jpg"]


def test_images_without_shards_are_found_by_any_suffix(root: Path) -> None:
    for path in sorted((root / "oven_images").rglob("oven_*")):
        path.rename(root / "oven_images" / path.name)
    release = Oven().read(root)
    assert look_up_images(release, None).has_image.count(False) == 1
    assert release.mentions["images"].tolist()[1] == ["oven_images/oven_01000001.JPEG"]


def test_test_files_without_entities_are_counted(root: Path) -> None:
    release = Oven().read(root)
    assert release.skipped.counts == {NO_ENTITY: 2}
    assert release.rows_read == 30


def test_infoseek_takes_its_entities_by_question(tmp_path: Path) -> None:
    root = write_infoseek(tmp_path / "infoseek")
    assert find_converter(root).layout == "oven"
    release = Oven().read(root)
    assert release.name == "InfoSeek"
    assert release.mentions["entity_id"].tolist() == [qid(number) for number in range(28)]
    assert release.texts == {}
    assert any("has no summaries" in note for note in release.notes)


def test_infoseek_without_its_entities_is_an_error(tmp_path: Path) -> None:
    root = write_infoseek(tmp_path / "infoseek")
    (root / "infoseek_val_withkb.jsonl").unlink()
    with pytest.raises(DataError, match=r"infoseek_val_withkb\.jsonl beside"):
        Oven().read(root)


def test_questions_without_pages_are_an_error(root: Path) -> None:
    (root / "Wiki6M_ver_1_0.jsonl").unlink()
    with pytest.raises(DataError, match="found    no such pages"):
        Oven().read(root)


def test_a_page_that_stands_twice_counts_once(root: Path) -> None:
    pages = [page(1), page(0), *(page(number) for number in range(2, 8)), page(0, wikipedia_summary="another")]
    write_lines(root / "Wiki6M_ver_1_0.jsonl", pages)
    release = Oven().read(root)
    assert release.entities["id"].tolist() == ["Q101", "Q100", *(f"Q{100 + number}" for number in range(2, 8))]
    assert _texts(release)["Q100"] == "scientist 0"
    assert any("whose id came before were left out: 1" in note for note in release.notes)


def test_summaries_are_written_as_pandas_writes_their_table(root: Path, tmp_path: Path) -> None:
    summaries = [page(number) for number in range(7)] + [page(7, wikipedia_summary=None), page(3)]
    write_lines(root / "Wiki6M_ver_1_0.jsonl", summaries)
    release = Oven().read(root)
    streamed = write_dataset(tmp_path / "streamed", **_tables(release))
    table = pd.DataFrame({"entity_id": list(_texts(release)), "text": list(_texts(release).values())}, dtype=object)
    whole = write_dataset(tmp_path / "whole", **_tables(release) | {"texts": {"brief": table}})
    for name in ("dataset.json", "texts/brief.parquet"):
        assert (streamed.root / name).read_bytes() == (whole.root / name).read_bytes()
    assert streamed.texts("brief").count() == 7


def _tables(release: Release) -> dict[str, Any]:
    return {name: getattr(release, name) for name in ("name", "entities", "texts", "mentions")}


def test_pages_that_change_while_they_are_read_are_an_error(root: Path, tmp_path: Path) -> None:
    release = Oven().read(root)
    write_lines(root / "Wiki6M_ver_1_0.jsonl", [page(number) for number in range(6)])
    with pytest.raises(DataError, match=r"8 summaries in .*as it had at first\n.*found    6"):
        write_dataset(tmp_path / "data", **_tables(release))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("bad", "found"),
    [({"wikidata_id": " "}, "an empty id in line 1"), ({"wikipedia_title": "x"}, "no field 'wikidata_id' in line 1")],
)
def test_a_page_of_another_shape_is_named(root: Path, bad: object, found: str) -> None:
    write_lines(root / "Wiki6M_ver_1_0.jsonl", [bad])
    with pytest.raises(DataError, match=f"found    {found}"):
        Oven().read(root)


def test_a_question_of_another_shape_is_named(root: Path) -> None:
    write_lines(root / "oven_data" / "oven_entity_val.jsonl", [question(0, "x", image_id=3)])
    with pytest.raises(DataError, match="found    a number as 'image_id' in line 1"):
        Oven().read(root)
