"""A linker of entities alone: from a table to answers, without a mention and without training."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sentence_folders import write_folder

from dim.__main__ import main
from dim.collective.coherence import Coherence
from dim.encoders.text import TransformersTextEncoder
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.errors import ConfigError, DataError
from dim.linker import Linker, ranked
from dim.linker.folder import MANIFEST
from dim.reranker.fact_files import load_facts
from dim.reranker.shipped import shipped

TABLE = """id;name;description;aliases;image
m1;Käthe Kollwitz;Deutsche Grafikerin und Bildhauerin;K. Kollwitz;{root}/photos/1.png
m2;齐白石;中国画家 who painted shrimps;Qi Baishi|Ch'i Pai-shih;photos/2.png
m3;محمود سعيد;Egyptian painter, a judge in Alexandria;Mahmoud Said;
m4;Mahmoud Mokhtar;Egyptian sculptor of Nahdat Misr;;
"""
NAMES = ["Käthe Kollwitz", "齐白石", "محمود سعيد", "Mahmoud Mokhtar"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "museum" / "photos").mkdir(parents=True)
    for place, colour in ((1, "red"), (2, "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / "museum" / "photos" / f"{place}.png")
    path = tmp_path / "museum" / "collection.csv"
    path.write_text(TABLE.format(root=path.parent), encoding="utf-8")
    return path


def made(table: Path, *more: str) -> Path:
    folder = table.parent.parent / "linker"
    assert main(["linker", str(table), str(folder), "--verify", "false", *more]) == 0
    return folder


def ids(linker: Linker, mention: str, context: str = "", **how: object) -> list[str]:
    return [answer.id for answer in linker.link(mention, context, **how)]  # type: ignore[arg-type]


def test_a_museums_table_becomes_a_linker_that_answers_in_its_languages(table, capsys):
    folder = made(table, "--text_encoder", "TinyTextEncoder", "--text_encoder.width", "64")
    said = capsys.readouterr().out
    assert "entities: 4; with a text 4, with aliases 3, with an image 2" in said
    assert "probabilities: fitted on WikiMEL, not on your data" in said
    assert f"python -m dim serve --model {folder} --image_root {table.parent / 'photos'}" in said
    linker = Linker.from_pretrained(folder, image_root=table.parent)
    for place, name in enumerate([*NAMES], start=1):
        assert ids(linker, name, f"{name} …")[0] == f"m{place}"
    answer = linker.link("Qi Baishi")[0]
    assert answer.id == "m2"
    assert answer.probability is not None
    assert answer.probability > 0.5
    assert linker["m1"].images == (str(table.parent / "photos" / "1.png"),)
    assert linker.live.choices.text_encoder is not None
    assert linker.live.choices.text_encoder.width == 64
    assert "not measured" in (folder / "README.md").read_text(encoding="utf-8")


def test_link_says_what_its_probabilities_are_calibrated_on_beside_the_answers(table, capsys):
    folder = made(table)
    capsys.readouterr()
    assert main(["link", "--model", str(folder), "--mention", "齐白石"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split("\t")[:3] == ["1", "m2", "齐白石"]
    assert said.err.splitlines()[-1] == "probabilities: fitted on WikiMEL, not on your data"


def test_without_a_ranker_there_is_no_probability_and_nothing_is_said(table, capsys):
    folder = made(table, "--ranker", "false")
    assert "probabilities: none" in capsys.readouterr().out
    linker = Linker.from_pretrained(folder)
    assert not linker.has_probabilities
    assert linker.calibrated_on == ""
    assert ids(linker, "Mokhtar")[0] == "m4"


def test_images_count_where_an_encoder_reads_them(table):
    options = {"text_encoder": TinyTextEncoder(192), "image_encoder": TinyImageEncoder()}
    if options["text_encoder"].width != options["image_encoder"].width:
        options["text_encoder"] = TinyTextEncoder(options["image_encoder"].width)
    linker = Linker.from_entities(table, **options, ranker=None)
    assert ids(linker, "", image=Image.new("RGB", (32, 32), "blue"))[0] == "m2"
    assert ids(linker, "", image=Image.new("RGB", (32, 32), "red"))[0] == "m1"


def test_an_image_changes_nothing_where_no_encoder_reads_images(table):
    linker = Linker.from_entities(table)
    alone = linker.link("Kollwitz")
    assert alone[0].evidence["has_image"] == 0
    assert linker.link("Kollwitz", image=table.parent / "photos" / "1.png") == alone


def test_rows_and_data_frames_are_taken_as_add_entities_takes_them():
    rows = [{"id": "Q1", "name": "Ada", "text": "a programmer"}, {"id": "Q2", "name": "Ada", "text": "a ship"}]
    for given in (rows, pd.DataFrame(rows)):
        linker = Linker.from_entities(given, TinyTextEncoder(64))
        assert ids(linker, "Ada", "Ada is a ship")[0] == "Q2"
    linker.add_entities([{"id": "Q3", "name": "Zaphod"}])
    assert ids(linker, "Zaphod")[0] == "Q3"


def test_a_folder_is_written_and_read_like_any_other(table, tmp_path):
    linker = Linker.from_entities(table, TinyTextEncoder(64))
    linker.save(tmp_path / "one")
    again = Linker.from_pretrained(tmp_path / "one")
    asked = ("Mahmoud", "Mahmoud, the sculptor")
    assert [answer.score for answer in again.link(*asked)] == pytest.approx([a.score for a in linker.link(*asked)])
    assert again.calibrated_on == linker.calibrated_on == "fitted on WikiMEL, not on your data"
    assert again.about["is_untrained"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("id;name\nm1;Ada\nm1;Bob\n", "every entity id once.*"),
        ("id;name\nm1;Ada\n;Bob\n", "an id in .*line 3"),
        ("id;name\nm1;Ada\nm2;\n", "a name in .*line 3"),
        ("id;colour\nm1;red\n", "name"),
        ("id;name;popularity\nm1;Ada;many\n", "line 2"),
    ],
)
def test_a_bad_table_is_refused_by_its_row_and_nothing_is_written(tmp_path, lines, expected, capsys):
    (tmp_path / "bad.csv").write_text(lines)
    with pytest.raises(DataError, match=expected):
        Linker.from_entities(tmp_path / "bad.csv")
    assert main(["linker", str(tmp_path / "bad.csv"), str(tmp_path / "out")]) != 0
    assert not (tmp_path / "out").exists()


def test_images_that_are_gone_stop_it_only_where_an_encoder_would_read_them(table, caplog):
    for image in (table.parent / "photos").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"the images that entities name[\s\S]*without an image encoder\."):
        Linker.from_entities(table, TinyTextEncoder(), TinyImageEncoder())
    assert Linker.from_entities(table).link("Kollwitz")
    assert "that name one have none" in caplog.text


def test_images_that_are_none_stop_it_where_an_encoder_reads_them(table):
    for image in (table.parent / "photos").iterdir():
        image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"the images that entities name[\s\S]*unreadable[\s\S]*without an image enc"):
        Linker.from_entities(table, image_encoder=TinyImageEncoder())
    assert ids(Linker.from_entities(table), "Ada Lovelace")


def test_an_image_encoder_without_images_and_options_without_a_path_are_refused(tmp_path):
    rows = [{"id": "Q1", "name": "Ada"}]
    with pytest.raises(ConfigError, match="entities with images"):
        Linker.from_entities(rows, image_encoder=TinyImageEncoder())
    with pytest.raises(ConfigError, match="a table's path beside encoding"):
        Linker.from_entities(rows, encoding="utf-8")
    with pytest.raises(DataError, match="nothing there"):
        Linker.from_entities(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="entities to link to"):
        Linker.from_entities([])


def test_entities_are_added_and_removed_all_or_none(table, tmp_path, capsys):
    folder = made(table)
    more = tmp_path / "more.csv"
    more.write_text("id;name;aliases\nm5;Emil Nolde;Nolde\nm6;Ernst Barlach;\n")
    assert main(["add", str(folder), str(more)]) == 0
    assert "added: 2" in capsys.readouterr().out
    assert ids(Linker.from_pretrained(folder), "Nolde")[0] == "m5"
    before = (folder / MANIFEST).read_bytes()
    more.write_text("id;name\nm7;Paula Becker\nm5;Emil Nolde\n")
    assert main(["add", str(folder), str(more)]) != 0
    assert main(["remove", str(folder), "m6", "m99"]) != 0
    assert (folder / MANIFEST).read_bytes() == before
    assert main(["remove", str(folder), "m5", "m6"]) == 0
    assert {entity.id for entity in Linker.from_pretrained(folder)} == {"m1", "m2", "m3", "m4"}


def test_shipped_rankers_say_where_they_come_from_and_order_unseen_mentions_better():
    for name in ("names", "vectors"):
        origin = shipped(name).facts["origin"]
        unseen = origin["figures"]["RichpediaMEL"]
        assert unseen["top1"] > unseen["top1_of_its_scores"] + 0.02
        assert unseen["calibration_error"] < 0.03
        assert {"data", "trained_on", "commit", "date"} <= set(origin)


def test_where_names_alone_count_no_entity_is_scored_that_is_not_near(table, monkeypatch):
    folder = made(table)
    monkeypatch.setattr("dim.methods.baselines.name_methods.NameIndex", None)  # which scores all
    linker = Linker.from_pretrained(folder)
    assert ids(linker, "Mahmoud Said")[0] == "m3"
    linker.add_entities({"id": "m5", "name": "Gabriele Münter", "aliases": ["Ella"]})
    linker.remove_entities("m4")
    assert ids(linker, "Ella")[0] == "m5"
    linker.save(folder)
    assert ids(Linker.from_pretrained(folder), "Mahmoud Mokhtar")[0] != "m4"
    assert ids(Linker.from_pretrained(folder), "Münter")[0] == "m5"


def test_a_kb_that_was_updated_answers_as_the_same_kb_does(table, tmp_path):
    linker = Linker.from_entities(table, TinyTextEncoder(64), allow_missing=True)
    entities = list(linker)
    context = "A painter, a judge in Alexandria, who painted shrimps"
    asked = [{"mention": name, "context": context} for name in ("Mahmoud", "Said", *NAMES)]
    expected = linker.link_batch(asked)
    for _ in range(3):  # as whoever brings texts up to date does
        linker.remove_entities([entity.id for entity in entities])
        linker.add_entities(entities)
    linker.save(tmp_path / "updated")
    opened = Linker.from_pretrained(tmp_path / "updated")
    opened.remove_entities([entity.id for entity in entities])
    opened.add_entities(entities)
    unasked = Linker.from_entities(table, TinyTextEncoder(64), allow_missing=True)  # its facts are made afterwards
    unasked.remove_entities([entity.id for entity in entities])
    unasked.add_entities(entities)
    for other in (linker, opened, unasked):
        for before, now in zip(expected, other.link_batch(asked), strict=True):
            assert [answer.id for answer in now] == [answer.id for answer in before]
            assert [answer.probability for answer in now] == pytest.approx([each.probability for each in before])
            for old, new in zip(before, now, strict=True):
                assert new.evidence == pytest.approx(old.evidence)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_int8_costs_where_no_mention_is_known_is_said_to_be_unknown(table, tmp_path, caplog, precision):
    encoder = TransformersTextEncoder(str(write_folder(tmp_path / "model")), backend="onnx", precision=precision)
    assert len(Linker.from_entities(table, encoder, allow_missing=True)) == 4
    assert ("what that costs is not measured here" in caplog.text) == (precision == "int8")


def test_a_folder_says_which_backend_auto_chose(table, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    encoder = TransformersTextEncoder(str(write_folder(tmp_path / "model")), backend="auto")
    Linker.from_entities(table, encoder, allow_missing=True).save(tmp_path / "linker")
    chosen = Linker.from_pretrained(tmp_path / "linker").about["recipe"]["encoders"]["text_encoder"]["init_args"]
    assert chosen["backend"] == encoder.backend_name != "auto"
    assert (tmp_path / "linker" / "encoders" / "text_encoder" / "exported" / encoder.backend_name).is_dir()


def test_coherence_is_that_of_the_kb_as_it_is(table):
    linker = Linker.from_entities(table, TinyTextEncoder(64), allow_missing=True)
    rows, owners = np.array([0, 1, 2]), np.array([0, 1, 2])

    def found() -> Any:
        anew = Coherence(linker.features.facts, linker.vectors_of).of(rows, NAMES[:3], owners)
        np.testing.assert_array_equal(linker.coherence.of(rows, NAMES[:3], owners), anew)
        return anew

    before = found()
    linker.add_entities([{"id": f"n{place}", "name": "Emil Nolde", "text": "painter of Egypt"} for place in range(9)])
    grown = found()
    linker.remove_entities([f"n{place}" for place in range(8)])
    assert not (grown == before).all()
    assert not (found() == grown).all()


@pytest.mark.parametrize("as_many", [False, True], ids=["more entities", "as many entities"])
def test_a_folder_that_another_takes_the_place_of_while_it_is_opened_is_opened_anew(table, monkeypatch, as_many):
    folder, more = made(table), table.parent / "more.csv"
    more.write_text("id;name\nm5;Emil Nolde\n", encoding="utf-8")

    def changed() -> None:
        assert main(["add", str(folder), str(more)]) == 0
        assert not as_many or main(["remove", str(folder), "m4"]) == 0

    waiting = [changed]

    def facts_of(*args: Any) -> Any:
        if waiting:
            waiting.pop()()
        return load_facts(*args)

    monkeypatch.setattr(ranked, "load_facts", facts_of)
    linker = Linker.from_pretrained(folder)
    assert not waiting
    assert linker.link("Emil Nolde")[0].id == "m5"
    assert len(linker) == (4 if as_many else 5)


def test_a_folder_that_another_takes_the_place_of_each_time_is_an_error(table, monkeypatch):
    folder = made(table)

    def facts_of(*args: Any) -> Any:
        (folder / MANIFEST).touch()
        return load_facts(*args)

    monkeypatch.setattr(ranked, "load_facts", facts_of)
    with pytest.raises(DataError, match="another one in its place, 5 times"):
        Linker.from_pretrained(folder)


def test_an_image_that_nothing_looks_at_is_said_once(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo = table.parent / "photos" / "1.png"
    blind = Linker.from_pretrained(made(table, "--text_encoder", "TinyTextEncoder"))
    caplog.clear()
    assert blind.link("Kollwitz")
    assert caplog.messages == []
    for _ in range(2):
        assert blind.link("Kollwitz", image=photo) == blind.link("Kollwitz")
    assert caplog.messages == ["this linker looks at no image: those of questions change no answer"]
    seeing = Linker.from_entities(table, image_encoder=TinyImageEncoder())
    caplog.clear()
    assert seeing.link("Kollwitz", image=photo)
    assert caplog.messages == []
