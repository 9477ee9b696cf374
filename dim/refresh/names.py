"""The names in a text, and which of them no source holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SHORT = "mr mrs ms mx dr prof st sen rep gov gen col capt lt sgt adm rev hon"
_LONG = (
    "president vice prime minister premier senator congressman congresswoman representative governor mayor chancellor "
    "secretary ambassador king queen prince princess emperor empress sultan duke duchess count countess earl baron "
    "baroness pope saint bishop archbishop cardinal father sister reverend sir dame lord lady doctor professor judge "
    "justice general colonel major captain lieutenant sergeant commander admiral marshal director chairman chairwoman "
    "chief miss"
)
_FUNCTION = "a an the i he she it we they his her its their this that these those in on at as by of and"
#: Titles that are written with a dot, which ends no sentence.
SHORT_TITLES = frozenset(_SHORT.split())
#: Ahead of names and by themselves no names.
TITLES = SHORT_TITLES | frozenset(_LONG.split())
#: They begin sentences, and look like names where the end of the one before is not to be told.
_COMMON = frozenset(_FUNCTION.split())
_INITIALS = re.compile(r"(?:[^\W\d_]\.){2,}")  # U.S., J.R.R.
_WORD = re.compile(rf"{_INITIALS.pattern}|\w+(?:['’\-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?:;\n]\W*$")
_BREAK = re.compile(r"[.!?]+[\"'”’)\]]*\s+|\n+")


def new_names(text: str, source: str) -> list[str]:
    """The runs of capitalised words in `text` with a word that `source` lacks, each once.

    The first word of a sentence is capitalised anyway, so it does not count by itself; nor does an initial or a title
    (`TITLES`). Letters with dots (U.S.) count as one word, which `source` holds as such or as the words they begin.
    Scripts without capitals have no such runs.

    Example:
        >>> new_names("She met Charles Babbage in London. Later she wrote.", "Ada Lovelace, London")
        ['Charles Babbage']
        >>> new_names("The U.S. made her President of the Royal Society.", "United States; Royal Society")
        []
    """
    known = set(_known(source))
    found: dict[str, None] = {}
    run: list[str] = []
    end, before = 0, ""
    for match in _WORD.finditer(text):
        between, word = text[end : match.start()], match[0]
        if _is_short_for(before) and between.strip() == ".":
            between = " "
        starts_sentence = end == 0 or bool(_SENTENCE_END.search(between)) or bool(_INITIALS.fullmatch(before))
        if run and (between.strip(" ") or not word[0].isupper()):
            _keep(run, known, found)
            run = []
        if word[0].isupper() and not starts_sentence and word not in ("I", "I'm", "I’m"):
            run.append(word)
        end, before = match.end(), word
    _keep(run, known, found)
    return list(found)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text; the dot of an initial or of a short title ends none."""
    start = 0
    for match in _BREAK.finditer(text):
        words = list(_WORD.finditer(text, start, match.end()))
        last = words[-1][0] if words else ""
        is_inside = "\n" not in match[0] and (_is_short_for(last) or bool(_INITIALS.fullmatch(last)))
        if not is_inside:
            yield text[start : match.end()].strip()
            start = match.end()
    if rest := text[start:].strip():
        yield rest


def words_of(text: str) -> Iterator[str]:
    """The words of a text, those with a hyphen or a possessive in their pieces too."""
    for match in _WORD.finditer(text):
        yield from dict.fromkeys((match[0], *_parts(match[0])))


def _known(source: str) -> Iterator[str]:
    """What a source holds, in small letters: its words, and the initials of its names."""
    run = ""
    for word in words_of(source):
        yield word.casefold()
        yield word.replace(".", "").casefold()
        run = run + word[0].casefold() if word[0].isupper() else ""
        yield from (run[start:] for start in range(len(run) - 1))


def _keep(run: list[str], known: set[str], found: dict[str, None]) -> None:
    if any(_is_new(part, known) for word in run for part in _parts(word)):
        found[" ".join(run)] = None


def _is_new(part: str, known: set[str]) -> bool:
    word = part.replace(".", "").casefold()
    is_name = len(word) > 1 and word not in TITLES and word not in _COMMON
    return is_name and word not in known and part.casefold() not in known


def _is_short_for(word: str) -> bool:
    """Whether a dot behind a word belongs to it: an initial, or a title such as Dr."""
    return (len(word) == 1 and word.isupper()) or word.casefold() in SHORT_TITLES


def _parts(word: str) -> list[str]:
    """A word without its possessive, in the pieces that a hyphen joins."""
    return re.sub(r"['’]s?$", "", word).split("-")
