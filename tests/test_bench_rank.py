import pytest

from benchmarks.rank import bench_rank
from dim.errors import ConfigError


@pytest.mark.long
def test_ranks_by_slices_and_at_once_are_measured_in_processes_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_rank(sizes=[1000], num_mentions=8, width=16, rounds=1)
    assert [(each.num_entities, each.by) for each in found] == [(1000, "vectors"), (1000, "names")]
    assert all(each.seconds > 0 and each.whole_seconds > 0 and each.mb < 200 for each in found)
    assert "8 mentions against the whole KB" in " ".join(capsys.readouterr().out.split())


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match="sizes, num_mentions, width and rounds from 1 up"):
        bench_rank(sizes=[0])
