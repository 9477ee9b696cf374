import pytest

from dim.options import explain


class Model:
    def __init__(self, learning_rate: float = 0.1) -> None:
        self.learning_rate = learning_rate


OPTIONS = ["data.batch_size", "data.root", "run"]


@pytest.mark.parametrize(
    ("message", "expected", "found", "remedy"),
    [
        ("unrecognized arguments: --data.batch_sise 3", "an option that exists", "data.batch_sise", "data.batch_size"),
        ("Option 'learning_rat' is not accepted", "an option that exists", "learning_rat", "learning_rate"),
        ("Expected a dot import path string: Modle", "a class (Model)", "Modle", "Did you mean Model?"),
        ("Parser key \"data.n\":\n  Expected a <class 'int'>. Got value: x", "data.n as int", "x", "--help"),
        ("something else", "options that fit the command", "something else", "--help"),
    ],
)
def test_a_message_of_the_parser_becomes_three_parts(message, expected, found, remedy):
    error = explain(message, OPTIONS, [Model])
    assert error.expected == expected
    assert found in error.found
    assert remedy in error.remedy


def test_the_message_of_a_parser_inside_is_found_again():
    inner = explain("Parser key \"rate\":\n  Expected a <class 'float'>. Got value: fast", [], [])
    outer = explain(f'Parser key "model":\n  Errors:\n    - {inner}\n', OPTIONS, [Model])
    assert (outer.expected, outer.found) == ("rate as float", "fast")
