"""Where a use mark may stand in the pixels of a derived image: whoever compares its values passes over these rows."""

_SHARE, _LEAST = 10, 40


def rows_of_mark(rows: int) -> int:
    """How many of an image's rows, the lowest ones, a mark may take."""
    return min(rows, max(rows // _SHARE, _LEAST))
