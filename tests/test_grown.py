"""`dim fit --from LINKER`: what was linked untrained is trained when mentions come."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dim import Linker
from dim.__main__ import main
from dim.cli.grown import from_linker
from dim.core.folder_files import read_yaml
from dim.data.dataset import Dataset
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.errors import ConfigError
from dim.releases.prepare import prepare

NAMES = ["Ada Moreau", "Bo Silva", "Cleo Okafor", "Dan Weiss", "Eve Lund", "Fay Ortiz"]
QUIET = ["--trainer.max_epochs", "1", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Entities in one folder, mentions in another, with images of the same names in both."""
    monkeypatch.chdir(tmp_path)
    for folder in ("museum", "letters"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            spots = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(spots).resize((48, 48)).save(tmp_path / folder / f"{number}.png")
    entities = {"id": [f"E{n}" for n in range(6)], "name": NAMES, "description": [f"{name} paints" for name in NAMES]}
    entities["image"] = [f"{n % 3}.png" for n in range(6)]
    pd.DataFrame(entities).to_csv("museum/entities.csv", index=False)
    rows = [
        {"mention": NAMES[n % 6].split()[n % 2], "context": f"{NAMES[n % 6]} in {1900 + n}", "entity_id": f"E{n % 6}"}
        | {"image": f"{n % 3}.png"}
        for n in range(40)
    ]
    rows.append({**rows[0], "mention": "Zoe", "context": "Zoe in May", "entity_id": "E9"})
    pd.DataFrame(rows).to_csv("letters/new.csv", index=False)
    pd.DataFrame(rows).drop(columns="image").to_csv("letters/plain.csv", index=False)
    return tmp_path


def test_its_entities_and_what_was_added_are_the_kb_and_its_encoder_is_the_runs(place: Path) -> None:
    linker = Linker.from_entities("museum/entities.csv", text_encoder=TinyTextEncoder(64))
    linker.add_entities([{"id": "E9", "name": "Zoe Blanc", "aliases": ["Zo"]}])
    linker.save("linkers/mine")
    line = [
        "fit",
        "--from",
        "linkers/mine",
        "--mentions=letters/plain.csv",
        "--data.root",
        "data/mine",
        "--run",
        "runs/it",
    ]
    assert main([*line, *QUIET]) == 0
    dataset = Dataset(place / "data/mine")
    assert dataset.name == "mine"
    assert dataset.entities["name"].tolist() == [*NAMES, "Zoe Blanc"]
    assert dataset.entities["aliases"].tolist()[-1] == ["Zo"]
    assert dataset.texts("brief").tolist()[:2] == ["Ada Moreau paints", "Bo Silva paints"]
    assert len(dataset.mentions) == 41
    config = read_yaml(place / "runs/it/config.yaml", dict, "it", "")
    assert config["data"]["text_encoder"]["init_args"]["width"] == 64
    assert config["data"]["context_reach"] == linker.live.choices.context_reach == "auto"
    assert "from" not in config
    again = from_linker([*line[:3], "--data.root", "data/mine", "--run", "runs/more"])  # the dataset is there by now
    assert not any(word.startswith("--mentions") for word in again)
    grown = Linker.from_checkpoint("runs/it", device="cpu")
    grown.save("linkers/grown")
    kept = from_linker(["fit", "--from", "linkers/grown", "--data.root", "data/mine", "--run", "runs/more"])
    assert "--model.width=384" in kept
    assert "--data.context_reach=auto" in kept
    del grown.about["recipe"]["context_reach"]  # of a linker of before
    grown.save("linkers/older")
    kept = from_linker(["fit", "--from", "linkers/older", "--data.root", "data/mine", "--run", "runs/more"])
    assert "--data.context_reach=null" in kept


def test_images_of_entities_and_of_mentions_stand_in_folders_of_their_own(place: Path) -> None:
    linker = Linker.from_entities("museum/entities.csv", image_encoder=TinyImageEncoder())
    linker.add_entities([{"id": "E9", "name": "Zoe Blanc"}])
    linker.save("linkers/mine", images="copies")
    rest = ["--mentions", "letters/new.csv", "--data.root", "data/mine", "--run", "runs/it"]
    line = from_linker(["fit", "--from", "linkers/mine", *rest, "--data.images", str(place)])
    assert line[:3] == ["fit", "--config", "own"]
    assert "--data.images" not in line
    dataset = Dataset(place / "data/mine")
    entity, mention = dataset.entities["images"].iloc[1][0], dataset.mentions["images"].iloc[1][0]
    assert (dataset.image_root / entity).resolve() != (dataset.image_root / mention).resolve()
    assert (dataset.image_root / mention).resolve().is_relative_to(place / "letters")
    assert (dataset.image_root / entity).resolve().is_relative_to(place / "linkers")


def test_images_that_are_not_in_the_linkers_folder_are_found_or_asked_for(place: Path) -> None:
    Linker.from_entities("museum/entities.csv", image_encoder=TinyImageEncoder()).save("linkers/mine")
    pd.read_csv("letters/new.csv").query("entity_id != 'E9'").to_csv("letters/new.csv", index=False)
    line = [
        "fit",
        "--from",
        "linkers/mine",
        "--mentions=letters/new.csv",
        "--data.root",
        "data/mine",
        "--run",
        "runs/it",
    ]
    with pytest.raises(
        ConfigError, match=r"(?s)6 entities with others, such as .*museum.0\.png.*--data\.images FOLDER"
    ):
        from_linker(line)
    assert not (place / "data/mine").exists()
    from_linker([*line, f"--data.images={place}"])
    dataset = Dataset(place / "data/mine")
    assert (dataset.image_root / dataset.entities["images"].iloc[1][0]).resolve() == place / "museum/1.png"


def test_a_dataset_of_other_mentions_is_replaced_where_it_is_asked_for(place: Path) -> None:
    Linker.from_entities("museum/entities.csv").save("linkers/mine")
    table = pd.read_csv("letters/plain.csv").query("entity_id != 'E9'")
    table.to_csv("letters/plain.csv", index=False)
    table.iloc[:20].to_csv("letters/less.csv", index=False)
    line = ["fit", "--from", "linkers/mine", "--data.root", "data/mine", "--run", "runs/it"]
    from_linker([*line, "--mentions", "letters/plain.csv"])
    from_linker([*line, "--mentions", "letters/plain.csv"])  # of the same it is replaced
    with pytest.raises(ConfigError, match="--overwrite true"):
        from_linker([*line, "--mentions", "letters/less.csv"])
    assert len(Dataset(place / "data/mine").mentions) == 40
    from_linker([*line, "--mentions", "letters/less.csv", "--overwrite", "true"])
    assert len(Dataset(place / "data/mine").mentions) == 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mentions", "letters/new.csv", "--data.root", "d"], "no --from"),
        (["--from", "linkers/mine", "--mentions", "letters/new.csv"], "no --data.root"),
        (["--from", "linkers/mine", "--mentions", "letters/none.csv", "--data.root", "d"], "nothing there"),
        (["--from", "linkers/mine", "--mentions=", "--data.root", "d"], "--mentions with its value"),
        (["--from", "--mentions", "letters/new.csv", "--data.root", "d"], "--from with its value"),
        (
            ["--from", "linkers/mine", "--data.root", "d", "--allow_missing", "true"],
            "--allow_missing true or false, beside",
        ),
        (["--from", "nowhere", "--mentions", "letters/new.csv", "--data.root", "d"], "nowhere"),
    ],
)
def test_what_is_missing_is_said(place: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    Linker.from_entities("museum/entities.csv").save("linkers/mine")
    capsys.readouterr()
    assert main(["fit", *words, "--run", "runs/it"]) == 1
    assert said in capsys.readouterr().err
    assert not (place / "d").exists()
    assert not (place / "runs").exists()


def test_mentions_of_entities_that_it_lacks_are_left_out_as_the_message_says(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Linker.from_entities("museum/entities.csv").save("linkers/mine")
    line = ["fit", "--from", "linkers/mine", "--mentions", "letters/plain.csv", "--data.root", "d", "--run", "runs/it"]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert "E9" in said
    assert "--allow_missing=true" in said
    from_linker([*line, "--allow_missing=true"])
    assert len(Dataset(place / "d").mentions) == 40


def test_what_was_prepared_of_another_linker_or_without_one_stays(place: Path) -> None:
    for name in ("mine", "other"):
        linker = Linker.from_entities("museum/entities.csv")
        linker.add_entities([{"id": "E9", "name": f"Zoe {name}"}])
        linker.save(f"linkers/{name}")
    mentions = ["--mentions", "letters/plain.csv", "--run", "runs/it"]
    for _ in range(2):  # the linker may have grown meanwhile
        from_linker(["fit", "--from", "linkers/mine", *mentions, "--data.root", "data/mine"])
    with pytest.raises(ConfigError, match="data/mine"):
        from_linker(["fit", "--from", "linkers/other", *mentions, "--data.root", "data/mine"])
    assert Dataset(place / "data/mine").entities["name"].tolist()[-1] == "Zoe mine"
    pd.read_csv("museum/entities.csv").drop(columns="image").to_csv("letters/entities.csv", index=False)
    (place / "letters/plain.csv").rename(place / "letters/mentions.csv")
    (place / "letters/new.csv").unlink()
    with pytest.raises(ConfigError, match="data/mine"):
        prepare(place / "letters", place / "data/mine", allow_missing=True)
    prepare(place / "letters", place / "data/own", allow_missing=True)
    mentions[1] = "letters/mentions.csv"
    with pytest.raises(ConfigError, match="data/own"):
        from_linker(["fit", "--from", "linkers/mine", *mentions, "--data.root", "data/own"])
    assert len(Dataset(place / "data/own").entities) == 6


def test_a_file_does_not_name_the_linker(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "it.yaml").write_text(json.dumps({"from": "linkers/mine", "run": "runs/it"}))
    line = ["fit", "--config", "own_text", "--config", "it.yaml", "--data.text_encoder", "TinyTextEncoder"]
    assert main(line) == 1
    assert "on the command line of dim fit" in capsys.readouterr().err
