"""`dim prepare` ends with a command; here it is taken from what was printed, and run."""

import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from releases import PEOPLE, entity_rows, mention_rows, write_dim_release, write_image, write_table, write_tables

from dim import Linker
from dim.__main__ import main
from dim.cli.configs import shipped
from dim.releases.fit_command import IMAGES, LARGE_STEPS, MULTILINGUAL, TEXT, fit_words
from dim.releases.prepare import prepare

README = Path(__file__).parent.parent / "README.md"
#: In the place of encoders that would be downloaded.
TINY = {
    "--data.text_encoder": "TinyTextEncoder",
    "--data.image_encoder": "TinyImageEncoder",
}
SMALL = ["--model.width", "32", "--model.num_heads", "2", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]


def printed_command(shown: str) -> list[str]:
    """The words after `dim` of the last command that was printed."""
    line = shown[shown.index("python -m dim fit") :].splitlines()[0]
    return shlex.split(line)[3:]


def without_images(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{column: value for column, value in row.items() if column != "image"} for row in rows]


def prepared(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["prepare", str(root), str(out), "--audit", "false"]) == 0
    return printed_command(capsys.readouterr().out)


def fitted(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run of a printed command, with tiny encoders where it names large ones."""
    monkeypatch.chdir(folder)
    has_images = words[words.index("--config") + 1] == IMAGES
    tiny = [word for option in list(TINY)[: 1 + has_images] for word in (option, TINY[option])]
    assert main([*words, *tiny, *SMALL]) == 0
    return folder / words[words.index("--run") + 1]


def test_tables_without_images_are_trained_by_what_was_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "my tables" / "entities.csv", without_images(entity_rows()))
    write_table(tmp_path / "my tables" / "mentions.csv", without_images(mention_rows()))
    words = prepared(tmp_path / "my tables", tmp_path / "my data", capsys)
    assert words[:3] == ["fit", "--config", TEXT]
    assert "--data.text_encoder.path" not in words
    assert (fitted(words, tmp_path, monkeypatch) / "metrics.json").exists()


@pytest.mark.parametrize("context", ["{}", "Der Künstler {} grüßt Käthe"])
def test_tables_with_images_are_trained_with_them(
    context: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tables(tmp_path / "mine")
    told = [{"context": context.format(row["context"].replace(" and ", " und "))} for row in mention_rows()]
    write_table(root / "mentions.csv", [row | own for row, own in zip(mention_rows(), told, strict=True)])
    for number in range(len(PEOPLE)):
        write_image(root / "kb" / f"{number}.jpg", (number * 30, 99, 9))
    for caption in range(14):
        write_image(root / f"{caption}.jpg", (9, caption * 15, 99))
    words = prepared(root, tmp_path / "data", capsys)
    assert words[:3] == ["fit", "--config", IMAGES]
    assert (MULTILINGUAL in words) == (context != "{}")
    run = fitted(words, tmp_path, monkeypatch)
    assert "TinyImageEncoder" in (run / "config.yaml").read_text()


def test_images_that_are_named_and_absent_are_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared(write_tables(tmp_path / "mine"), tmp_path / "out", capsys)[2] == TEXT


def test_another_language_has_a_multilingual_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mentions = [row | {"context": f"Der Künstler {row['mention']} grüßt Käthe"} for row in mention_rows()]
    write_table(tmp_path / "mine" / "entities.csv", entity_rows())
    write_table(tmp_path / "mine" / "mentions.csv", mentions)
    words = prepared(tmp_path / "mine", tmp_path / "out", capsys)
    assert words[words.index("--data.text_encoder.path") + 1] == MULTILINGUAL
    fitted(words, tmp_path, monkeypatch)


def test_foreign_names_in_english_sentences_make_no_other_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "mine" / "entities.csv", entity_rows())
    sentence = "{} (German pronunciation: [ˈfeːlɪks ˈnɔʏʁɔʏtɐ]) was at the meeting with Käthe Müller"
    mentions = [row | {"context": sentence.format(row["mention"])} for row in mention_rows()]
    write_table(tmp_path / "mine" / "mentions.csv", mentions)
    assert MULTILINGUAL not in prepared(tmp_path / "mine", tmp_path / "out", capsys)


def test_a_text_that_is_not_called_brief_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dim_release(tmp_path / "release")
    (root / "brief.json").unlink()
    words = prepared(root, tmp_path / "out", capsys)
    assert words[words.index("--data.entity_text") + 1] == "brief_long"


def test_entities_without_texts_leave_the_text_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "mine" / "entities.csv", [{"id": row["id"], "name": row["name"]} for row in entity_rows()])
    write_table(tmp_path / "mine" / "mentions.csv", mention_rows())
    fitted(prepared(tmp_path / "mine", tmp_path / "out", capsys), tmp_path, monkeypatch)


def answers_untrained(shown: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the last line, as it was printed: a linker."""
    words = shlex.split(shown.strip().splitlines()[-1])
    assert words[:4] == ["python", "-m", "dim", "linker"]
    monkeypatch.chdir(place)
    assert main(words[3:]) == 0
    assert Linker.from_pretrained(words[-1]).link("Ada", "")


def test_where_no_mention_of_train_has_an_answer_no_fit_is_offered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mentions = [{"mention": row["mention"], "context": row["context"]} for row in mention_rows()]
    write_table(tmp_path / "mine" / "entities.csv", entity_rows())
    write_table(tmp_path / "mine" / "mentions.csv", mentions)
    assert main(["prepare", str(tmp_path / "mine"), str(tmp_path / "out"), "--audit", "false"]) == 0
    shown = capsys.readouterr().out
    assert "no fit: no mention of train has an answer" in shown
    assert "dim fit" not in shown
    answers_untrained(shown, tmp_path, monkeypatch)


def test_where_train_is_too_small_for_a_tune_split_no_fit_is_offered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "mine" / "entities.csv", entity_rows())
    write_table(tmp_path / "mine" / "mentions.csv", mention_rows()[:2])
    assert main(["prepare", str(tmp_path / "mine"), str(tmp_path / "out"), "--audit", "false"]) == 0
    shown = capsys.readouterr().out
    assert "no fit: train has too few captions for a tune split" in shown
    assert "dim fit" not in shown
    answers_untrained(shown, tmp_path, monkeypatch)


@pytest.mark.parametrize(("alone", "lacking"), [("entities", "mentions"), ("mentions", "entities")])
def test_of_a_lone_table_the_other_is_said_to_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alone: str, lacking: str
) -> None:
    rows = {"entities": entity_rows, "mentions": mention_rows}[alone]()
    write_table(tmp_path / "mine" / f"{alone}.csv", rows)
    assert main(["prepare", str(tmp_path / "mine"), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert lacking in error
    assert len(error) < 500


def test_both_configs_are_shipped() -> None:
    assert {IMAGES, TEXT} <= set(shipped())


def test_the_readme_goes_from_two_tables_to_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.read_text(encoding="utf-8").split("## Your own data")[1]
    lines = section.split("```sh\n")[1].split("```")[0].splitlines()
    commands = [shlex.split(line, comments=True)[3:] for line in lines]
    assert [words[0] for words in commands] == ["prepare", "fit", "export", "link", "link", "annotate"]
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "my_tables" / "entities.csv", without_images(entity_rows()))
    write_table(tmp_path / "my_tables" / "mentions.csv", without_images(mention_rows()))
    write_table(tmp_path / "new.csv", [{"mention": "Turing", "context": "Turing at a meeting"}])
    (tmp_path / "article.txt").write_text("In May Alan Turing came.", encoding="utf-8")
    Image.new("RGB", (40, 40), (200, 30, 30)).save(tmp_path / "photo.jpg")
    for words in commands:
        if words[0] == "fit":
            fitted(words, tmp_path, monkeypatch)
        else:
            assert main(words) == 0
    assert "Alan Turing" in (tmp_path / "answers.csv").read_text(encoding="utf-8")


def test_many_mentions_are_trained_in_large_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = prepare(write_dim_release(tmp_path / "release"), tmp_path / "out", audit=False)
    assert not set(LARGE_STEPS) & set(fit_words(small, has_images=False))
    small.mentions = pd.concat([small.mentions] * 600, ignore_index=True)
    assert " ".join(LARGE_STEPS) in " ".join(fit_words(small, has_images=False))
    assert not set(LARGE_STEPS) & set(fit_words(small, has_images=True))  # not measured
