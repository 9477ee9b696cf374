"""A text field whose encoder is trained within the steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from dim.encoders.base import TrainableTextEncoder
from dim.encoders.lengths import pieces
from dim.features.batch import FeatureTable, FieldVectors

PIECE = 1024  #: Tokens that go through the network together at most: more would leave the CPU's caches.
CALL = 40  #: Tokens whose computing takes about as long as a call, which adds to the gradients of all weights.


class TrainedTable(FeatureTable):
    """A text field whose encoder is trained: texts are encoded when they are taken, with gradients where they count.

    Each different text is encoded once, in pieces of texts of like length, so that little is padding. What a
    gradient needs of the pieces is kept up to `graph_bytes`. Of further ones the vectors alone are kept, and `backward`
    encodes them again, one piece at a time, with the same dropout (as GradCache, arXiv 2101.06983, does with each): the
    memory of a step does not grow with the batch, and its gradient is the same. A text has as many vectors as the
    encoder says (`num_vectors`): one, or one a token.

    Args:
        encoder: It.
        texts: Each different text once.
        rows: [n] int64, the text of each mention or entity; -1 where the field is missing.
        graph_bytes: Memory of a call for what gradients need; the first piece is kept whatever it takes.
    """

    def __init__(self, encoder: TrainableTextEncoder, texts: Sequence[str], rows: Tensor, graph_bytes: float) -> None:
        super().__init__(torch.empty(0, encoder.width), rows)
        self.encoder, self.texts, self.graph_bytes = encoder, texts, graph_bytes

    @property
    def has_several(self) -> bool:
        """Whether the encoder gives several vectors of a text."""
        return self.encoder.num_vectors([""]) is not None

    @property
    def most(self) -> int:
        """Vectors of one owner, at most."""
        return int(self._counts.max()) if self.has_several and len(self._counts) else 1

    def one_each(self) -> FeatureTable:
        """Raises NotImplementedError: what it would be changes from step to step."""
        raise NotImplementedError("the vectors of a field that is trained are in no table")

    def take(self, owners: Tensor) -> FieldVectors:
        """The vectors of owners [b], on their device; each different text is encoded once."""
        rows = self.rows.index_select(0, owners.to(self.rows.device)).cpu()
        wanted, place = rows[rows >= 0].unique(return_inverse=True)
        present = rows >= 0
        counts = self._counts[rows.clamp_min(0)] * present
        steps = torch.arange(max(1, int(counts.max())) if len(counts) else 1)
        mask = (steps < counts[:, None]).to(owners.device)  # [b, t]
        vectors = torch.zeros(*mask.shape, self.width, device=owners.device)
        if len(wanted):
            encoded, starts = self._encoded(wanted)
            places = torch.zeros(len(rows), dtype=torch.long)
            places[present] = starts[place]
            found = (places[:, None] + steps)[mask.cpu()].to(encoded.device)
            vectors = vectors.index_put(mask.nonzero(as_tuple=True), encoded[found].to(owners.device))
        return FieldVectors(vectors, mask)

    @cached_property
    def _lengths(self) -> Tensor:
        return torch.tensor(self.encoder.num_tokens(self.texts))

    @cached_property
    def _counts(self) -> Tensor:
        """Vectors of each text."""
        counts = self.encoder.num_vectors(self.texts)
        return torch.ones(len(self.texts), dtype=torch.long) if counts is None else torch.from_numpy(counts)

    def _encoded(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors [v, width] of texts [w], at least one, and where those of each start [w]."""
        order, parts, graph = pieces(self._lengths[wanted], PIECE, CALL), [], _Graph(self.encoder)
        for piece in order:
            texts = [self.texts[row] for row in wanted[piece].tolist()]
            if graph.nbytes > self.graph_bytes:
                parts.append(_without_graph(self.encoder, texts))
            else:
                with graph:
                    parts.append(self.encoder.forward_text(texts))
        encoded = torch.cat(order)
        counts = self._counts[wanted[encoded]]
        starts = torch.empty_like(counts)
        starts[encoded] = counts.cumsum(0) - counts
        return torch.cat(parts), starts


def _without_graph(encoder: TrainableTextEncoder, texts: Sequence[str]) -> Tensor:
    # A tensor where the network is tells whose random state is to be restored.
    beside = torch.empty(0, device=next(encoder.network.parameters()).device)
    vectors: Tensor = checkpoint(lambda _: encoder.forward_text(texts), beside, use_reentrant=False)
    return vectors


class _Graph(saved_tensors_hooks):
    """Adds up what is kept for gradients while it is entered; weights are there anyway."""

    def __init__(self, encoder: TrainableTextEncoder) -> None:
        super().__init__(self._kept, lambda tensor: tensor)
        self.nbytes = 0
        self._seen = {weight.untyped_storage().data_ptr() for weight in encoder.network.parameters()}

    def _kept(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.nbytes += storage.nbytes()
        return tensor.detach()  # itself, it might hold the node that holds it
