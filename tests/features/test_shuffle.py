import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dim.features.shuffle import derange


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab")), min_size=1, max_size=40), st.integers(0, 5))
def test_values_change_owners_within_their_group_and_none_is_lost(rows, seed):
    present = np.array([here for here, _ in rows])
    groups = [group for _, group in rows]
    source = derange(present, "image", seed, groups)
    assert sorted(source.tolist()) == list(range(len(rows)))
    for owner, other in enumerate(source):
        assert groups[owner] == groups[other]
        assert present[owner] == present[other]
        alone = sum(p and g == groups[owner] for p, g in rows) == 1
        assert (owner == other) == (not present[owner] or alone)


def test_the_draw_follows_field_and_seed():
    present = np.ones(50, dtype=bool)
    same = derange(present, "image", 0)
    assert np.array_equal(same, derange(present, "image", 0))
    assert not np.array_equal(same, derange(present, "image", 1))
    assert not np.array_equal(same, derange(present, "caption", 0))
