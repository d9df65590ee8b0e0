"""Arrays of findings: what was written comes back, and anything else is refused."""

import numpy as np
import pytest

from shared.arrays import BrokenArray, read_array, write_array


def test_an_array_comes_back(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    file = write_array(tmp_path, tmp_path / "results" / "run", "map", array)
    assert (file.path, file.shape, file.dtype) == ("results/run/map.npz", (2, 3, 4), "float32")
    np.testing.assert_array_equal(read_array(tmp_path, file), array)


def test_the_same_array_gives_the_same_bytes(tmp_path):
    array = np.ones((4, 4), np.uint8)
    assert write_array(tmp_path, tmp_path, "a", array).digest == write_array(tmp_path, tmp_path, "b", array).digest


def test_other_bytes_are_refused(tmp_path):
    file = write_array(tmp_path, tmp_path, "map", np.zeros(9, np.uint8))
    write_array(tmp_path, tmp_path, "map", np.ones(9, np.uint8))
    with pytest.raises(BrokenArray):
        read_array(tmp_path, file)
