"""Methods that read names and texts as they are: what answers, without what makes them rows of reports."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dim.errors import ConfigError
from dim.inference.data import LinkingData, Needs
from dim.inference.method import Method
from dim.search.scores import Scores

Counted = Literal["names", "names and aliases"]
READ = frozenset({"mention", "context", "name", "text"})  #: The fields whose texts are read.


class TextMethod(Method):
    """Reads names and texts as they are, without an encoder.

    Subclasses index the KB and score names and contexts, of a run's mentions or of a caller's questions: they have a
    linker (`dim.methods.baselines.linker`) without a line more.

    Attributes:
        kb_aliases: [num_entities], other names of each entity, none where a run leaves names out; set before
            `index_kb`.
    """

    kb_aliases: Sequence[Sequence[str]] = ()

    @abstractmethod
    def index_kb(
        self, names: Sequence[str], texts: Sequence[str | None], popularity: NDArray[np.float64], of: str
    ) -> None:
        """Indexes entities.

        Args:
            names: [num_entities]; empty where a run leaves them out.
            texts: [num_entities], None where there is none.
            popularity: [num_entities], NaN where it is not known.
            of: Whose KB it is, for messages.

        Raises:
            ConfigError: They lack what the baseline ranks by.
        """

    @abstractmethod
    def scores_for(self, mentions: Sequence[str], contexts: Sequence[str], device: torch.device) -> Scores:
        """The scores of n mentions with the KB.

        Args:
            mentions: [n].
            contexts: [n], empty where there is none.
            device: Where the scores go.
        """

    @property
    def counted(self) -> Counted | None:
        """The strings of an entity, where a score is their cosine in `NameIndex` and nothing else.

        A linker then searches for the best in the place of scoring all. None: other things count.
        """
        return None

    @property
    def needs(self) -> Needs:
        """No features."""
        return Needs(fields=())

    def build(self, data: LinkingData) -> None:
        """Indexes names and texts, and keeps mentions and contexts, as the run sees them.

        Raises:
            ConfigError: Names or mentions are shuffled, mentions left out, or a text is blanked.
        """
        module = self.datamodule
        wanted = {*module.shuffle} & {"mention", "name"} | {*module.leave_out} & {"mention"} | {*module.blank} & READ
        if wanted:
            said = "controls of texts: contexts, names and entity texts left out, contexts and entity texts shuffled"
            raise ConfigError(said, f"the fields {', '.join(sorted(wanted))}", "Take them out, or use another method.")
        entities, mentions = data.dataset.entities, module.shown_mentions()
        names = [""] * len(entities) if "name" in module.leave_out else entities["name"].tolist()
        self.kb_aliases = [[] for _ in names] if "name" in module.leave_out else entities["aliases"].tolist()
        self.index_kb(names, data.texts, entities["popularity"].to_numpy(dtype=np.float64), data.dataset.name)
        self._mentions = mentions["mention"].to_numpy(dtype=object)
        self._contexts = mentions["context"].fillna("").to_numpy(dtype=object)

    def scores_of(self, rows: Tensor) -> Scores:
        """As of `scores_for`."""
        places = rows.cpu().numpy()
        return self.scores_for(self._mentions[places].tolist(), self._contexts[places].tolist(), rows.device)
