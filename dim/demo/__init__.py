"""The demo world: a made-up knowledge base, its pictures and its mentions, of any size.

Entities come in families of nine who share a surname. A family is a grid: its rows share their facts (occupation,
birthplace, employer, award), its columns share their looks (coat, hair, …). So its shape says what can tell its
members apart, and what a model without that evidence can reach at best:

    cell      grid (rows × columns)   nothing   context alone   image alone   context and image
    context   9 × 1                   1/9       1               1/9           1
    image     1 × 9                   1/9       1/9             1             1
    both      3 × 3                   1/9       1/3             1/3           1

A mention of the cell `name` gives the full name, which is unique; of the other cells, the surname alone. A mention of
the cell `nil` names someone of a known family whom the KB lacks, with facts and looks of nobody in it.
"""

from dim.demo.oracle import CELLS, chance, solve
from dim.demo.world import demo_world

__all__ = ["CELLS", "chance", "demo_world", "solve"]
