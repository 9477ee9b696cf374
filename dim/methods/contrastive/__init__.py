"""The contrastive method (DIM, arXiv 2407.12019): one vector a mention, one an entity, trained to lie near."""

from dim.methods.contrastive.losses import NPair, ReleasedNPair
from dim.methods.contrastive.module import DIM
from dim.methods.contrastive.negatives import MinedNegatives, NameNegatives, RareWordNegatives, RecentNegatives

__all__ = ["DIM", "MinedNegatives", "NPair", "NameNegatives", "RareWordNegatives", "RecentNegatives", "ReleasedNPair"]
