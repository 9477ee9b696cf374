"""The lists of an IVF index: how many there are, where their centres lie, and how the nearest centres are found."""

from __future__ import annotations

import math
from typing import Any

import faiss as typed_faiss
import numpy as np

from dim.core.arrays import Floats

faiss: Any = typed_faiss  # its stubs lack half of what it offers

POINTS_A_LIST = 40  # training vectors a list: FAISS warns below 39
ROUNDS = 8  # of k-means
SHARED = 0.25  # cosine of two unit vectors, on the average, from which on they lie in a cone
FEW = 512  # lists whose centres are compared one by one
COLUMNS_A_CODE = 8  # of a centre, at most
COMPARED_A_PROBE, COMPARED = 4, 8  # centres that their codes choose, for each list that is probed and at least


def num_lists_for(num_vectors: int) -> int:
    """How many lists an IVF index of that many vectors has."""
    return max(1, min(round(4 * math.sqrt(num_vectors)), num_vectors // POINTS_A_LIST))


def centres_of(vectors: Floats, seed: int) -> Any:
    """A FAISS index of the centres of lists for `vectors` [n, d], n ≥ 1, by spherical k-means.

    Where the vectors lie in a cone, as those of one modality do, the centres are at right angles to its axis: what all
    vectors share tells no list from another, and otherwise a list of what is like nothing attracts everything.
    From `FEW` centres on, codes of 4 bits for 8 columns choose the few that are compared, in k-means as in a search: of
    4,000 centres of 512 columns that takes a fifth of the time.
    """
    num_lists, width = num_lists_for(len(vectors)), vectors.shape[1]
    clustering = faiss.Clustering(width, num_lists)
    clustering.niter, clustering.seed, clustering.spherical = ROUNDS, seed + 1, True
    clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, POINTS_A_LIST
    points = _told_apart(sample(vectors, num_lists * POINTS_A_LIST, seed))
    centres = faiss.IndexFlatIP(width) if num_lists < FEW else _coded(points)
    clustering.train(points, centres)
    return centres


def _told_apart(points: Floats) -> Floats:
    mean = points.mean(axis=0)
    shared = float(mean @ mean)
    return points if shared < SHARED else points - (points @ mean / shared)[:, None] * mean


def _coded(points: Floats) -> Any:
    width = points.shape[1]
    columns = next(each for each in range(COLUMNS_A_CODE, 0, -1) if width % each == 0)
    index = faiss.IndexRefineFlat(faiss.IndexPQFastScan(width, width // columns, 4, faiss.METRIC_INNER_PRODUCT))
    index.k_factor = float(COMPARED)  # where vectors are added
    index.train(points)
    return index


def probing(index: Any, effort: int) -> Any:
    """The parameters of a search in an IVF index that probes `effort` lists."""
    quantizer, centres = faiss.downcast_index(index.quantizer), None
    if isinstance(quantizer, faiss.IndexRefine):
        compared = min(max(COMPARED_A_PROBE * effort, COMPARED), index.nlist)
        centres = faiss.IndexRefineSearchParameters(k_factor=compared / effort)
    return faiss.SearchParametersIVF(nprobe=effort, quantizer_params=centres)


def sample(vectors: Floats, size: int, seed: int) -> Floats:
    """Up to `size` of the vectors, drawn at random, in their order."""
    rows = np.random.default_rng(seed).permutation(len(vectors))[:size]
    return np.ascontiguousarray(vectors[np.sort(rows)])
