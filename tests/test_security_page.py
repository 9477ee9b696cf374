"""SECURITY.md names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "SECURITY.md").read_text(encoding="utf-8")


def named() -> list[tuple[Path, str]]:
    """The tests' files, with the name of a test or an empty one."""
    found = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)
    return [(TESTS / file.removeprefix("tests/"), test) for file, test in found]


def test_each_test_that_it_names_is_there() -> None:
    assert len(named()) > 40
    lacking = [
        f"{file.name}::{test}"
        for file, test in named()
        if not file.is_file() or (test and not re.search(rf"^(async )?def {test}\(", file.read_text(), re.MULTILINE))
    ]
    assert lacking == []


def test_each_promise_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert rows
    assert [row[:80] for row in rows if ".py" not in row.split("|")[2]] == []
