from dim.bench.search import bench_search
from dim.bench.train import bench_train


def test_search_is_timed_against_one_matrix_product(capsys):
    bench_search(num_entities=3000, num_queries=64, width=16, repeats=2)
    shown = capsys.readouterr().out
    assert "one matrix product" in shown
    assert "2 turns" in shown


def test_training_is_timed_against_a_bare_loop(capsys):
    bench_train(batch_sizes=[64], num_mentions=256, num_entities=300, width=16, epochs=1)
    shown = capsys.readouterr().out
    assert "bare loop" in shown
    assert "commit" in shown
