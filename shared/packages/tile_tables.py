"""[tiles]: how an image or a volume is cut into several rows of the model, and put together again."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared.packages.output_tables import Output, Table

Overlap = Annotated[float, Field(ge=0, lt=1)]


def _size(size: int) -> int:
    if size != -1 and not 1 <= size <= 16384:
        raise ValueError("write 1 to 16384, or -1 for all there is along that axis")
    return size


class TilesTable(Table):
    """[tiles]: a window slides over the prepared pixels, as MONAI's sliding_window_inference does.

    Neighbours share `overlap` of their size, one for all axes or one for each. What the model says of each pixel is
    averaged over the tiles that hold it: all alike (`constant`), or more where it is nearer to the middle (`gaussian`,
    with a standard deviation of `sigma` of the tile's size). Of numbers that it gives for a whole tile, `combine` makes
    one. What is smaller than a tile has `value` around it. `at_once` tiles are sent together.
    """

    shape: Annotated[tuple[Annotated[int, AfterValidator(_size)], ...], Field(min_length=2, max_length=3)]
    overlap: Overlap | tuple[Overlap, ...] = 0.25
    blend: Literal["constant", "gaussian"] = "constant"
    sigma: Annotated[float, Field(gt=0, le=10)] = 0.125
    at_once: Annotated[int, Field(ge=1, le=256)] = 4
    value: float = 0.0
    combine: Annotated[str, Field(pattern=r"^(max|mean|top:[1-9]\d{0,3})$")] | None = None

    @property
    def overlaps(self) -> tuple[float, ...]:
        """One for each axis."""
        return self.overlap if isinstance(self.overlap, tuple) else (self.overlap,) * len(self.shape)


def check_tiles(
    tiles: TilesTable, by: str, pixels: Sequence[int], outputs: Sequence[Output], explained_by: str
) -> None:
    """Whether what the model gives for tiles can be put together; `pixels` is the shape of a row of them.

    Raises:
        ValueError: it can't; the text says what to write.
    """
    axes = {"image": 2, "series": 3}.get(by)
    if axes is None:
        raise ValueError("tiles are cut of an image or of a series: remove [tiles], or group by one of these")
    if len(tiles.shape) != axes or len(tiles.overlaps) != axes:
        raise ValueError(f"tiles: grouping by {by} takes {axes} sizes: {'slices, ' * (axes - 2)}rows, columns")
    if len(pixels) != 1 + axes or any(-1 not in (have, size) and have != size for have, size in _pairs(pixels, tiles)):
        raise ValueError(f"tiles: a tile of {list(tiles.shape)} does not fit the pixels' shape {list(pixels)}")
    if explained_by not in ("none", "attribution_map"):
        raise ValueError(f"tiles: an explanation of kind {explained_by!r} can't be put together: it is of one row")
    for output in outputs:
        _check_output(output, tiles)
    if tiles.combine is None and any(is_score(output) for output in outputs):
        raise ValueError('tiles: say how the tiles\' numbers become one: combine = "max", "mean" or "top:3"')
    ordinal = {output.tensor for output in outputs if output.kind == "ordinal"}
    if any(output.tensor in ordinal for output in outputs if output.kind == "multilabel"):
        raise ValueError("tiles: a grade and labels can't be of one tensor, for they are put together in two ways")


def is_score(output: Output) -> bool:
    """Whether its tensor holds numbers for a whole tile."""
    return output.kind in ("binary", "multilabel", "ordinal", "regression", "measurement") and not output.of


def _pairs(pixels: Sequence[int], tiles: TilesTable) -> list[tuple[int, int]]:
    return list(zip(pixels[1:], tiles.shape, strict=True))


def _check_output(output: Output, tiles: TilesTable) -> None:
    what = output.geometry or output.kind
    if output.geometry or output.kind in ("landmark", "embedding"):
        raise ValueError(f"tiles: {output.name}: what is said in tiles as {what} can't be put together")
    if output.confidence_tensor:
        raise ValueError(f"tiles: {output.name}: a confidence is of one row: remove confidence_tensor")
    if output.kind == "multilabel" and output.activation == "softmax" and tiles.combine != "mean":
        raise ValueError(
            f'tiles: {output.name}: labels that exclude each other are put together with combine = "mean" alone'
        )
