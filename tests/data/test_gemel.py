import json
from pathlib import Path
from typing import Any

import pytest
from fake_diverse import write_diverse
from fake_gemel import gemel_row, write_gemel, write_lines
from fake_wikidiverse import image_name, image_url, write_passages
from releases import PEOPLE, write_dim_release, write_image

from dim.errors import DataError
from dim.releases.base import Release
from dim.releases.found_images import look_up_images
from dim.releases.gemel import NO_TARGET, Gemel
from dim.releases.mention_rows import NOTHING_TO_READ


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_gemel(tmp_path / "gemel")


def read_dev(root: Path, *rows: Any) -> Release:
    """The release with other dev rows."""
    write_lines(root / "dev.json", list(rows))
    return Gemel().read(root)


def dev_of(release: Release) -> Any:
    return release.mentions[release.mentions["split"] == "dev"].reset_index(drop=True)


def test_lines_become_mentions_in_the_order_of_the_files(root: Path) -> None:
    release = Gemel().read(root)
    mentions = release.mentions
    assert (release.name, release.rows_read) == ("gemel", 28)
    assert mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    first = mentions.iloc[0]
    assert (first["id"], first["mention"], first["entity_id"]) == ("train-000000", "Lovelace", "Ada Lovelace")
    assert first["context"][first["start"] : first["end"]] == "Lovelace"
    assert first["images"] == ["0.jpg"]
    assert first["attributes"] is None


def test_the_kb_is_the_names_to_generate_and_says_so(root: Path) -> None:
    release = Gemel().read(root)
    assert release.entities["name"].tolist() == sorted(PEOPLE)
    assert any("made of the answers alone, which is easier than a real KB" in note for note in release.notes)


def test_pickles_and_features_are_named_and_never_opened(root: Path) -> None:
    for name in ("prefix_tree_opt.pkl", "clip_vit_large_patch14_1024.hdf5"):
        (root / name).chmod(0)
    notes = Gemel().read(root).notes
    assert (
        "never opened (features and prefix tree are made anew): clip_vit_large_patch14_1024.hdf5, prefix_tree_opt.pkl"
        in notes
    )


@pytest.mark.parametrize("golden", ["NIL", "nil", "", None, " Nil "])
def test_nil_in_any_form_is_no_entity(root: Path, golden: object) -> None:
    release = read_dev(root, gemel_row(20, golden=golden, target="Out Of It"))
    assert dev_of(release)["entity_id"].tolist() == [None]
    assert "Out Of It" not in release.entities["id"].tolist()


def test_ids_are_golden_where_it_is_one_else_the_name(root: Path) -> None:
    release = read_dev(
        root,
        gemel_row(20, golden="Q42", target="Douglas Adams"),
        gemel_row(21, golden="q42", target="Douglas Noel Adams"),
        gemel_row(22, golden=1984, target="Nineteen Eighty-Four"),
        gemel_row(23, golden="1984", target="Nineteen Eighty-Four"),
        gemel_row(20, golden="https://en.wikipedia.org/wiki/Ada_Lovelace", target="Ada_Lovelace"),
        gemel_row(21, golden="x", target=1066),
        gemel_row(22, golden="y", target="1066"),
    )
    ids = ["Q42", "Q42", "1984", "1984", "Ada Lovelace", "1066", "1066"]
    assert dev_of(release)["entity_id"].tolist() == ids
    entities = release.entities.set_index("id")
    assert (entities.loc["Q42", "name"], entities.loc["Q42", "aliases"]) == ("Douglas Adams", ["Douglas Noel Adams"])
    assert entities.loc["1984", "name"] == "Nineteen Eighty-Four"


def test_images_may_be_names_or_urls(root: Path) -> None:
    write_image(root / "images" / image_name(3))
    row = gemel_row(20, img_url=image_url(3))
    del row["img_name"]
    bare = {key: value for key, value in row.items() if key != "img_url"}
    release = read_dev(root, row, gemel_row(21), bare, gemel_row(23, img_name=None))
    assert dev_of(release)["images"].tolist() == [[image_name(3)], ["10.jpg"], [], []]
    assert json.loads(dev_of(release)["attributes"][0]) == {"img_url": image_url(3)}
    assert look_up_images(release, None).has_image.count(False) == 27


def test_odd_quoting_survives(root: Path) -> None:
    text = 'Said "Rock\\n" \u2028 \u201cHi\u201d \U0001f600'
    release = read_dev(root, gemel_row(20, text=text, mention='"Rock', target='The "Rock" & 50%', source={"a": [1]}))
    dev = dev_of(release).iloc[0]
    assert (dev["context"], dev["mention"], dev["entity_id"]) == (text, '"Rock', 'The "Rock" & 50%')
    assert json.loads(dev["attributes"]) == {"source": {"a": [1]}}


def test_a_bom_crlf_and_blank_lines_do_no_harm(root: Path) -> None:
    rows = [gemel_row(number) for number in range(20, 24)]
    plain = Gemel().read(root).mentions
    write_lines(root / "dev.json", rows, end="\r\n\r\n  \r\n", start="\ufeff\r\n")
    assert Gemel().recognizes(root)
    assert Gemel().read(root).mentions.equals(plain)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (["text"], "an array"),
        ({"text": "t", "mention": "m", "target": "x"}, "no field 'golden'"),
        ({"mention": "m", "target": "x", "golden": "x"}, "no field 'text'"),
        (gemel_row(0, mention={}), "an object as 'mention'"),
        (gemel_row(0, golden=True), "a boolean as 'golden'"),
        (gemel_row(0, img_name=["a.jpg"]), "an array as 'img_name'"),
        (gemel_row(0, target=None), NO_TARGET),
        (gemel_row(0, mention="", text=" ", img_name=None), NOTHING_TO_READ),
    ],
)
def test_a_row_that_cannot_be_used_is_skipped_with_reason_and_place(root: Path, bad: object, reason: str) -> None:
    write_lines(root / "dev.json", [gemel_row(20), bad], start="\n")
    release = Gemel().read(root)
    assert release.skipped.as_json() == {reason: {"count": 1, "examples": ["dev.json line 3"]}}
    assert (release.rows_read, len(release.mentions)) == (26, 25)


def test_rows_that_stand_twice_or_in_two_splits_are_kept_and_named(root: Path) -> None:
    release = read_dev(root, gemel_row(20), gemel_row(20), gemel_row(0))
    assert len(release.mentions) == 27
    notes = " ".join(release.notes)
    assert "stand twice in one split are kept: 1" in notes
    assert "stand in two splits are kept: 1, first 'Lovelace' in dev" in notes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (json.dumps(gemel_row(20)) + "\n" + json.dumps(gemel_row(21))[:-1], "its end (truncated?) at line 2, column"),
        (json.dumps(gemel_row(20)) + "\n{'text': 'x'}\n", "double quotes at line 2, column 2"),
        ("", "none"),
        ("\n\n", "none"),
        ('{"text": "a", "text": "b"}', "the key 'text' twice in one object"),
    ],
)
def test_a_damaged_file_is_named_with_the_line(root: Path, text: str, problem: str) -> None:
    (root / "dev.json").write_text(text)
    with pytest.raises(DataError) as caught:
        Gemel().read(root)
    assert str(root / "dev.json") in str(caught.value)
    assert problem in str(caught.value)


def test_absent_splits_are_noted(root: Path) -> None:
    (root / "dev.json").unlink()
    assert "no dev.json: the split dev is empty" in Gemel().read(root).notes


def test_layouts_are_told_apart_by_their_first_row(root: Path, tmp_path: Path) -> None:
    assert Gemel().recognizes(root)
    others = (write_dim_release, write_diverse, write_passages)
    for number, write in enumerate(others):
        assert not Gemel().recognizes(write(tmp_path / str(number)))
    assert not Gemel().recognizes(root / "train.json")


def test_reading_twice_gives_the_same(root: Path) -> None:
    first, second = Gemel().read(root), Gemel().read(root)
    assert first.mentions.equals(second.mentions)
    assert first.entities.equals(second.entities)
