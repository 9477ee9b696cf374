import pytest

from benchmarks.trie import bench_trie


@pytest.mark.long
def test_the_tree_is_measured_against_nested_dicts(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"num_names": 5000, "vocab_size": 2000, "num_words": 2000}
    model = {"prompt_length": 8, "batch_size": 2, "num_beams": 3, "num_layers": 1, "width": 64, "rounds": 2}
    results = bench_trie(**sizes, **model)
    # This vocabulary cuts names into more tokens: two bytes each, and ten for length, mark and entities.
    assert results["bytes_a_name"] < 2 * results["tokens_a_name"] + 10
    assert results["dict_bytes_a_name"] > 10 * results["bytes_a_name"]
    assert results["same_answers"] == 1
    assert 0 < results["tree_share"] < results["search_share"] < 1
    assert results["tree_steps"] <= results["dict_steps"]
    assert results["tree_steps"] > 2 * 3
    shown = " ".join(capsys.readouterr().out.split())
    assert "5,000 names" in shown
    assert "same answers │ 100%" in shown
    assert "commit" in shown
