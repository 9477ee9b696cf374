import unicodedata
from pathlib import Path

import pytest

from dim.images.found_files import path_on_disk
from dim.releases.image_folder import ImageFolder

NAME = "Nguyễn Huệ/한글 é.png"
# As a Vietnamese keyboard writes it: composed vowel, combining tone.
MIXED = "Nguy\u00ea\u0303n Hue\u0323\u0302/한글 é.png"


@pytest.mark.parametrize("stands", ["NFC", "NFD", "mixed"])
@pytest.mark.parametrize("asked", ["NFC", "NFD", "mixed"])
def test_a_file_is_found_whatever_form_its_name_has(tmp_path: Path, stands: str, asked: str) -> None:
    def form(kind: str) -> str:
        return MIXED if kind == "mixed" else unicodedata.normalize(kind, NAME)

    file = tmp_path / form(stands)
    file.parent.mkdir()
    file.write_text("x")
    assert path_on_disk(tmp_path / form(asked)).read_text() == "x"
    assert ImageFolder(tmp_path).look_up(form(asked)) == "here"
    assert ImageFolder(tmp_path).look_up(form(asked) + "x") == "missing"


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    asked = tmp_path / "é.png"
    assert path_on_disk(asked) == asked
    (tmp_path / unicodedata.normalize("NFD", "é.png")).write_text("x")
    assert path_on_disk(asked).read_text() == "x"


def test_a_path_that_can_be_none_stays_itself() -> None:
    for path in (Path("é\0.png"), Path("/é/nowhere.png"), Path("é" * 300)):
        assert path_on_disk(path) == path
