import pytest

from benchmarks.caption import bench_caption


@pytest.mark.long
def test_captions_in_batches_are_timed_against_one_at_a_time(capsys):
    found = bench_caption(size="tiny", num_images=8, batch_size=4, precision="fp32", device="cpu", rounds=1)
    assert found["ratio"] > 0
    assert found["batched"] > 0
    assert "batches of 4" in capsys.readouterr().out
