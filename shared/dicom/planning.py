"""Tells planning images (localizers) from images that are meant to be read."""

import re
from collections.abc import Sequence

_PLANNING = re.compile(r"\b(scout|locali[sz]er|survey|pilot|topogram)\b|^loc\b|\bloc\s*\d*$", re.IGNORECASE)


def is_planning(image_types: Sequence[Sequence[str]], series_description: str) -> bool:
    """Whether a series plans others: Image Type says so of every image (PS3.3 C.7.6.1.1.2), or, since not every vendor
    writes that, the description.
    """
    said = bool(image_types) and all("LOCALIZER" in [part.upper() for part in parts] for parts in image_types)
    return said or bool(_PLANNING.search(series_description))
