"""Every text is shown: nothing steers, hides or turns what stands beside it, and what scripts need stays."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dim.display.visible import visible, visible_json, visible_line

#: Unicode calls them format characters, and they are signs that one sees.
SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13456)}


def test_every_control_and_format_character_and_half_character_is_written_out() -> None:
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in hidden and code not in SEEN and chr(code) not in "\t\n":
            assert visible(f"a{chr(code)}b").isprintable(), hex(code)


@given(st.text())
def test_the_line_of_a_text_is_one_that_can_be_printed(text: str) -> None:
    line = visible_line(text)
    assert line.encode().decode() == line
    assert len(line.splitlines()) <= 1
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", ["می‌خواهم", "क्‍ष", "👩‍👩‍👧", "❤️‍🔥", "1️⃣", "葛󠄀城", "José\tnext\nline", "مصر", "שלום"])
def test_what_scripts_and_emoji_need_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pay\u200dpal", r"pay\u200dpal"),
        ("Q42\ufe0f", r"Q42\ufe0f"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f\\ufe0f"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("\udc80 \U000e0041", r"\udc80 \U000e0041"),
        ("\x1b]8;;http://x\x07y\x9b31m", r"\x1b]8;;http://x\x07y\x9b31m"),
    ],
)
def test_what_misleads_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.recursive(st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=5))
def test_json_is_made_visible_and_stays_the_same_value(value: object) -> None:
    shown = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
