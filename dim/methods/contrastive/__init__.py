"""The contrastive method (DIM, arXiv 2407.12019): one vector a mention, one an entity, trained to lie near."""

from dim.core.lazy import lazily

_HOMES = {
    "DIM": "dim.methods.contrastive.module",
    "MinedNegatives": "dim.methods.contrastive.negatives",
    "NPair": "dim.methods.contrastive.losses",
    "NameNegatives": "dim.methods.contrastive.negatives",
    "RareWordNegatives": "dim.methods.contrastive.negatives",
    "RecentNegatives": "dim.methods.contrastive.negatives",
    "ReleasedNPair": "dim.methods.contrastive.losses",
    "SeveralNegatives": "dim.methods.contrastive.negatives",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
