import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dim.data.files import clean_text, list_names, read_json, read_object
from dim.errors import DataError


def message_of(action: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        action()
    return str(caught.value)


def test_truncated_json_names_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{\n"1": {"id": ')
    message = message_of(lambda: read_json(path))
    assert f"expected JSON in {path}" in message
    assert "its end (truncated?) at line 2, column 13" in message
    assert "Download" in message


def test_invalid_json_names_what_is_wrong_and_where(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{\n"1": {id: 3}\n}')
    assert "double quotes at line 2, column 7" in message_of(lambda: read_json(path))


def test_an_empty_file_is_truncated_json(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text("")
    assert "its end (truncated?) at line 1, column 1" in message_of(lambda: read_json(path))


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{"7": {"a": 1}, "8": {}, "7": {"a": 2}}')
    assert "the key '7' twice in one object" in message_of(lambda: read_json(path))


def test_bottomless_brackets_are_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text("[" * 200_000)
    assert f"JSON in {path}" in message_of(lambda: read_json(path))


def test_an_array_in_the_place_of_an_object_points_to_the_layout(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text("[1]")
    message = message_of(lambda: read_object(path))
    assert "an array" in message
    assert "--layout" in message


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(b'{"a": "\xe9t\xe9"}')
    assert "the byte 0xe9" in message_of(lambda: read_json(path))


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_object(path) == {"a": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"expected {tmp_path / 'none.json'}\nfound    nothing there" in message_of(
        lambda: read_json(tmp_path / "none.json")
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nothing there" in message_of(lambda: list_names(tmp_path / "none"))


def test_a_path_through_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "release.zip").write_text("")
    assert "found    a file" in message_of(lambda: read_json(tmp_path / "release.zip" / "train.json"))


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    assert f"a readable {tmp_path}" in message_of(lambda: read_json(tmp_path))


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert clean_text("a\ud83d") == "a?"


def as_nobody(action: Callable[[], None]) -> str:
    """What the action's DataError says when an unprivileged user runs it."""
    if os.getuid() != 0:
        return message_of(action)
    # A fork, because that user may not be able to read the interpreter's packages.
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            action()
            answer = "no error"
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write_end, answer.encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        return pipe.read()


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_an_unreadable_folder_is_an_error_that_says_so(public_folder: Path, mode: int) -> None:
    root = public_folder / "release"
    root.mkdir()
    (root / "train.json").write_text("{}")
    root.chmod(mode)

    def read() -> None:
        for name in sorted(list_names(root)):
            read_json(root / name)

    message = as_nobody(read)
    root.chmod(0o755)
    assert "permission to read" in message
    assert str(root) in message
    assert "it is denied" in message
    assert "chmod" in message


def test_an_unreadable_file_is_an_error_that_says_so(public_folder: Path) -> None:
    path = public_folder / "train.json"
    path.write_text("{}")
    path.chmod(0o000)
    assert f"permission to read {path}" in as_nobody(lambda: print(read_json(path)))
