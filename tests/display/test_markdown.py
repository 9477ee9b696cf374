"""A Markdown reader takes out of a text what was put in: words, and nothing that is made of them."""

import ast
import html
import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dim.display.markdown import markdown_table, markdown_text, python_string
from dim.display.visible import visible

READER = MarkdownIt("gfm-like", {"linkify": False, "html": True})
texts = st.text() | st.text("ab1 .:/\\`*_{}[]()#+-=!|~<>&@$;^'\"\n\t") | st.sampled_from(["https://x.y", "1. www.x.y"])


def words_of(rendered: str) -> list[str]:
    """What stands there, without line breaks and code: the marks that the writer may set itself."""
    return html.unescape(re.sub(r"</?code>", "", re.sub(r"<br>", " ", rendered))).split()


@given(texts)
def test_a_paragraph_holds_the_words_and_no_mark(text: str) -> None:
    rendered = READER.render(markdown_text(text)).strip()
    inner = rendered.removeprefix("<p>").removesuffix("</p>")
    assert not re.search(r"<(?!/?code>|br>)", inner)
    assert words_of(inner) == visible(text).split()


@given(texts)
def test_a_heading_and_a_list_entry_hold_the_words_and_no_mark(text: str) -> None:
    rendered = READER.render(f"## x {markdown_text(text)}\n\n- {markdown_text(text)}\n")
    heading, entry = re.search(r"<h2>x ?(.*)</h2>", rendered), re.search(r"<li>(.*)</li>", rendered)
    assert heading
    assert entry
    assert words_of(heading[1]) == words_of(entry[1]) == visible(text).split()
    assert set(re.findall(r"<(\w+)", rendered)) <= {"h2", "ul", "li", "code", "br"}


@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=2, max_size=3))
def test_a_table_has_the_cells_that_it_was_given(rows: list[list[str]]) -> None:
    rendered = READER.render("\n".join(markdown_table(rows[0], rows[1:], num_labels=2)))
    cells = re.findall(r"<t[hd][^>]*>(.*)</t[hd]>", rendered)
    assert [words_of(cell) for cell in cells] == [visible(cell).split() for row in rows for cell in row]
    assert set(re.findall(r"<(\w+)", rendered)) <= {"table", "thead", "tbody", "tr", "th", "td", "code", "br"}


def test_addresses_are_not_what_github_makes_links_of() -> None:
    written = markdown_text("https://x.y WWW.x.y ftp://x.y a@x.y mailto:a@x.y")
    assert written == r"https\://x.y WWW\.x.y ftp\://x.y a`@`x.y mailto\:a`@`x.y"


@given(st.text())
def test_code_has_the_text_as_a_string_of_python(text: str) -> None:
    literal = python_string(text)
    assert "\n" not in literal
    assert ast.literal_eval(literal) == text
