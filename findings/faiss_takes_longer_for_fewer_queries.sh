#!/bin/sh
# faiss-cpu 1.15.1: IndexFlatIP.search of 249 queries takes ten times as long as of 251, on one thread.
#
# Expected: more queries take longer, and from 20 queries on a product of matrices, as FAISS's documents say of
# `distance_compute_blas_threshold`, whose default they give as 20.
# What happens: since 1.14 the threshold is 128,000 and counts the numbers of all queries (queries times columns), not the
# queries. Below it each query reads all vectors by itself: of 512 columns that is any batch of fewer than 250, of 384
# fewer than 334. One query after the other costs the same. With many threads this is faster; with one, as under
# OMP_NUM_THREADS=1 or in a worker among several, it is not, and nothing says so. The answers are the same.
# A user of dim would meet it who compares searches in batches of 32 to 128 with FAISS flat, or replaces them by it: dim
# multiplies matrices itself in between (`ONE_BY_ONE`, `MANY` in dim/search/stores.py), and benchmarks/README.md tells
# both sides.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet faiss-cpu==1.15.1 numpy==2.4.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'END'
import time

import faiss
import numpy as np

WIDTH = 512
faiss.omp_set_num_threads(1)
drawn = np.random.default_rng(0)
vectors = drawn.standard_normal((20_000, WIDTH), dtype=np.float32)
queries = drawn.standard_normal((251, WIDTH), dtype=np.float32)
index = faiss.IndexFlatIP(WIDTH)
index.add(vectors)


def seconds(count):
    taken = []
    for _ in range(3):
        start = time.process_time()
        index.search(queries[:count], 10)
        taken.append(time.process_time() - start)
    return min(taken)


threshold = faiss.cvar.distance_compute_blas_threshold
fewer, more = seconds(249), seconds(251)
print(f"threshold {threshold:,}; 249 queries {fewer:.3f} s, 251 queries {more:.3f} s of the processor: {fewer / more:.1f} times")
faiss.cvar.distance_compute_blas_threshold = 20
lowered = seconds(249)
print(f"threshold 20: 249 queries {lowered:.3f} s")
assert threshold == 128_000, "no longer so"
assert fewer > 2 * more, "no longer so"
assert fewer > 2 * lowered, "no longer so"
END
