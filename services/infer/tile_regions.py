"""Where a number of a package that reads in tiles comes from: the tiles that decided, on the source image."""

from services.infer.answer import Answer
from shared.findings import Region
from shared.imaging.grid import Grid, NoVolume, step_matrix
from shared.tiling import Tile


def deciding_tiles(answer: Answer, number: int = 0) -> tuple[Region, ...]:
    """The rectangle of each tile that made the output's `number`th number what it is, as far as it lies on the image;
    one that reaches over several images is drawn on the middle one. None where all tiles did alike, and where rows and
    columns are turned out of the images' planes: a rectangle would show another place.
    """
    decided = answer.reading.decided.get(answer.output.tensor, ())
    tiles = decided[number] if number < len(decided) else ()
    drawn = [_drawn(answer.reading.grid, tile, count if len(tiles) > 1 else 0) for count, tile in enumerate(tiles, 1)]
    return tuple(region for region in drawn if region)


def _drawn(grid: Grid, tile: Tile, count: int) -> Region | None:
    slice_, row, column = tile.start
    own = grid.moved(tile.shape, step_matrix(shift=(float(slice_), float(row), float(column))))
    try:
        (left, top, right, bottom), images = own.box, [image for image in own.slice_images if image]
    except NoVolume:
        return None
    rows, columns = grid.source.shape[1:]
    left, right = max(left, 0.0), min(right, float(columns))
    top, bottom = max(top, 0.0), min(bottom, float(rows))
    if not images or left >= right or top >= bottom:
        return None
    several = f" of {len(set(images))} images" if len(set(images)) > 1 else ""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    return Region(
        image=images[len(images) // 2], graphic_type="POLYLINE", points=corners, window=True,
        label=f"tile {count}{several}" if count else f"tile{several}",
    )  # fmt: skip
