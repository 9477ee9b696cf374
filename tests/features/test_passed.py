"""Passes over all owners of a field, a part at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dim.features.batch import FeatureTable, passed, stacked

NUM_OWNERS, WIDTH = 20_000, 512


def mapped_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what is mapped")
def test_a_pass_over_a_mapped_field_reads_all_of_it_and_keeps_a_part_in_memory(tmp_path: Path) -> None:
    expected = np.arange(NUM_OWNERS * WIDTH, dtype=np.float32).reshape(NUM_OWNERS, WIDTH)  # 41 MB
    np.save(tmp_path / "matrix.npy", expected)
    array = np.load(tmp_path / "matrix.npy", mmap_mode="c")
    rows = torch.arange(NUM_OWNERS).flip(0)
    table, before, most = FeatureTable(torch.from_numpy(array), rows, mapped=array), mapped_kb(), 0
    means = []
    for part in passed([table], torch.arange(NUM_OWNERS), 1000):
        means.append(table.take(part).mean()[0])
        most = max(most, mapped_kb())
    assert 1000 < most - before < 16_000  # torch's own code, too
    np.testing.assert_array_equal(stacked(means, NUM_OWNERS, torch.empty(0)), expected[::-1])
    table.to(torch.device("cpu"))
    assert table.mapped is None
    assert [len(part) for part in passed([table], torch.arange(50), 20)] == [20, 20, 10]


def test_nothing_stacked_is_what_was_given() -> None:
    assert stacked([], 0, torch.empty(0, 3)).shape == (0, 3)
