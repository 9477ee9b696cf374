"""What there is to say and to see in the demo world, and the words for it.

A fact has words for the entity's text and hints for a mention's sentence; they share few words, so that a model must
learn which hint means which fact. A look has the words of the entity's text; the picture shows it.
"""

from __future__ import annotations

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
    """Different surnames, at least so many (up to about 250,000), in a fixed order."""
    # Small worlds use short names: their parts recur, so that what is learnt of one name helps with another.
    parts = product(_STARTS, _ENDS) if at_least <= len(_STARTS) * len(_ENDS) else product(_STARTS, _MIDDLES, _ENDS)
    return list(dict.fromkeys("".join(part) for part in parts))


#: Kind of fact → value → (words in an entity's text, hints in a mention's sentence).
FACTS: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "occupation": {
        "painter": (("a painter", "a portraitist"), ("covers vast canvases", "mixes oils at dawn")),
        "violinist": (("a violinist", "a fiddler"), ("tunes four strings", "bows through long concertos")),
        "novelist": (("a novelist", "a writer of fiction"), ("fills chapters at night", "invents stubborn heroines")),
        "dancer": (("a dancer", "a ballet soloist"), ("leaps across the stage", "wears out pointe shoes")),
        "goalkeeper": (("a goalkeeper", "a footballer"), ("saved two penalties", "dives between the posts")),
        "sprinter": (("a sprinter", "a track athlete"), ("explodes from the blocks", "runs a hundred metres")),
        "cyclist": (("a cyclist", "a bicycle racer"), ("climbs passes on two wheels", "leads the peloton")),
        "swimmer": (("a swimmer", "a freestyle specialist"), ("counts lanes and laps", "dives into cold pools")),
        "botanist": (("a botanist", "a plant scientist"), ("presses rare leaves", "names mosses and ferns")),
        "astronomer": (("an astronomer", "a stargazer"), ("follows comets", "measures distant galaxies")),
        "geologist": (("a geologist", "a student of rocks"), ("drills for basalt", "maps fault lines")),
        "surgeon": (("a surgeon", "a hospital doctor"), ("transplants hearts", "operates on patients")),
        "mayor": (("a mayor", "a local politician"), ("governs city hall", "opens the council")),
        "judge": (("a judge", "a magistrate"), ("passes sentences in court", "wields a gavel")),
        "ambassador": (("an ambassador", "a diplomat"), ("negotiates treaties", "heads an embassy")),
        "journalist": (("a journalist", "a reporter"), ("files scoops", "interviews ministers")),
    },
    "birthplace": {
        "Ambrel": (("Ambrel",), ("grew up by the Tirrow river", "speaks with a lowland drawl")),
        "Bexhold": (("Bexhold",), ("grew up near the salt mines", "learnt to walk on cobblestones")),
        "Cawdene": (("Cawdene",), ("grew up among vineyards", "misses the autumn grape harvest")),
        "Drunmor": (("Drunmor",), ("grew up under a lighthouse", "comes from a family of whalers")),
        "Eskary": (("Eskary",), ("grew up on a volcano's slope", "remembers the ash winters")),
        "Fennick": (("Fennick",), ("grew up in the marshes", "could punt before cycling")),
        "Gostrava": (("Gostrava",), ("grew up between blast furnaces", "has steelworkers for parents")),
        "Hollin": (("Hollin",), ("grew up in an orchard", "still dreams of cider presses")),
        "Irsk": (("Irsk",), ("grew up on reindeer farms", "never minds polar nights")),
        "Jurando": (("Jurando",), ("grew up beside the racetrack", "heard engines as lullabies")),
        "Kethley": (("Kethley",), ("grew up in a mill town", "wove cotton as a child")),
        "Lumbry": (("Lumbry",), ("grew up in a logging camp", "knows every sawmill by smell")),
        "Maravent": (("Maravent",), ("grew up on a windswept island", "came by ferry at twelve")),
        "Nosswick": (("Nosswick",), ("grew up over a bakery", "was raised on rye bread")),
        "Ostermund": (("Ostermund",), ("grew up at the river's mouth", "sold eels on the quay")),
        "Pellagio": (("Pellagio",), ("grew up among marble quarries", "carved stone before reading")),
    },
    "employer": {
        "Aldgate Institute": (("the Aldgate Institute",), ("keeps a desk behind the red brick gate",)),
        "Beacon Trust": (("the Beacon Trust",), ("answers to seven trustees",)),
        "Cobalt Works": (("Cobalt Works",), ("clocks in at the pigment plant",)),
        "Dovecote House": (("Dovecote House",), ("lunches in the pigeon loft",)),
        "Elmgrove College": (("Elmgrove College",), ("tutors freshmen under old trees",)),
        "Falcon Press": (("Falcon Press",), ("shares a lift with typesetters",)),
        "Granite Bank": (("Granite Bank",), ("passes the vault each morning",)),
        "Harbour Society": (("the Harbour Society",), ("is paid by shipowners",)),
        "Iris Foundation": (("the Iris Foundation",), ("advises on grants for eyesight",)),
        "Juniper Studio": (("Juniper Studio",), ("rents a corner of the distillery",)),
        "Keystone Club": (("the Keystone Club",), ("trains in an arched cellar",)),
        "Lantern Theatre": (("the Lantern Theatre",), ("enters through the gaslit foyer",)),
        "Meridian Line": (("the Meridian Line",), ("travels free on night trains",)),
        "Northlight Radio": (("Northlight Radio",), ("talks into a microphone weekly",)),
        "Orchid Clinic": (("the Orchid Clinic",), ("walks past greenhouse wards",)),
        "Pinnacle Union": (("the Pinnacle Union",), ("bargains for mountain guides",)),
    },
    "award": {
        "Amber Crown": (("the Amber Crown",), ("once kissed a fossil resin wreath",)),
        "Bronze Heron": (("the Bronze Heron",), ("keeps a metal bird on the shelf",)),
        "Compass Medal": (("the Compass Medal",), ("was honoured by explorers",)),
        "Diamond Quill": (("the Diamond Quill",), ("was toasted by critics",)),
        "Ebony Key": (("the Ebony Key",), ("got a pianist's blessing",)),
        "Feather Prize": (("the Feather Prize",), ("was applauded for lightness",)),
        "Golden Anchor": (("the Golden Anchor",), ("was saluted by admirals",)),
        "Hazel Wand": (("the Hazel Wand",), ("was chosen by dowsers",)),
        "Ivory Tower": (("the Ivory Tower",), ("won over the professors",)),
        "Jade Lion": (("the Jade Lion",), ("brought home a green beast",)),
        "Kestrel Cup": (("the Kestrel Cup",), ("lifted the falconers' trophy",)),
        "Laurel Ring": (("the Laurel Ring",), ("wears bay leaves on a finger",)),
        "Marble Star": (("the Marble Star",), ("has five stone points to dust",)),
        "Nimbus Shield": (("the Nimbus Shield",), ("was decorated above the clouds",)),
        "Opal Flame": (("the Opal Flame",), ("carried a shimmering torch",)),
        "Pearl Diver": (("the Pearl Diver",), ("was crowned under water",)),
    },
}

#: How an entity's text and, where it is outspoken, a mention's sentence say a fact.
SAID = {
    "occupation": ("is {}", "works as {}"),
    "birthplace": ("was born in {}", "comes from {}"),
    "employer": ("belongs to {}", "serves at {}"),
    "award": ("received {}", "holds {}"),
}

#: The vague word that a stub has for an occupation (FACTS lists four of each).
FIELDS = ("the arts", "sport", "science", "public life")

_COLOURS = {
    "red": ("red", "scarlet", "crimson"),
    "orange": ("orange", "tangerine", "apricot"),
    "yellow": ("yellow", "lemon", "mustard"),
    "green": ("green", "emerald", "olive"),
    "turquoise": ("turquoise", "aqua", "cyan"),
    "blue": ("blue", "navy", "cobalt"),
    "purple": ("purple", "violet", "plum"),
    "pink": ("pink", "rosy", "salmon"),
    "brown": ("brown", "chestnut", "umber"),
    "black": ("black", "jet", "charcoal"),
    "white": ("white", "ivory", "chalky"),
}


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _coloured(colours: tuple[str, ...], nouns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {
        colour: tuple(f"{_article(word)} {word} {noun}" for word in _COLOURS[colour] for noun in nouns)
        for colour in colours
    }


#: Kind of look → value → words in an entity's text. `coat`, `hair` and `glasses` are the same every day.
LOOKS: dict[str, dict[str, tuple[str, ...]]] = {
    "coat": _coloured(tuple(_COLOURS), ("coat", "jacket")),
    "hair": {
        "black": ("black hair", "raven locks"),
        "brown": ("brown hair", "hazel curls"),
        "blonde": ("blonde hair", "fair tresses"),
        "red": ("red hair", "ginger strands"),
        "grey": ("grey hair", "silver temples"),
        "white": ("white hair", "snowy mane"),
    },
    "glasses": {"none": ("no glasses", "bare eyes"), "dark": ("glasses", "tinted spectacles")},
    "hat": {"none": ("a bare head",)}
    | _coloured(("red", "yellow", "green", "blue", "purple", "black"), ("hat", "cap")),
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
    "arrived late for the opening",
    "answered a few questions",
    "left without a word",
    "was met with applause",
    "declined to comment",
    "smiled at the crowd",
    "signed the guest book",
    "waited for the others",
    "thanked the hosts",
    "spoke for ten minutes",
    "took a seat in the second row",
    "was late again",
    "shook many hands",
    "posed for a photograph",
    "stayed until the end",
    "asked for a glass of water",
)
OPENINGS = (
    "",
    "On Monday ",
    "On Friday ",
    "Last week ",
    "In the evening ",
    "After the break ",
    "At noon ",
    "Once more ",
)
