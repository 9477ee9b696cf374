"""Speed, each as a ratio to a peer or a ceiling that is measured in the same run."""

from dim.bench.caption import bench_caption
from dim.bench.convert import bench_convert
from dim.bench.embed import bench_embed
from dim.bench.generate import bench_generate
from dim.bench.hostile import bench_hostile
from dim.bench.link import bench_link
from dim.bench.memory import bench_memory
from dim.bench.search import bench_search
from dim.bench.serve import bench_serve
from dim.bench.train import bench_train
from dim.bench.trie import bench_trie

__all__ = [
    "bench_caption",
    "bench_convert",
    "bench_embed",
    "bench_generate",
    "bench_hostile",
    "bench_link",
    "bench_memory",
    "bench_search",
    "bench_serve",
    "bench_train",
    "bench_trie",
]
