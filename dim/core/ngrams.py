"""Character n-grams within words, as scikit-learn's analyzer `char_wb` has them, which takes a second to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def ngrams_within(words: Iterable[str], sizes: range) -> Iterator[str]:
    """The n-grams of each word with a blank on either side; one that is shorter than an n-gram comes as a whole, once.

    Args:
        words: Without blanks.
        sizes: Characters of an n-gram, ascending.

    Example:
        >>> list(ngrams_within(["ada", "x"], range(3, 5)))
        [' ad', 'ada', 'da ', ' ada', 'ada ', ' x ']
    """
    for word in words:
        padded = f" {word} "
        for size in sizes:
            for start in range(max(1, len(padded) - size + 1)):
                yield padded[start : start + size]
            if size >= len(padded):
                break
