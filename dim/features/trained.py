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
    memory of a step does not grow with the batch, and its gradient is the same.

    Args:
        encoder: It.
        texts: Each different text once.
        rows: [n] int64, the text of each mention or entity; -1 where the field is missing.
        graph_bytes: Memory of a call for what gradients need; the first piece is kept whatever it takes.
    """

    def __init__(self, encoder: TrainableTextEncoder, texts: Sequence[str], rows: Tensor, graph_bytes: float) -> None:
        super().__init__(torch.empty(0, encoder.width), rows)
        self.encoder, self.texts, self.graph_bytes = encoder, texts, graph_bytes

    def one_each(self) -> FeatureTable:
        """Raises NotImplementedError: what it would be changes from step to step."""
        raise NotImplementedError("the vectors of a field that is trained are in no table")

    def take(self, owners: Tensor) -> FieldVectors:
        """The vectors of owners [b], on their device; each different text is encoded once."""
        rows = self.rows.index_select(0, owners.to(self.rows.device)).cpu()
        wanted, place = rows[rows >= 0].unique(return_inverse=True)
        present = (rows >= 0).to(owners.device)
        vectors = torch.zeros(len(owners), self.width, device=owners.device)
        if len(wanted):
            encoded = self._encoded(wanted).to(owners.device)
            vectors = vectors.index_put((present.nonzero().flatten(),), encoded[place.to(owners.device)])
        return FieldVectors(vectors[:, None], present[:, None])

    @cached_property
    def _lengths(self) -> Tensor:
        return torch.tensor(self.encoder.num_tokens(self.texts))

    def _encoded(self, wanted: Tensor) -> Tensor:
        """Vectors [w, width] of texts [w], at least one."""
        order, parts, graph = pieces(self._lengths[wanted], PIECE, CALL), [], _Graph(self.encoder)
        for piece in order:
            texts = [self.texts[row] for row in wanted[piece].tolist()]
            if graph.nbytes > self.graph_bytes:
                parts.append(_without_graph(self.encoder, texts))
            else:
                with graph:
                    parts.append(self.encoder.forward_text(texts))
        return torch.cat(parts)[torch.cat(order).argsort().to(parts[0].device)]


def _without_graph(encoder: TrainableTextEncoder, texts: Sequence[str]) -> Tensor:
    # A tensor where the network is tells whose random state is to be restored.
    beside = torch.empty(0, device=next(encoder.network.parameters()).device)
    vectors: Tensor = checkpoint(lambda _: encoder.forward_text(texts), beside, use_reentrant=False)
    return vectors


class _Graph(saved_tensors_hooks):
    """Adds up what is kept for gradients while it is entered; weights are there anyway.

    Args:
        encoder: Whose network computes.
    """

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
