"""A number with its unit, as the tensor holds it."""

from services.infer.answer import Answer
from services.infer.slices import slice_weights
from services.infer.tile_regions import deciding_tiles
from shared.findings import Measurement, Region
from shared.outputs import number


def quantity(answer: Answer) -> list[Measurement]:
    """One measurement.

    Raises:
        Unreadable: there is not one number, or it is out of the range that the manifest declares.
    """
    return [
        Measurement(
            **answer.identity(), value=number(answer.package, answer.output, answer.reading), unit=answer.output.unit,
            slice_weights=slice_weights(answer.package, answer.reading), regions=_tile(answer),
        )
    ]  # fmt: skip


def _tile(answer: Answer) -> tuple[Region, ...]:
    """The one tile whose number it is; a mean of several is said of none of them."""
    tiles = deciding_tiles(answer)
    return tiles if len(tiles) == 1 else ()
