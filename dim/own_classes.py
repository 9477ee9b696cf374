"""The classes that a folder may name: those of dim, and of the libraries whose classes its options take."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import pytorch_metric_learning.miners
import pytorch_metric_learning.reducers
import pytorch_metric_learning.regularizers
from pytorch_lightning import callbacks
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from dim.baselines.bm25 import BM25
from dim.baselines.frozen import FrozenVectors
from dim.baselines.names import NamesAndPopularity, NamesOnly
from dim.contrastive.losses import NPair, ReleasedNPair
from dim.contrastive.module import DIM
from dim.contrastive.negatives import MinedNegatives, NameNegatives, RareWordNegatives
from dim.evaluation.protocols import Candidates, FullKB, Generative
from dim.features import named
from dim.generative.examples import NoExamples, RandomExamples, SimilarExamples
from dim.generative.language_model import LanguageModel
from dim.generative.module import GEMEL
from dim.scorer import Popularity


def _public(module: ModuleType) -> Iterator[type]:
    names = getattr(module, "__all__", None) or vars(module)
    return (found for name in names if isinstance(found := getattr(module, name), type))


#: What a linker or a method is made of. An option takes of these what its annotation allows.
OWN: tuple[type, ...] = (
    *(DIM, GEMEL, BM25, FrozenVectors, NamesOnly, NamesAndPopularity),
    *_public(named),
    *(NPair, ReleasedNPair, RareWordNegatives, NameNegatives, MinedNegatives),
    *(LanguageModel, NoExamples, RandomExamples, SimilarExamples, Popularity),
    *(FullKB, Generative, Candidates),
    *_public(pytorch_metric_learning.losses),
    *_public(pytorch_metric_learning.distances),
    *_public(pytorch_metric_learning.miners),
    *_public(pytorch_metric_learning.reducers),
    *_public(pytorch_metric_learning.regularizers),
)
#: What the trainer of a run may be given besides.
OF_TRAINER: tuple[type, ...] = (*_public(callbacks), CSVLogger, TensorBoardLogger, WandbLogger)
