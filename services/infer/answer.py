"""One output of a package, answered for one image or one series: what the kinds make their findings from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.findings import ArrayFile
from shared.inference import Reading, Unreadable
from shared.outputs import Numbers, scalar, shaped
from shared.packages.folder import Package
from shared.packages.output_tables import Label, Output
from shared.packages.shapes import shapes_of

DEFAULT_THRESHOLD = 0.5


Keep = Callable[[str, NDArray[Any]], ArrayFile]
"""Keeps an array under a name for good, and tells where it lies."""


def nowhere(name: str, array: NDArray[Any]) -> ArrayFile:
    """For packages whose outputs are all small."""
    raise Unreadable(f"{name}: an array of shape {list(array.shape)} can't be kept here")


def as_stack(package: Package, output: Output, values: NDArray[np.float32], channels: bool) -> NDArray[np.float32]:
    """`values` with an axis for slices, and with `channels` one for these in front, where they have none."""
    single = package.manifest.reads_single_images(package.manifest.series_of(output))
    stacked = values[..., np.newaxis, :, :] if single else values
    return stacked[np.newaxis] if channels and stacked.ndim == 3 else stacked


@dataclass(frozen=True)
class Answer:
    """`confidence` is what the package says of how sure it is of this output; None where it says nothing."""

    package: Package
    output: Output
    reading: Reading
    confidence: float | None = None
    keep: Keep = nowhere

    @property
    def where(self) -> str:
        """Package and output, as the beginning of a reason."""
        return f"{self.package.name}: {self.output.name}"

    @property
    def is_explained(self) -> bool:
        """Whether the package's explanation is of this output."""
        return self.output == self.package.manifest.explained

    @property
    def values(self) -> Numbers:
        """The tensor's numbers, with the axes that the kind takes.

        Raises:
            Unreadable: they have another shape.
        """
        return self._shaped().astype(np.float64)

    @property
    def dense(self) -> NDArray[np.float32]:
        """The tensor's numbers over the model's input, as they are: ([channels,] slices, rows, columns), a single image
        as one slice.

        Raises:
            Unreadable: they have another shape.
        """
        values = self._shaped()
        return as_stack(self.package, self.output, values, channels=self.output.kind == "segment")

    def _shaped(self) -> NDArray[np.float32]:
        patterns = shapes_of(self.package.manifest, self.output)
        return shaped(self.package, self.reading, self.output.tensor, patterns)

    @property
    def scalar(self) -> float:
        """The tensor's one number, as it is.

        Raises:
            Unreadable: it holds another number of values.
        """
        return scalar(self.package, self.reading, self.output.tensor)

    def identity(self, label: Label | None = None) -> dict[str, Any]:
        """What every finding tells of itself; that of a label is named after output and label."""
        manifest = self.package.manifest.package
        return {
            "name": f"{self.output.name}.{label.name}" if label else self.output.name,
            "code": label.code if label else self.output.code,
            "package": self.package.name, "version": self.package.version,
            "weights": self.package.weights_digest(), "use_mark": manifest.use_mark,
            "sources": self.reading.sources, "confidence": self.confidence, "site": self.output.site,
            "missing": self.reading.missing,
        }  # fmt: skip

    def threshold(self, label: Label | None = None) -> float:
        """From which probability something is present: the label's own, else the output's, else a half."""
        own = label.threshold if label else None
        return next((value for value in (own, self.output.threshold) if value is not None), DEFAULT_THRESHOLD)
