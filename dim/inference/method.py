"""What all methods share when they answer: options, the network for a dataset's fields, scores and ranks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dim.core.abstract import abstract_names
from dim.core.distributed import process_index
from dim.core.progress import shown
from dim.errors import ConfigError
from dim.evaluation.protocols import Ranked
from dim.features.batch import passed
from dim.inference.data import DataModule, LinkingData, Needs
from dim.inference.scored import Scored
from dim.search.scores import Scores

MOST_READ = 512  #: Texts of the KB that an encoder which is trained reads until it is said how far that is.
EXAMPLE = "docs/how_to/extend.md has an example of all that a method says."


class Method(nn.Module):
    """A method that ranks entities for mentions, by itself: opened from a linker's folder it needs no trainer.

    What trains it is `dim.training.task.LinkingTask`, a subclass, which the methods of runs derive from; its options
    are taken here, too, so that a run and its linker are made of the same.
    """

    is_trained = True  #: Whether the method has weights that `fit` trains.
    scores_all = True  #: Whether it scores all entities (`scores_of`); one that does not writes names, or picks some.
    scores_given = False  #: Of one that does not, whether it scores those that it is given (`scored`).
    #: Options that do not make a run what it is (`dim.training.identity`), or whose `parts` do.
    incidental: ClassVar[frozenset[str]] = frozenset({"seed"})
    #: Options that no answer depends on: a linker's folder has none of them.
    training_only: ClassVar[frozenset[str]] = frozenset({"seed"})

    def __init__(
        self,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_steps: int = 100,
        schedule: Literal["constant", "linear", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if lacking := abstract_names(type(self)):
            found = f"{type(self).__name__} without {', '.join(lacking)}"
            raise ConfigError("a method with all that its base leaves to it", found, EXAMPLE)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup_steps, self.schedule, self.seed = warmup_steps, schedule, seed
        self.chosen: dict[str, Any] = {}  #: What the method itself chose on tune, for metrics.json.
        #: The checkpoint that its weights come from (`dim.training.checkpoint`); None: initial weights, or none at all.
        self.checkpoint: dict[str, Any] | None = None
        #: The networks of encoders that are trained, by the data module's option: weights like those of the method.
        self.trained_encoders = nn.ModuleDict()

    @abstractmethod
    def build(self, data: LinkingData) -> None:
        """Makes the network for the widths of `data`; called once, before weights are loaded."""

    @abstractmethod
    def scores_of(self, rows: Tensor) -> Scores | Tensor:
        """The scores of mention rows [B] with the KB, float32: a slice of the KB at a time (`dim.search.scores`).

        A method that gives a tensor [B, num_entities] is ranked just so, as long as the memory lasts.
        """

    def scored(self, rows: Tensor, without: Sequence[NDArray[np.int64]] | None = None) -> Scored:
        """What competes for mention rows [B], of a method with `scores_given`.

        Args:
            rows: Of the mentions.
            without: For each the KB rows that are out of the question.
        """
        raise NotImplementedError(f"{type(self).__name__} scores all entities")

    def share_frozen(self, other: Self) -> None:
        """Takes over what of another method with the same options takes memory and is never trained."""

    def on_scoring_start(self) -> None:
        """Called before a series of `rank`, with the weights fixed: the place to encode the KB once."""

    def on_scoring_end(self) -> None:
        """Called after it, in every process of the run: the place to gather what `describe` tells."""

    def tell_ranked(self, count: int) -> None:
        """Called within `rank`, where that takes long, for each so many mentions that are ranked."""

    @property
    def needs(self) -> Needs:
        """What the method asks of the data module."""
        return Needs()

    @property
    def depth(self) -> int | None:
        """How many answers a mention it gives at most; None: it ranks everything."""
        return None

    @property
    def answers_nil(self) -> bool:
        """Whether it may answer that the KB has no such entity."""
        return False

    def describe(self) -> dict[str, Any]:
        """What else of the method belongs beside its figures; known once it was evaluated."""
        return {}

    def parts(self) -> dict[str, str]:
        """The fingerprints of what it computes with beside the features: they make a run what it is."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where its weights are; of a method without weights, the CPU."""
        return next((each.device for each in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    def datamodule(self) -> DataModule:
        """That of the run that it was opened from."""
        raise NotImplementedError(f"{type(self).__name__} of a folder has no run")

    @property
    def data(self) -> LinkingData:
        """The data of its run."""
        return self.datamodule.linking_data

    def kb_rows(self, fields: Iterable[str], most: int) -> Iterator[Tensor]:
        """The rows of the KB part by part, for who encodes these fields of it, while it is shown how far that is.

        Args:
            fields: Of the entities.
            most: Entities of a part; fewer where they have many vectors, or an encoder reads their texts.
        """
        rows = torch.arange(len(self.data.dataset.entities), device=self.device)
        most = min(most, MOST_READ) if len(self.trained_encoders) else most
        with shown("entities encoded", len(rows), silent=process_index() > 0, passing=True) as advance:
            for part in passed([self.data.entity_fields[name] for name in fields], rows, most):
                yield part
                advance(len(part))

    def rank(self, rows: Tensor) -> Ranked:
        """The outcome for mention rows [B]: it depends on these rows, the weights and the KB alone."""
        data = self.data
        return data.protocol.rank(self.scores_of(rows), data.golds_of(rows), data.candidates_of(rows))

    def check(self) -> None:
        """Raises ConfigError where the options do not fit each other; called before any data is read."""
