"""Methods with two towers: a mention and an entity each become one vector, and their cosine is the score."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import normalize

from dim.errors import ConfigError
from dim.features.batch import Batch, FeatureTable, stacked
from dim.inference.data import LinkingData
from dim.inference.method import Method
from dim.search.scores import Products, Scores, Summed
from dim.search.sparse import SparseKB, SparseProducts

ENTITY_BATCH = 8192

Widths = Mapping[str, int]  #: Field → columns of its vectors.


class TwoTowersNetwork(Method):
    """A method that encodes mentions and entities apart from each other.

    Subclasses make their towers for the widths of the fields, and encode a batch of fields: rows of a dataset, which
    they train on and are evaluated by, and what a caller asks of a linker. They have a linker
    (`dim.methods.contrastive.linker`) without a line more.

    Of a KB, the first `num_sparse` columns of the vectors are kept sparse and the others dense; a cosine is the sum of
    a sparse and a dense product.

    Attributes:
        field_widths: Field → width, of mentions and of entities: what the towers read.
        num_sparse: Columns of the vectors that are zeros for the most part, such as n-grams of names; they come first.
        kb_vectors: [num_entities, D - num_sparse], the dense columns of unit vectors, from `on_scoring_start` on.
        kb_sparse: The sparse columns, where there are any.
    """

    mention_fields: Sequence[str] | None = None  #: The fields that are read; None: all that the data has.
    entity_fields: Sequence[str] | None = None
    field_widths: tuple[dict[str, int], dict[str, int]] = ({}, {})
    num_sparse: int = 0
    kb_vectors: Tensor = torch.empty(0)
    kb_sparse: SparseKB | None = None

    def build(self, data: LinkingData) -> None:
        """Makes both towers for the widths of the data.

        Raises:
            ConfigError: The data lacks a field.
        """
        if not data.mention_fields or not data.entity_fields:
            raise ConfigError(
                "an encoder of mentions and entities",
                "no field that was encoded",
                "Name one: --data.text_encoder TransformersTextEncoder --data.text_encoder.path FOLDER",
            )
        mention = pick("mention", data.mention_fields, self.mention_fields)
        self.make_towers(mention, _picked_entity(data, self.entity_fields))

    @abstractmethod
    def make_towers(self, mention: Widths, entity: Widths) -> None:
        """Makes the towers, without what training or data give them, and sets `field_widths`.

        Raises:
            ConfigError: The options do not go with these fields.
        """

    @abstractmethod
    def encode_mentions(self, batch: Batch) -> Tensor:
        """Vectors [B, D] of mentions."""

    @abstractmethod
    def encode_entities(self, batch: Batch) -> Tensor:
        """Vectors [B, D] of entities."""

    def queries(self, rows: Tensor) -> Tensor:
        """Vectors [B, D] of mention rows [B]."""
        return self.encode_mentions(self.data.mentions(rows, tuple(self.field_widths[0])))

    def dense_queries(self, rows: Tensor) -> Tensor:
        """The dense columns [B, D - num_sparse] of the unit vectors of mention rows [B]."""
        return self._parted(self.queries(rows))[0]

    def entities(self, rows: Tensor) -> Tensor:
        """Vectors [B, D] of KB rows [B]."""
        return self.encode_entities(self.data.entities(rows, tuple(self.field_widths[1])))

    def on_scoring_start(self) -> None:
        """Encodes the KB once."""
        sparse: list[sp.csr_matrix] = []
        self.kb_vectors = stacked(self._kb_parts(sparse), len(self.data.dataset.entities), torch.empty(0))
        self.kb_sparse = SparseKB(sp.vstack(sparse).T) if sparse else None

    def on_scoring_end(self) -> None:
        """Lets the KB's vectors go: of a large KB they are most of what a run has in memory."""
        self.kb_vectors, self.kb_sparse = torch.empty(0), None

    def _kb_parts(self, sparse: list[sp.csr_matrix]) -> Iterator[Tensor]:
        for part in self.kb_rows(self.field_widths[1], ENTITY_BATCH):
            dense, others = self._parted(self.entities(part))
            if others is not None:
                sparse.append(others)
            yield dense

    def scores_of(self, rows: Tensor) -> Scores:
        """Cosines; 0 where a side has no vector."""
        dense, sparse = self._parted(self.queries(rows))
        products = Products(dense, self.kb_vectors)
        if sparse is None or self.kb_sparse is None:
            return products
        return Summed(products, SparseProducts(sparse, self.kb_sparse, dense.device))

    def _parted(self, vectors: Tensor) -> tuple[Tensor, sp.csr_matrix | None]:
        """Vectors [B, D] at length 1, by their dense columns, and their sparse ones where there are any."""
        unit = normalize(vectors)
        if not self.num_sparse:
            return unit, None
        return unit[:, self.num_sparse :].contiguous(), sp.csr_matrix(unit[:, : self.num_sparse].float().cpu().numpy())


def _picked_entity(data: LinkingData, names: Sequence[str] | None) -> dict[str, int]:
    """As `pick`, of entities: of a KB without texts, what else is asked for does."""
    others = [name for name in names or () if name != "text"]
    is_without = "text" not in data.entity_fields and not data.dataset.variants
    return pick("entity", data.entity_fields, others if others and is_without else names)


def pick(owner: str, tables: Mapping[str, FeatureTable], names: Sequence[str] | None) -> dict[str, int]:
    """Field → width of the fields that are asked for, or of all. Raises ConfigError where one is absent."""
    missing = [name for name in names or () if name not in tables]
    if missing:
        raise ConfigError(
            f"the {owner} fields {', '.join(names or ())}",
            f"no {', '.join(missing)} (there are {', '.join(tables) or 'none'})",
            "Name the encoder that makes them (--data.text_encoder, --data.image_encoder …), or leave the field out.",
        )
    return {name: tables[name].width for name in (tables if names is None else names)}
