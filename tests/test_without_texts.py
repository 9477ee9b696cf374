"""A KB whose entities have names and nothing else, through every command that a user would call."""

import json
import shutil
from pathlib import Path

import pytest
from fit_options import fit_options, gemel_options
from releases import PEOPLE, edit_json, write_dim_release, write_json
from tiny_fit import tiny_options, tiny_world
from tiny_lm import save_model, texts_of

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.errors import DataError
from dim.linker import Linker
from dim.releases.prepare import prepare

EMPTY = {f"Q{100 + number}": "" for number in range(len(PEOPLE))}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    root = write_dim_release(tmp_path / "wikimel")
    (root / "brief_long.json").unlink()
    return root


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A small demo world without its texts and images."""
    whole = Dataset(tiny_world(tmp_path_factory))
    about = {key: whole.meta[key] for key in ("source", "licence")}
    entities, mentions = (table.drop(columns="images") for table in (whole.entities, whole.mentions))
    return write_dataset(tmp_path / "world", name="bare", entities=entities, texts={}, mentions=mentions, **about).root


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize("texts", [EMPTY, {}, EMPTY | {"Q100": None, "Q101": "  "}])
def test_empty_texts_are_no_text_and_that_is_said(
    release: Path, texts: dict[str, str | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(release / "brief.json", texts)
    dataset = prepare(release, tmp_path / "out", audit=False)
    assert dataset.variants == []
    shown = said(capsys)
    assert "without text 8 no entity has one: names alone" in shown
    assert "note: the text 'brief' is empty for every entity: it is left out" in shown


def test_an_empty_text_beside_a_full_one_is_left_out_alone(release: Path, tmp_path: Path) -> None:
    write_json(release / "brief.json", EMPTY)
    write_json(release / "brief_long.json", {"Q100": "A countess."})
    dataset = prepare(release, tmp_path / "out", audit=False)
    assert dataset.variants == ["brief_long"]


def test_texts_of_another_kb_are_still_an_error(release: Path, tmp_path: Path) -> None:
    edit_json(release / "brief.json", **dict.fromkeys(EMPTY), Q7="Another's text.")
    with pytest.raises(DataError, match="Check that texts and KB belong together"):
        prepare(release, tmp_path / "out")


@pytest.mark.usefixtures("quick_ranker")
def test_a_run_is_fitted_ranked_reported_exported_and_asked(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = tmp_path / "run", tmp_path / "linker"
    options = ["--data.entity_text", "brief", "--data.name_encoder", "CharacterEncoder"]
    assert main(["fit", *tiny_options(world, run, *options)]) == 0
    assert "no entity of bare has a text: names alone" in said(capsys)
    assert main(["rank", "--run", str(run), "--folds", "2"]) == 0
    capsys.readouterr()
    assert main(["report", str(run)]) == 0
    shown = said(capsys)
    assert "(texts: none)" in shown
    assert "brief" not in shown
    assert main(["export", str(run), str(folder), "--verify", "false"]) == 0
    assert "brief" not in (folder / "README.md").read_text()
    linker = Linker.from_pretrained(folder)
    entity = next(iter(linker.knowledge))
    assert entity.text is None
    assert linker.link(entity.name, f"{entity.name} stayed.")[0].name == entity.name
    assert main(["link", "--model", str(folder), "--mention", entity.name, "--context", "It stayed."]) == 0


@pytest.mark.parametrize("config", ["baselines/bm25", "baselines/names"])
def test_baselines_that_read_texts_read_names(world: Path, tmp_path: Path, config: str) -> None:
    run = tmp_path / "run"
    options = ["--data.root", str(world), "--data.cache_dir", str(tmp_path / "cache"), "--run", str(run)]
    assert main(["fit", "--config", config, *options, "--trainer.accelerator", "cpu"]) == 0
    assert json.loads((run / "metrics.json").read_text())["top5"] > 0.1


def test_vectors_that_would_be_summed_with_a_text_are_those_of_names(world: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--data.root", str(world), "--data.cache_dir", str(tmp_path / "cache"), "--run", str(run)]
    options += ["--data.text_encoder", "TinyTextEncoder", "--model", "FrozenVectors", "--trainer.accelerator", "cpu"]
    assert main(["fit", *options]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["top5"] == metrics["frozen"]["top5"]
    assert main(["fit", *options, "--overwrite", "true", "--model.entity_fields", "[text]"]) != 0


def test_a_name_that_stands_for_a_missing_text_is_all_the_text_that_there_is(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = tmp_path / "run", tmp_path / "linker"
    options = ["--data.name_alone", "true", "--data.name_encoder", "CharacterEncoder", "--model.fusion", "linear"]
    options += ["--model.mention_fields", "[context, spelling]", "--model.entity_fields", "[text, spelling]"]
    assert main(["fit", *tiny_options(world, run, *options)]) == 0
    assert "no entity of bare has a text: its name stands there" in said(capsys)
    assert main(["export", str(run), str(folder), "--verify", "false"]) == 0
    linker = Linker.from_pretrained(folder)
    entity = next(iter(linker.knowledge))
    assert linker.link(entity.name, f"{entity.name} stayed.")[0].name == entity.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.entity_fields", "[text, spelling]"], "expected fields of entity beside spelling"),
        (["--model.mention_fields", "[spelling]"], "expected fields of mention beside spelling"),
        (["--model.entity_tower", "identity"], "--model.entity_tower projection"),
    ],
)
def test_towers_without_what_they_fuse_are_refused_by_name(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    options = ["--data.name_encoder", "CharacterEncoder", *options]
    assert main(["fit", *tiny_options(world, tmp_path / "run", *options)]) != 0
    assert message in said(capsys)


def test_mimic_reads_names_where_it_is_told_to_and_else_says_how(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = ["--data.text_encoder", "TinyTextEncoder", "--data.text_encoder.tokens", "true"]
    options += ["--model", "MIMIC", "--model.hidden", "16", "--model.whole_width", "32", "--trainer.max_epochs", "1"]
    assert main(["fit", *fit_options(world, run, *options)]) != 0
    shown = said(capsys)
    assert "expected text or image of both mentions and entities, which MIMIC compares found neither" in shown
    assert "of a KB without texts names are read by --data.text_template '{name} [SEP] {text}'" in shown
    options += ["--data.text_template", "{name} [SEP] {text}", "--data.name_alone", "true"]
    assert main(["fit", *fit_options(world, run, *options)]) == 0
    linker = Linker.from_checkpoint(run, device="cpu")
    assert linker.link("Ada", "Ada stayed.", top_k=3)[2].text is None


def test_gemel_without_images_is_refused_by_name(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "lm", texts=texts_of(Dataset(world)))
    assert main(["fit", *gemel_options(world, tmp_path / "run")]) != 0
    assert "ask the model as it is: --model.train_mapper false" in said(capsys)


def test_it_is_audited_and_shown(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(world)]) == 0
    assert "entities without text" in said(capsys)
    assert main(["show", Dataset(world).entities["id"][0], str(world)]) == 0


def test_a_text_that_is_not_there_beside_others_is_still_an_error(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_world(tmp_path_factory), tmp_path / "world")
    assert main(["fit", *tiny_options(tmp_path / "world", tmp_path / "run", "--data.entity_text", "long")]) != 0
    assert "expected an entity text 'long'" in capsys.readouterr().err
