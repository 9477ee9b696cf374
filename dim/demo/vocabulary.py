"""What there is to say and to see in the demo world, and the words for it.

A fact has words for the entity's text and a hint for a mention's sentence; they share few words, so that a model must
learn which hint means which fact. A look has the words of the entity's text; the picture shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN_NAMES = _words(
    "Ada Alba Anton Basil Bela Bruno Cara Celia Clara Conrad Dora Edgar Elias Emil Erna Esther Felix Flora Frida "
    "Gala Gregor Hanna Hector Hilda Hugo Ida Igor Irma Ivan Jonas Judith Karl Laura Leo Lidia Linus Lotte Magda "
    "Marta Mira Nadia Nils Olga Oscar Paula Petra Rosa Rufus Samuel Selma Simon Stella Tessa Thea Tilda Ulla Vera "
    "Viktor Wanda Zeno"
)
_STARTS = _words(
    "Al Bar Ber Bol Cal Cor Dal Del Dor Fal Fen Gar Gol Hal Har Jar Kal Kel Kor Lan Lor Mal Mer Mor Nor Ol Par Pel "
    "Ran Ros Sal Sor Tal Ter Var Vel"
)
_MIDDLES = tuple("".join(part) for part in product("aeiou", "bdglmnrstv", "aeiou"))
_ENDS = _words(
    "bach bek berg dahl dano den dini do feld gard ghi holm kin kov lund man mont nez nov quist rano reau rez sen ski "
    "stad thal tini ton vic"
)


def surnames(at_least: int) -> list[str]:
    """Different surnames, at least so many (up to some 200 million), in a fixed order."""
    # Small worlds use short names: their parts recur, so that what is learnt of one name helps with another.
    short, long = product(_STARTS, _ENDS), product(_STARTS, _MIDDLES, _ENDS)
    if at_least <= len(_STARTS) * len(_ENDS):
        return list(dict.fromkeys("".join(part) for part in short))
    names = dict.fromkeys("".join(part) for part in long)
    for first, second, start, end in product(_MIDDLES, _MIDDLES, _STARTS, _ENDS):
        if len(names) >= at_least:
            break
        names[f"{start}{first}{second}{end}"] = None
    return list(names)


#: Kind of fact → value → (words in an entity's text, hint in a mention's sentence).
FACTS: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "occupation": {
        "painter": (("a painter", "a portraitist"), "mixes oils at dawn"),
        "violinist": (("a violinist", "a fiddler"), "tunes four strings"),
        "novelist": (("a novelist", "a writer of fiction"), "invents stubborn heroines"),
        "goalkeeper": (("a goalkeeper", "a footballer"), "saved two penalties"),
        "cyclist": (("a cyclist", "a bicycle racer"), "climbs mountain passes"),
        "swimmer": (("a swimmer", "a freestyle specialist"), "counts lanes and laps"),
        "botanist": (("a botanist", "a plant scientist"), "presses rare leaves"),
        "astronomer": (("an astronomer", "a stargazer"), "follows distant comets"),
        "surgeon": (("a surgeon", "a hospital doctor"), "transplants hearts"),
        "judge": (("a judge", "a magistrate"), "wields a gavel"),
        "ambassador": (("an ambassador", "a diplomat"), "negotiates treaties"),
        "journalist": (("a journalist", "a reporter"), "files daily scoops"),
    },
    "birthplace": {
        "Ambrel": (("Ambrel",), "grew up by lowland canals"),
        "Bexhold": (("Bexhold",), "grew up near salt mines"),
        "Cawdene": (("Cawdene",), "grew up among vineyards"),
        "Drunmor": (("Drunmor",), "grew up under a lighthouse"),
        "Eskary": (("Eskary",), "grew up on a volcano"),
        "Fennick": (("Fennick",), "grew up in marshes"),
        "Gostrava": (("Gostrava",), "grew up between blast furnaces"),
        "Hollin": (("Hollin",), "grew up in an orchard"),
        "Irsk": (("Irsk",), "grew up with reindeer"),
        "Kethley": (("Kethley",), "grew up in cotton mills"),
        "Nosswick": (("Nosswick",), "grew up over a bakery"),
        "Pellagio": (("Pellagio",), "grew up among marble quarries"),
    },
    "employer": {
        "Aldgate Institute": (("the Aldgate Institute",), "enters a red brick gate"),
        "Beacon Trust": (("the Beacon Trust",), "answers to seven trustees"),
        "Cobalt Works": (("Cobalt Works",), "inspects pigment vats"),
        "Dovecote House": (("Dovecote House",), "lunches in a pigeon loft"),
        "Elmgrove College": (("Elmgrove College",), "tutors freshmen under trees"),
        "Falcon Press": (("Falcon Press",), "argues with typesetters"),
        "Granite Bank": (("Granite Bank",), "passes a vault each morning"),
        "Harbour Society": (("the Harbour Society",), "is paid by shipowners"),
        "Juniper Studio": (("Juniper Studio",), "rents a former distillery"),
        "Lantern Theatre": (("the Lantern Theatre",), "crosses a gaslit foyer"),
        "Northlight Radio": (("Northlight Radio",), "talks into a microphone"),
        "Orchid Clinic": (("the Orchid Clinic",), "walks past greenhouse wards"),
    },
    "award": {
        "Amber Crown": (("the Amber Crown",), "wore a resin wreath"),
        "Bronze Heron": (("the Bronze Heron",), "polishes a metal bird"),
        "Compass Medal": (("the Compass Medal",), "was honoured by explorers"),
        "Diamond Quill": (("the Diamond Quill",), "was toasted by critics"),
        "Ebony Key": (("the Ebony Key",), "was kissed by pianists"),
        "Feather Prize": (("the Feather Prize",), "was applauded for lightness"),
        "Golden Anchor": (("the Golden Anchor",), "was saluted by admirals"),
        "Hazel Wand": (("the Hazel Wand",), "was chosen by dowsers"),
        "Jade Lion": (("the Jade Lion",), "tamed a green beast"),
        "Kestrel Cup": (("the Kestrel Cup",), "lifted a falconers' trophy"),
        "Marble Star": (("the Marble Star",), "dusts five stone points"),
        "Opal Flame": (("the Opal Flame",), "carried a shimmering torch"),
    },
}

#: How an entity's text and, where it is outspoken, a mention's sentence say a fact.
SAID = {
    "occupation": ("is {}", "works as {}"),
    "birthplace": ("was born in {}", "comes from {}"),
    "employer": ("belongs to {}", "serves at {}"),
    "award": ("received {}", "holds {}"),
}

#: The vague word that a stub has for an occupation (FACTS lists as many of each).
FIELDS = ("the arts", "sport", "science", "public life")

_COLOURS = {
    "red": ("red", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "lemon"),
    "green": ("green", "emerald"),
    "turquoise": ("turquoise", "aqua"),
    "blue": ("blue", "navy"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "salmon"),
    "brown": ("brown", "chestnut"),
    "black": ("black", "charcoal"),
    "white": ("white", "ivory"),
}


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _coloured(noun: str, colours: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return {colour: tuple(f"{_article(word)} {word} {noun}" for word in _COLOURS[colour]) for colour in colours}


#: Kind of look → value → words in an entity's text. `coat`, `hair` and `glasses` are the same every day.
LOOKS: dict[str, dict[str, tuple[str, ...]]] = {
    "coat": _coloured("coat", _COLOURS),
    "hair": {
        "black": ("black hair", "raven locks"),
        "brown": ("brown hair", "hazel curls"),
        "blonde": ("blonde hair", "fair tresses"),
        "red": ("red hair", "ginger strands"),
        "grey": ("grey hair", "silver temples"),
        "white": ("white hair", "snowy mane"),
    },
    "glasses": {"none": ("no glasses", "bare eyes"), "dark": ("glasses", "tinted spectacles")},
    "hat": {"none": ("a bare head",)} | _coloured("hat", ("red", "yellow", "green", "blue", "purple", "black")),
    "object": {
        "ball": ("a ball", "a basketball"),
        "book": ("a book", "a bound volume"),
        "rose": ("a rose", "a blossom"),
        "trumpet": ("a trumpet", "a brass horn"),
        "umbrella": ("an umbrella", "a parasol"),
        "guitar": ("a guitar", "a six-string"),
    },
    "place": {
        "sea": ("by the sea", "on the coast"),
        "forest": ("in a forest", "among trees"),
        "desert": ("in a desert", "on dunes"),
        "snow": ("in the snow", "on a glacier"),
        "city": ("in a city", "on asphalt"),
        "meadow": ("on a meadow", "in lush grass"),
    },
}
LASTING_LOOKS = ("coat", "hair", "glasses")

#: What a sentence says when it says nothing of the person.
PREDICATES = (
    "arrived late",
    "answered a few questions",
    "left without a word",
    "declined to comment",
    "smiled at the crowd",
    "thanked the hosts",
    "shook many hands",
    "stayed until the end",
)
OPENINGS = ("", "On Monday ", "Last week ", "At noon ")
