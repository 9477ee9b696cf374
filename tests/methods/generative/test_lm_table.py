"""docs/reference/language_models.md says what a family of language models does here and now."""

import re
from pathlib import Path

import pytest
import transformers
from lm_families import KINDS
from lm_table import DOCUMENT, LEFT_OUT, WHOLE, WITH_IMAGES, row, rows

README = Path(__file__).parents[3] / "README.md"
SOME = ["llama", "whisper", "gemma3n_text", "cpmant", "mllama", "blt", "olmo_hybrid", "qwen3_vl with images"]


def verdicts(lines) -> dict[str, str]:
    return {cells[1]: cells[2] for cells in (re.split(r" *\| *", line) for line in lines)}


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    if f"Transformers {transformers.__version__}," not in text:
        pytest.skip("the table is of another version of Transformers")
    return verdicts(text.partition("<!-- families -->\n")[2].partition("\n<!-- /families -->")[0].splitlines()[4:])


def test_every_family_has_its_line(written):
    assert set(written) == {*KINDS, *(kind + WITH_IMAGES for kind in WHOLE)}
    assert {kind for kind, verdict in written.items() if verdict == "not tried"} == set(LEFT_OUT)


@pytest.mark.parametrize("kind", SOME)
def test_some_families_still_have_that_verdict(kind, written):
    assert verdicts([row(kind)]) == {kind: written[kind]}


@pytest.mark.long
def test_all_families_still_have_that_verdict(written):
    assert verdicts(rows(list(written))) == written
