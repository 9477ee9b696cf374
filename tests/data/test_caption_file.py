import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from dim.data.caption_file import read_captions
from dim.releases.entity_texts import read_texts

NAME = "kb/Nguyễn Huệ.png"


@pytest.mark.parametrize("image", [NAME, "Nguyễn Huệ.png"])
@pytest.mark.parametrize("dataset", ["NFC", "NFD"])
@pytest.mark.parametrize("table", ["NFC", "NFD"])
def test_captions_find_their_images_whatever_wrote_their_names(
    tmp_path: Path, image: str, dataset: str, table: str
) -> None:
    path = tmp_path / "captions.tsv"
    path.write_text(unicodedata.normalize(table, f"Image\tCaption\n{image}\tcà phê\n"), encoding="utf-16")
    mentions = pd.DataFrame({"id": ["m"], "images": [[unicodedata.normalize(dataset, NAME)]]})
    assert read_captions(path, mentions).by_mention == ["cà phê"]


def test_texts_find_their_entities_whatever_form_their_ids_have(tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    path.write_text(unicodedata.normalize("NFD", '{"Huế": "thành phố"}'), encoding="utf-8")
    assert read_texts(path, ["Huế"]).to_numpy().tolist() == [["Huế", "thành phố"]]
