"""The ranks of a method with what needs no training beside them."""

from __future__ import annotations

import pandas as pd
from torch import Tensor

from dim.baselines.frozen import rank_by_frozen_vectors
from dim.datamodule import LinkingData
from dim.evaluation.floor import rank_by_name
from dim.evaluation.protocols import Ranked
from dim.results import ranks_frame


def ranks_beside_baselines(data: LinkingData, rows: Tensor, split: str, ranked: Ranked) -> pd.DataFrame:
    """A row a mention, as ranks.parquet has them, with the string floor and the frozen vectors.

    Args:
        data: What was ranked.
        rows: [n] mention rows.
        split: Whose they are.
        ranked: The method's outcome for them.
    """
    mentions = data.dataset.mentions.iloc[rows.numpy()]
    floor = rank_by_name(
        mentions["mention"].tolist(),
        data.dataset.entities["name"].tolist(),
        data.gold.cpu()[rows],
        data.protocol,
        data.candidates_of(rows),
    )
    return ranks_frame(
        data.dataset,
        mentions,
        split=split,
        protocol=data.protocol.name,
        ranked=ranked,
        floor=floor,
        frozen=rank_by_frozen_vectors(data, rows),
    )
