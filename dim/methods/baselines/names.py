"""Ranking by the names alone, and by names and popularity, as rows of reports."""

from __future__ import annotations

from dim.methods.baselines.base import TextBaseline
from dim.methods.baselines.name_methods import NameMethod, PopularityMethod


class NamesOnly(NameMethod, TextBaseline):
    """The string floor as a method: cosine of the names' character n-grams (`dim.search.lexical`).

    Args:
        seed: Of shuffled fields.
        aliases: Whether aliases are names, too: an entity counts by its best string. The floor beside other methods
            knows names alone.
    """


class NamesAndPopularity(PopularityMethod, NamesOnly):
    """Names, and the entities' popularity (sitelinks, page views: a column of the KB, nothing counted from mentions).

    The score is the cosine of the names plus `weight` times log(1 + popularity), scaled to at most 1; an entity of
    unknown popularity counts as the least popular.

    Args:
        weight: Of popularity; None: the one with the best MRR on tune.
        seed: Of shuffled fields.
        aliases: As of `NamesOnly`.
    """
