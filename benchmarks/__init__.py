"""Speed, each as a ratio to a peer or a ceiling that is measured in the same run."""

import dim  # noqa: F401 - first: it mends the import of torchvision

# isort: split
from benchmarks.caption import bench_caption
from benchmarks.convert import bench_convert
from benchmarks.dump import bench_dump
from benchmarks.earlier import bench_earlier
from benchmarks.embed import bench_embed
from benchmarks.encode import bench_encode
from benchmarks.generate import bench_generate
from benchmarks.hostile import bench_hostile
from benchmarks.kb import bench_kb
from benchmarks.likelihoods import bench_likelihoods
from benchmarks.link import bench_link
from benchmarks.memory import bench_memory
from benchmarks.modalities import bench_modalities
from benchmarks.rank import bench_rank
from benchmarks.search import bench_search
from benchmarks.serve import bench_serve
from benchmarks.start import bench_start
from benchmarks.train import bench_train
from benchmarks.train_encoder import bench_train_encoder
from benchmarks.trie import bench_trie

__all__ = [
    "bench_caption",
    "bench_convert",
    "bench_dump",
    "bench_earlier",
    "bench_embed",
    "bench_encode",
    "bench_generate",
    "bench_hostile",
    "bench_kb",
    "bench_likelihoods",
    "bench_link",
    "bench_memory",
    "bench_modalities",
    "bench_rank",
    "bench_search",
    "bench_serve",
    "bench_start",
    "bench_train",
    "bench_train_encoder",
    "bench_trie",
]
