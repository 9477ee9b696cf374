from run_folders import make_run

from dim.report.comparison import compare
from dim.report.plots import styled
from dim.report.reading import read_systems


def test_the_rows_beside_every_model_are_told_apart_by_their_dashes(tmp_path):
    run = make_run(tmp_path / "a", [1, 2, 2], columns={"alias_floor_rank": [3.0, 2.0, 4.0]}, alias_floor={"top1": 0.0})
    [group] = read_systems([run], "dev").groups
    rows = styled(compare(group, None, 100))[: len(group.baselines)]
    assert len({dashes for _, _, dashes in rows}) == len(rows) == 3
