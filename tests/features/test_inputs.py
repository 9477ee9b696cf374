import os
from pathlib import Path

from dim.features.inputs import Inputs, file_state


def test_the_state_of_a_region_is_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    os.utime(tmp_path / "a.jpg", ns=(5, 7))
    assert file_state(tmp_path, "a.jpg") == ("a.jpg", 3, 7)
    assert file_state(tmp_path, "a.jpg#xywh=1,2,3,4") == ("a.jpg#xywh=1,2,3,4", 3, 7)
    assert file_state(tmp_path, "b.jpg#xywh=1,2,3,4") == ("b.jpg#xywh=1,2,3,4", -1, 0)


def test_two_regions_of_a_file_are_two_inputs_that_change_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    owners = [("a.jpg#xywh=1,2,3,4",), ("a.jpg#xywh=9,2,3,4",), None, ("a.jpg#xywh=1,2,3,4",)]
    inputs = Inputs.of_images(owners, tmp_path)
    assert inputs.rows.tolist() == [0, 1, -1, 0]
    before = inputs.hash
    (tmp_path / "a.jpg").write_bytes(b"1234")
    assert Inputs.of_images(owners, tmp_path).hash != before
