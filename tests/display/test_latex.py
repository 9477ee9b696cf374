"""LaTeX takes out of a text what was put in: words, and no command."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dim.display.latex import _SIGNS, latex_table, latex_text
from dim.display.visible import visible

texts = st.text() | st.text("ab1 .-+\\{}$&#%^_~<>|\"'`[]±Δ·−–“”\n\t")
READ = {written: sign for sign, written in _SIGNS.items()}
WRITTEN = re.compile("|".join(map(re.escape, sorted(READ, key=len, reverse=True))))


@given(texts)
def test_the_words_are_there_and_no_sign_means_anything(text: str) -> None:
    written = latex_text(text)
    assert not set("\\{}$&#%^_~") & set(WRITTEN.sub("", written))
    read = WRITTEN.sub(lambda found: READ[found[0]], written)
    assert read.replace("−", "-") == " ".join(visible(text).split()).replace("−", "-")


@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=3))
def test_a_table_has_as_many_cells_as_it_was_given(rows: list[list[str]]) -> None:
    lines = list(latex_table("Top-1", ["system", "Top-1\nKB 7", "MRR"], rows, num_labels=1))
    assert lines[3:6] == [r"\begin{tabular}{lrr}", r"\toprule", lines[5]]
    body = lines[7:-3]
    assert len(body) == len(rows)
    for line in body:
        bare = WRITTEN.sub("", line.removesuffix(r" \\").replace(r"\shortstack{", "").replace(r"{\scriptsize ", ""))
        assert bare.count("&") == 2
