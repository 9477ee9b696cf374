"""A KB with an entity that has no name becomes a linker all the same; one that is added needs a name."""

from pathlib import Path

import pandas as pd
import pytest
from tiny_fit import tiny_options, tiny_world

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.errors import DataError
from dim.linker import Linker


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world, folder = Dataset(tiny_world(tmp_path_factory)), tmp_path_factory.mktemp("nameless")
    entities, mentions = world.entities.copy(), world.mentions.copy()
    entities.loc[[3, 7], "name"] = ""
    texts = {
        variant: pd.DataFrame({"entity_id": entities["id"].tolist(), "text": world.texts(variant).tolist()}).dropna()
        for variant in world.variants
    }
    write_dataset(
        folder / "world",
        name="nameless",
        entities=entities,
        texts=texts,
        mentions=mentions,
        image_root=str(world.image_root),
    )
    assert main(["fit", *tiny_options(folder / "world", folder / "run")]) == 0
    return folder / "run"


@pytest.mark.usefixtures("quick_ranker")
def test_a_run_is_ranked_exported_and_linked(run: Path, tmp_path: Path) -> None:
    nameless = Dataset(run.parent / "world").entities["id"].tolist()[3]
    assert main(["rank", "--run", str(run), "--folds", "2", "--num_candidates", "4"]) == 0
    assert main(["export", str(run), str(tmp_path / "linker"), "--verify", "false"]) == 0
    for linker in (Linker.from_pretrained(tmp_path / "linker"), Linker.from_checkpoint(run, device="cpu")):
        assert linker[nameless].name == ""
        assert linker.link("Bardini", "Bardini played chess.", top_k=3)
        linker.add_entities([{"id": "new", "name": "Zaphod", "text": "president"}])
        assert linker.link("Zaphod", top_k=1)[0].id == "new"
        with pytest.raises(DataError, match="an id and a name"):
            linker.add_entities([{"id": "other", "name": " ", "text": "president"}])
        linker.save(tmp_path / "again" / str(id(linker)))
        assert Linker.from_pretrained(tmp_path / "again" / str(id(linker)))[nameless].name == ""
