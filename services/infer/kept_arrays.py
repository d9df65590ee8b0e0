"""The arrays of a run: segments, maps, images and embeddings lie in its results folder, beside what report makes."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from shared.arrays import SUFFIX, write_array
from shared.findings import ArrayFile
from shared.stage import check_lease


class KeptArrays:
    """What one reading of a run keeps. A second reading writes the same names; what it no longer says is removed."""

    def __init__(self, data_dir: Path, folder: Path) -> None:
        self._data_dir, self._folder = data_dir, folder
        self._written: list[str] = []

    def keep(self, name: str, array: NDArray[Any]) -> ArrayFile:
        """Writes `array` durably, and tells how to find it again.

        Raises:
            LeaseLost: another worker has the run by now.
            OSError: the disk refuses.
        """
        check_lease()
        file = write_array(self._data_dir, self._folder, f"{name}_{len(self._written) + 1}", array)
        self._written.append(Path(file.path).name)
        return file

    def remove_all(self) -> None:
        """For a reading that came to nothing, as `remove_others`."""
        self._written.clear()
        self.remove_others()

    def remove_others(self) -> None:
        """Removes the arrays of an earlier reading that this one did not write again: no finding names them any more.

        Raises:
            LeaseLost: another worker has the run by now, and they may be its own.
        """
        check_lease()
        for path in self._folder.glob(f"*{SUFFIX}"):
            if path.name not in self._written:
                path.unlink(missing_ok=True)
