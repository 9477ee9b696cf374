import bz2
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from releases import write_dim_release, write_image

from benchmarks.made_up_dump import write_dump
from dim.__main__ import main
from dim.core.tables import column_hashes, frame_hash, hash_of
from dim.data.dataset import Dataset
from dim.errors import ConfigError, DataError
from dim.images.decoder_process import same_imports
from dim.releases.dump_lines import DumpLines
from dim.releases.prepare import open_dataset, prepare
from dim.releases.wikidata_items import NO_ITEM, NO_JSON, NO_LABEL, OTHER_CLASS, Wanted, extract

WANTED = Wanted(("en", "de"), ("Q5",))


def value(text: str, language: str = "en") -> dict[str, str]:
    return {"language": language, "value": text}


def claim(answer: Any, rank: str = "normal") -> dict[str, Any]:
    answer = {"entity-type": "item", "id": answer} if re.fullmatch(r"Q\d+", answer) else answer
    return {"mainsnak": {"snaktype": "value", "datavalue": {"value": answer}}, "rank": rank}


def item(entity_id: str = "Q42", **changes: Any) -> dict[str, Any]:
    return {
        "type": "item",
        "id": entity_id,
        "labels": {"en": value("Douglas Adams"), "de": value("Douglas Noël Adams", "de"), "fr": value("D. A.", "fr")},
        "descriptions": {"de": value("Schriftsteller", "de")},
        "aliases": {"en": [value("DNA"), value("Douglas Adams")], "fr": [value("no")]},
        "claims": {"P31": [claim("Q5")], "P18": [claim("Douglas adams portrait.jpg")]},
        "sitelinks": {"enwiki": {}, "dewiki": {}, "frwiki": {}},
        "modified": "2026-03-01T00:00:00Z",
    } | changes


def lines(*items: Any) -> bytes:
    return (
        b"[\n"
        + b",\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in items)
        + b"\n]\n"
    )


def test_an_item_has_names_texts_sitelinks_classes_and_pictures() -> None:
    found = extract(lines(item()), WANTED)
    row = {name: values[0] for name, values in found.columns.items()}
    assert (row["id"], row["name"], row["type"], row["popularity"]) == ("Q42", "Douglas Adams", "Q5", 3.0)
    assert row["aliases"] == ["Douglas Noël Adams", "DNA"]
    assert row["images"] == ["Douglas_adams_portrait.jpg"]
    assert json.loads(row["attributes"]) == {
        "labels": {"en": "Douglas Adams", "de": "Douglas Noël Adams"},
        "instance of": ["Q5"],
        "image": ["Douglas adams portrait.jpg"],
    }
    assert found.texts == {"brief": ["Schriftsteller"], "en": [""], "de": ["Schriftsteller"]}
    assert found.newest == "2026-03-01T00:00:00Z"


def test_empty_objects_are_arrays_as_php_writes_them() -> None:
    found = extract(lines(item(descriptions=[], aliases=[], sitelinks=[])), WANTED)
    assert (found.columns["popularity"], found.texts["brief"]) == ([0.0], [""])


def test_what_stands_as_mul_holds_in_each_language_without_one_of_its_own() -> None:
    labels = {"mul": value("Ada Lovelace", "mul"), "de": value("Gräfin von Lovelace", "de")}
    aliases = {"mul": [value("A. A. L.", "mul")]}
    found = extract(lines(item(labels=labels, aliases=aliases)), Wanted(("en", "de"))).columns
    assert (found["name"], found["aliases"]) == (["Ada Lovelace"], [["Gräfin von Lovelace", "A. A. L."]])
    assert extract(lines(item(labels={"mul": labels["mul"]})), Wanted(("en",))).columns["name"] == ["Ada Lovelace"]


def test_lines_that_are_no_entity_are_counted_by_reason_and_place() -> None:
    items = [
        item(),
        item("P31", claims={"P31": [claim("Q5")]}),
        item("Q2", labels={"fr": value("x", "fr")}),
        item("Q3", claims={"P31": [claim("Q515")]}),
        item("Q4", claims={"P31": [claim("Q515")], "P40": [claim("Q5")]}),
        b'{"id": "Q5", broken',
        [],
    ]
    left = extract(lines(*items), Wanted(("en", "de"), ("Q5",)), first_line=11).left
    assert left.counts == {NO_ITEM: 2, NO_LABEL: 1, OTHER_CLASS: 2, NO_JSON: 1}
    assert left.examples == {
        NO_ITEM: ["line 13", "line 18"], NO_LABEL: ["line 14"], OTHER_CLASS: ["line 15", "line 16"],
        NO_JSON: ["line 17"],
    }  # fmt: skip


CITY = {"P31": [claim("Q515")]}
WHOLE = json.dumps(item("Q3", claims=CITY)).encode()
ODD = json.dumps(item("Q3", claims=CITY, labels={"en": value('a "} b', "en")})).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b"oops",
        b"{not json}",
        WHOLE[:200],
        WHOLE[200:],
        WHOLE.replace(b'}}, "descriptions": {', b"", 1),
        WHOLE[:150] + WHOLE,
        WHOLE.replace(b"Douglas", b"Doug\xff\xfe", 1),
        WHOLE.replace(b"Douglas", b"Doug\0las", 1),
    ],
    ids=["a word", "in brackets", "cut off", "its end", "a hole", "two in one", "no UTF-8", "a null byte"],
)
def test_a_broken_line_is_none_of_another_class(damaged: bytes) -> None:
    asked = Wanted(("en", "de"), ("Q5",))
    assert extract(lines(WHOLE, ODD), asked).left.counts == {OTHER_CLASS: 2}
    assert extract(lines(WHOLE, damaged), asked).left.counts == {OTHER_CLASS: 1, NO_JSON: 1}


@pytest.mark.parametrize(
    ("claims", "kept"),
    [
        ([claim("Q515", "preferred"), claim("Q5")], True),
        ([claim("Q5", "deprecated")], False),
        ([{"mainsnak": {"snaktype": "somevalue"}}, {}], False),
        ("Q5", False),
    ],
)
def test_a_class_counts_unless_it_is_deprecated(claims: Any, kept: bool) -> None:
    found = extract(lines(item(claims={"P31": claims})), WANTED)
    assert len(found.columns["id"]) == kept
    if kept:
        assert found.columns["type"] == ["Q515"]  # the preferred one


def test_a_name_is_in_one_form_and_half_a_character_is_none() -> None:
    found = extract(lines(item(labels={"en": value("Cafe\u0301 \ud83d")})), WANTED)
    assert found.columns["name"] == ["Café ?"]


def pack(path: Path, data: bytes) -> Path:
    packed = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(data)
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize("name", ["latest-all.json", "latest-all.json.gz", "part.json.bz2"])
def test_a_dump_becomes_a_kb_without_mentions(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = pack(tmp_path / name, lines(item(), item("Q43"), item("Q44", claims={}), item("Q43")))
    out = tmp_path / "kb"
    assert main(["prepare", str(dump), str(out), "--languages", "en,de", "--classes", "Q5"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "items that stand twice (the first counts) 1 first: Q43" in shown
    assert "without text 'brief' 0" in shown
    dataset = Dataset(out)
    assert dataset.entities["id"].tolist() == ["Q42", "Q43"]
    assert dataset.variants == ["brief", "de"]  # nobody has a text in English
    assert dataset.texts("de")["Q42"] == "Schriftsteller"
    assert len(dataset.mentions) == 0
    assert dataset.meta["dump"] == {
        "file": name, "bytes": dump.stat().st_size, "newest_change": "2026-03-01T00:00:00Z",
    }  # fmt: skip
    assert not (tmp_path / ".kb.dim-parts").exists()
    assert main(["show", "Q42", str(out)]) == 0


def test_prepared_again_it_is_replaced_and_fit_says_that_it_has_no_mentions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = pack(tmp_path / "d.json.gz", lines(item(), item("Q43")))
    first, again = (prepare(dump, tmp_path / "kb").hash for _ in range(2))
    assert first == again
    assert main(["audit", str(tmp_path / "kb")]) == 0
    options = ["--data.root", str(tmp_path / "kb"), "--run", str(tmp_path / "run"), "--trainer.logger", "false"]
    assert main(["fit", "--config", "baselines/names", *options]) == 1
    assert "expected mentions in d\nfound    a KB alone" in capsys.readouterr().err


def test_its_hashes_are_those_of_the_tables(tmp_path: Path) -> None:
    write_dump(tmp_path / "d.json", 300)
    dataset = prepare(tmp_path / "d.json", tmp_path / "kb", languages="en,de")
    hashes = dataset.meta["hashes"]
    assert hashes["entities"] == frame_hash(dataset.entities)
    assert hashes["texts/en"] == frame_hash(dataset.text_table("en"))
    assert hashes["mentions"] == frame_hash(dataset.mentions)
    assert dataset.kb_hash == hash_of(column_hashes(dataset.entities[["id", "name", "aliases"]]))
    assert len(dataset.entities) == 300
    assert dataset.meta["entities_without_text"] == {"brief": 0, "en": 6, "de": 0}


def test_pictures_count_where_their_folder_is_named(tmp_path: Path) -> None:
    dump = pack(tmp_path / "d.json", lines(item(), item("Q43", claims={"P18": [claim("other.jpg")]})))
    write_image(tmp_path / "pictures" / "Douglas_adams_portrait.jpg")
    dataset = prepare(dump, tmp_path / "kb", images=tmp_path / "pictures")
    assert [list(images) for images in dataset.entities["images"]] == [["Douglas_adams_portrait.jpg"], []]
    assert dataset.image_root == tmp_path / "pictures"
    without = prepare(dump, tmp_path / "bare")
    assert [len(images) for images in without.entities["images"]] == [0, 0]


def test_a_part_of_a_dump_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    write_dump(tmp_path / "whole.json.gz", 400)
    data = (tmp_path / "whole.json.gz").read_bytes()
    (tmp_path / "part.json.gz").write_bytes(data[: len(data) // 2])
    dataset = prepare(tmp_path / "part.json.gz", tmp_path / "kb")
    assert 50 < len(dataset.entities) < 350
    assert NO_JSON not in dataset.meta["skipped"]
    assert any("ends inside its compressed data" in note for note in dataset.meta["notes"])


KILLED = """
import os, signal, sys
from pathlib import Path
from dim.releases import dump_lines, wikidata
dump_lines.BLOCK, wikidata.PART = 20_000, 3
dump_lines._CHUNK = 7000  # a file that is resumed comes in other pieces
write, left = wikidata._write_part, [int(sys.argv[1])]
def write_or_die(*args, **options):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*args, **options)
wikidata._write_part = write_or_die
from dim.releases.prepare import prepare
prepare(Path(sys.argv[2]), Path(sys.argv[3]), languages="en,de", classes="Q5")
"""


def killed(dump: Path, out: Path) -> None:
    """A process that prepares a dump is killed when it is to write its fourth part."""
    command = [sys.executable, "-c", KILLED, "4", str(dump), str(out)]
    assert subprocess.run(command, env=same_imports(), stdout=subprocess.DEVNULL, check=False).returncode == -9


@pytest.mark.parametrize("suffix", [pytest.param("json", marks=pytest.mark.long), "json.gz"])
def test_killed_and_called_again_it_ends_with_the_same_bytes(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"dump_lines.BLOCK": 20_000, "dump_lines._CHUNK": 7000, "wikidata.PART": 3}.items():
        monkeypatch.setattr(f"dim.releases.{name}", value)  # as in the process that is killed
    write_dump(tmp_path / f"dump.{suffix}", 600)
    dump = tmp_path / f"dump.{suffix}"
    prepare(dump, tmp_path / "once" / "kb", languages="en,de", classes="Q5")
    killed(dump, tmp_path / "again" / "kb")
    assert len(list((tmp_path / "again" / ".kb.dim-parts").glob("0*.parquet"))) == 3
    capsys.readouterr()
    prepare(dump, tmp_path / "again" / "kb", languages="en,de", classes="Q5")
    assert "3 parts are there" in capsys.readouterr().out
    files = sorted(path.relative_to(tmp_path / "once") for path in (tmp_path / "once" / "kb").rglob("*.*"))
    assert len(files) > 4
    for file in files:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_unfinished_work_of_other_options_is_not_gone_on_with(tmp_path: Path) -> None:
    write_dump(tmp_path / "dump.json", 600)
    killed(tmp_path / "dump.json", tmp_path / "kb")
    dataset = prepare(tmp_path / "dump.json", tmp_path / "kb", languages="fr")
    assert len(dataset.entities) == 600
    assert not (tmp_path / ".kb.dim-parts").exists()


@pytest.mark.parametrize("plan", ["", "{", "[" * 100_000, '{"not": "ours"}', "\xff"])
def test_a_damaged_plan_of_unfinished_work_is_named_and_nothing_is_removed(plan: str, tmp_path: Path) -> None:
    write_dump(tmp_path / "dump.json", 50)
    work = tmp_path / ".kb.dim-parts"
    work.mkdir()
    (work / "plan.json").write_bytes(plan.encode("latin-1"))
    (work / "other").write_text("kept")
    with pytest.raises(DataError, match=r"(?s)damaged plan\.json.*to do    Remove .*\.kb\.dim-parts, and run the same"):
        prepare(tmp_path / "dump.json", tmp_path / "kb")
    assert (work / "other").read_text() == "kept"


def test_blocks_begin_and_end_with_lines_wherever_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dim.releases.dump_lines.BLOCK", 5000)
    monkeypatch.setattr("dim.releases.dump_lines._CHUNK", 700)
    write_dump(tmp_path / "d.json.bz2", 60)
    data = bz2.decompress((tmp_path / "d.json.bz2").read_bytes())
    blocks = list(DumpLines(tmp_path / "d.json.bz2").blocks())
    assert len(blocks) > 10
    assert b"\n".join(block.data for block in blocks) == data.rstrip(b"\n")
    assert sum(block.num_lines for block in blocks) == data.count(b"\n")
    middle = blocks[4]
    assert (
        list(DumpLines(tmp_path / "d.json.bz2").blocks(middle.end, middle.first_line + middle.num_lines)) == blocks[5:]
    )


def test_a_file_of_one_line_is_no_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dim.releases.dump_lines.LONGEST_LINE", 3 << 20)
    (tmp_path / "d.json").write_bytes(b'{"id": "Q1", "labels": {}, "x": "' + b"x" * (5 << 20))
    with pytest.raises(DataError, match=r"(?s)an item a line in .*a line of more than 3 MiB"):
        prepare(tmp_path / "d.json", tmp_path / "kb")


def test_a_worker_that_ends_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dump(tmp_path / "d.json", 50)
    monkeypatch.setattr("dim.releases.wikidata_workers._PROGRAM", "raise SystemExit(3)")
    with pytest.raises(DataError, match=r"(?s)it ended with 3.*it goes on where it stood"):
        prepare(tmp_path / "d.json", tmp_path / "kb")


def test_nothing_that_fits_is_an_error_that_counts(tmp_path: Path) -> None:
    write_dump(tmp_path / "d.json", 50)
    with pytest.raises(DataError, match=r"(?s)two entities or more.*50 of other classes.*--classes"):
        prepare(tmp_path / "d.json", tmp_path / "kb", classes="Q99")
    assert not (tmp_path / "kb").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"classes": "person"}, "ids of classes"), ({"languages": "../x"}, "variant"), ({"languages": ","}, "languages")],
)
def test_options_that_cannot_be_are_errors(tmp_path: Path, options: dict[str, str], message: str) -> None:
    write_dump(tmp_path / "d.json", 50)
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(tmp_path / "d.json", tmp_path / "kb", **options)  # type: ignore[arg-type]


def test_other_layouts_take_no_languages_and_fit_wants_the_kb_first(tmp_path: Path) -> None:
    root = write_dim_release(tmp_path / "wikimel")
    with pytest.raises(ConfigError, match="layout dim"):
        prepare(root, tmp_path / "out", languages="en")
    write_dump(tmp_path / "d.json", 50)
    with pytest.raises(DataError, match="has no mentions"):
        open_dataset(tmp_path / "d.json", tmp_path / "cache")
