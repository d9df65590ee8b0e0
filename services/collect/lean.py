"""What collect does without: it keeps images and never looks at their pixels."""

import sys

# pydicom imports each that is installed, and requests for its downloads: 40 MB a process, 0.15 s at its start
_OF_PIXELS = ("numpy", "PIL", "gdcm", "openjpeg", "libjpeg", "rle", "pylibjpeg", "requests")


def without_pixels() -> None:
    """Has these libraries taken for not installed in this process. Call it before pydicom is imported."""
    for name in _OF_PIXELS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # documented: an import then raises
