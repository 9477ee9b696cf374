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


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        # The same sentence, or two of them, at the end: no user wants that.
        ("It is a big house. It is a big house. It is a big house.", "it is a big house"),
        (
            "Ada sang in many towns for years on end. He sang. She wept. He sang. She wept. He sang. She wept!",
            "he sang she wept",
        ),
        ("no " * 50, "no"),
        ("Ada is tall and red and tall and red and tall and red and tall and red.", "and tall and red"),
        # Twice, a refrain that is quoted, a list whose items begin alike, a sentence that comes back: text.
        ("He won. He won the cup of the town. He won the cup of the town.", ""),
        (
            "A singer of the fifties who toured for years and is known for a refrain: let it be, let it be, let it be.",
            "",
        ),
        (
            "He won the gold medal at the games of 1960. He won the gold medal at the games of 1964. "
            "He won the gold medal at the games of 1968.",
            "",
        ),
        (
            "He is a judge in the town of Ulm. He sings. He is a judge in the town of Ulm. He reads. "
            "He is a judge in the town of Ulm.",
            "",
        ),
    ],
)
def test_an_answer_that_ended_by_itself_loops_in_whole_sentences_or_for_the_most_part(text: str, repeated: str) -> None:
    assert loop_of(text, has_ended=True) == repeated


def test_a_long_text_that_repeats_nothing_is_read_quickly() -> None:
    assert not loop_of(" ".join(f"word{n}" for n in range(4000)))
