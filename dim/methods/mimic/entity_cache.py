"""What MIMIC keeps of a KB: of each entity the parts that all its units need, rounded.

The release keeps the encoders' vectors of all tokens and patches in float32. What the units make of them is smaller:
a query a token instead of the encoder's vector, and of the patches nothing, as a mention never meets them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from dim.methods.mimic.parts import EntityParts

CacheType = Literal["float32", "float16", "int8"]
#: Tokens that are compared with a mention at once: on a CPU more would leave its caches.
TOKENS_AT_ONCE = {"cpu": 4096}
OTHERWISE = 2**19


class EntityCache:
    """The parts of entities by row; entities with equally many tokens are read together.

    Args:
        vectors: Name → [n, width], float32 or float16: what has one vector an entity (`EntityParts.vectors`).
        queries: [num_tokens, d], float32, float16 or int8, those of one entity after another; None: no text unit.
        scales: [num_tokens], what int8 queries are multiplied by; None: they are no int8.
        starts: [n] int64, where each entity's queries start.
        lengths: [n] int64, how many it has.
    """

    def __init__(
        self,
        vectors: Mapping[str, Tensor],
        queries: Tensor | None,
        scales: Tensor | None,
        starts: Tensor,
        lengths: Tensor,
    ) -> None:
        self.vectors, self.queries, self.scales = dict(vectors), queries, scales
        self.starts, self.lengths = starts, lengths

    @classmethod
    def of(cls, parts: Iterable[EntityParts], kind: CacheType) -> Self:
        """The cache of entities in their order, at least one batch of them."""
        vectors: list[dict[str, Tensor]] = []
        queries: list[Tensor] = []
        scales: list[Tensor] = []
        lengths: list[Tensor] = []
        dtype = torch.float32 if kind == "float32" else torch.float16
        for part in parts:
            vectors.append({name: value.to(dtype) for name, value in part.vectors().items()})
            if part.text is None:
                lengths.append(torch.zeros(len(next(iter(vectors[-1].values()))), dtype=torch.long))
                continue
            assert part.text.mask is not None
            lengths.append(part.text.mask.sum(1).cpu())
            found = part.text.queries[part.text.mask]
            if kind == "int8":
                scale = found.abs().amax(1).clamp_min(1e-12) / 127
                scales.append(scale)
                found = (found / scale[:, None]).round().to(torch.int8)
            queries.append(found if kind == "int8" else found.to(dtype))
        counts = torch.cat(lengths)
        return cls(
            {name: torch.cat([each[name] for each in vectors]) for name in vectors[0]},
            torch.cat(queries) if queries else None,
            torch.cat(scales) if scales else None,
            counts.cumsum(0) - counts,
            counts,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        return next(iter(self.vectors.values())).device

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        further = [each for each in (self.queries, self.scales) if each is not None]
        return sum(each.nbytes for each in [*self.vectors.values(), *further, self.starts, self.lengths])

    def to(self, device: torch.device) -> EntityCache:
        """The same on a device; where it stands there already, itself."""
        if device == self.device:
            return self
        queries, scales = (None if each is None else each.to(device) for each in (self.queries, self.scales))
        vectors = {name: value.to(device) for name, value in self.vectors.items()}
        return EntityCache(vectors, queries, scales, self.starts, self.lengths)

    def take(self, rows: Tensor) -> EntityCache:
        """That of some rows [n], on the CPU, in their order."""
        lengths = self.lengths[rows]
        starts = lengths.cumsum(0) - lengths
        tokens = torch.arange(int(lengths.sum())) + (self.starts[rows] - starts).repeat_interleave(lengths)
        here, tokens = rows.to(self.device), tokens.to(self.device)
        queries, scales = (None if each is None else each[tokens] for each in (self.queries, self.scales))
        vectors = {name: value[here] for name, value in self.vectors.items()}
        return EntityCache(vectors, queries, scales, starts, lengths)

    def read(self, rows: Tensor) -> Iterator[tuple[Tensor, EntityParts]]:
        """The parts of rows [n], on the CPU, in float32, with places in `rows`: those of like token counts together."""
        lengths = self.lengths[rows]
        order = lengths.argsort(stable=True)
        most = TOKENS_AT_ONCE.get(self.device.type, OTHERWISE)
        for length, group in _runs(lengths[order]):
            for places in order[group].split(max(1, most // max(1, length))):
                yield places, self._parts(rows[places], length)

    def _parts(self, rows: Tensor, length: int) -> EntityParts:
        here = rows.to(self.device)
        vectors = {name: value[here].float() for name, value in self.vectors.items()}
        if self.queries is None:
            return EntityParts.of(vectors, None)
        tokens = (self.starts[rows][:, None] + torch.arange(length)).to(self.device)
        queries = self.queries[tokens].float()
        if self.scales is not None:
            queries *= self.scales[tokens][:, :, None]
        return EntityParts.of(vectors, queries)


def _runs(counts: Tensor) -> Iterator[tuple[int, slice]]:
    """Each different value of ascending counts [n], and where it stands."""
    values, sizes = counts.unique_consecutive(return_counts=True)
    start = 0
    for value, size in zip(values.tolist(), sizes.tolist(), strict=True):
        yield value, slice(start, start + size)
        start += size


def joined(caches: Sequence[EntityCache]) -> EntityCache:
    """One cache of the entities of several of one type, at least one, one after the other."""
    lengths = torch.cat([each.lengths for each in caches])
    queries = [each.queries for each in caches if each.queries is not None]
    scales = [each.scales for each in caches if each.scales is not None]
    return EntityCache(
        {name: torch.cat([each.vectors[name] for each in caches]) for name in caches[0].vectors},
        torch.cat(queries) if queries else None,
        torch.cat(scales) if scales else None,
        lengths.cumsum(0) - lengths,
        lengths,
    )
