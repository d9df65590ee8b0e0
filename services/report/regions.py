"""Geometry of a region: what can be computed again from the polyline and the spacing stored with it."""

from shared.findings import Finding, Landmark, Measurement, Region


def regions_of(finding: Finding) -> tuple[Region, ...]:
    """The finding's regions; of kinds that have none, none."""
    regions: tuple[Region, ...] = getattr(finding, "regions", ())
    return regions


def encloses(finding: Finding) -> bool:
    """Whether the finding's lines go around something; a landmark's, a length's or an angle's stand for themselves."""
    is_line = isinstance(finding, Measurement) and finding.geometry in ("length", "angle")
    return not isinstance(finding, Landmark) and not is_line


def area_pixels(points: tuple[tuple[float, float], ...]) -> float:
    """Area in pixels of a polygon whose first point may be repeated at the end (shoelace formula)."""
    following = (*points[1:], points[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, following, strict=True))) / 2


def area_mm2(region: Region, spacing: tuple[float, float]) -> float | None:
    """Area in mm² with `spacing` (row, column) in mm; None for a point, and for a window, which encloses no finding."""
    if region.window or region.graphic_type != "POLYLINE" or len(region.points) < 3:
        return None
    return area_pixels(region.points) * spacing[0] * spacing[1]


def closed(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """The points with the first repeated at the end."""
    return points if points[0] == points[-1] else (*points, points[0])
