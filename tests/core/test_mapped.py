from pathlib import Path

import numpy as np

from dim.core.folder_files import read_array
from dim.core.mapped import dropped


def resident_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


def test_pages_that_were_read_to_check_a_file_count_no_more_and_come_back(tmp_path):
    expected = np.arange(4_000_000)
    np.save(tmp_path / "a.npy", expected)
    array = read_array(tmp_path / "a.npy", "numbers", "Write them.", mapped="r")
    assert type(array) is np.ndarray
    before = resident_kb()
    assert array.max() == expected[-1]
    read = resident_kb()
    assert dropped(array) is array
    assert read - before > 20_000 > abs(resident_kb() - before)
    np.testing.assert_array_equal(array, expected)


def test_what_is_not_mapped_stays_as_it_is():
    array = np.arange(3)
    assert dropped(array[1:]).tolist() == [1, 2]
