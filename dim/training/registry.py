"""The classes that a folder may name: those of installed packages that say so, and of libraries that options take.

A package says so by an entry point of the group `dim.classes` (setup.cfg has dim's own): a module, whose classes in
`__all__` are methods, encoders, protocols or parts of them. Who installs such a package trusts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import pytorch_metric_learning.miners
import pytorch_metric_learning.reducers
import pytorch_metric_learning.regularizers
from pytorch_lightning import callbacks
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from dim.core.plugins import all_classes
from dim.evaluation.protocols import Candidates, FullKB, Generative
from dim.training.tie_break import Popularity
from dim.training.wandb_run import WandbRun


def _public(module: ModuleType) -> Iterator[type]:
    names = getattr(module, "__all__", None) or vars(module)
    return (found for name in names if isinstance(found := getattr(module, name), type))


#: Of libraries, and what is of no method.
_OTHERS: tuple[type, ...] = (
    *(FullKB, Generative, Candidates, Popularity),
    *_public(pytorch_metric_learning.losses),
    *_public(pytorch_metric_learning.distances),
    *_public(pytorch_metric_learning.miners),
    *_public(pytorch_metric_learning.reducers),
    *_public(pytorch_metric_learning.regularizers),
)
#: What the trainer of a run may be given besides. Callbacks that write where they are told, or call what they are
#: given, are none of it: who wants them in commands other than fit trusts pytorch_lightning.
OF_TRAINER: tuple[type, ...] = (
    *(callbacks.EarlyStopping, callbacks.LearningRateMonitor, callbacks.Timer, callbacks.DeviceStatsMonitor),
    *(callbacks.GradientAccumulationScheduler, callbacks.StochasticWeightAveraging, callbacks.ModelSummary),
    *(callbacks.RichModelSummary, callbacks.RichProgressBar, callbacks.TQDMProgressBar),
    *(CSVLogger, TensorBoardLogger, WandbLogger, WandbRun),
)


@cache
def registered() -> tuple[type, ...]:
    """What a linker or a method is made of. An option takes of these what its annotation allows.

    Raises:
        ConfigError: dim's own are not there: it was installed before it had them.
    """
    return (*all_classes(), *_OTHERS)
