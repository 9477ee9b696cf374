import pytest

from dim.refresh.loops import loop_of


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("", ""),
        ("A tall man in a red coat, with a red hat and red shoes.", ""),
        ("He is very very very tall.", ""),
        ("no " * 9, "no"),
        ("It is a big house. It is a big house. It is a big house. It is a b", "it is a big house"),
        ("The coat is red\nand the hat is red\n" * 3, "the coat is red and the hat is red"),
        (
            "His coat is of red cloth with big buttons. The hat is of red cloth with big buttons, and he wears it. "
            "So too his shoes, of red cloth with big buttons.",
            "of red cloth with big buttons",
        ),
        ("He sang. She wept. He sang. She wept. He sang. They left.", ""),
        ("他是一个高个子的人。" * 4, ""),  # words without spaces are one word
    ],
)
def test_what_is_said_three_times_is_a_loop(text: str, repeated: str) -> None:
    assert loop_of(text) == repeated


def test_a_long_text_that_repeats_nothing_is_read_quickly() -> None:
    assert not loop_of(" ".join(f"word{n}" for n in range(4000)))
