"""Looks into every frame of a series: is there a picture at all, and can it be decoded?"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.imaging.frames import Frame, UndecodablePixels

_THREADS = 2


@dataclass(frozen=True)
class Content:
    """What is wrong with the pixels of a series, by index into its frames."""

    blank: frozenset[int] = frozenset()
    undecodable: tuple[tuple[int, str], ...] = ()  # with the reason


def look_into(frames: Sequence[Frame]) -> Content:
    """Decodes every frame, one at a time per thread, and keeps no pixels."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look") as pool:
        said = list(pool.map(_look, frames))
    return Content(
        blank=frozenset(index for index, word in enumerate(said) if word == _BLANK),
        undecodable=tuple((index, word) for index, word in enumerate(said) if word and word != _BLANK),
    )


_BLANK = "blank"


def _look(frame: Frame) -> str:
    """Nothing when there is a picture, else what is wrong."""
    try:
        values = frame.stored().values
    except UndecodablePixels as error:
        return str(error)
    return _BLANK if values.min() == values.max() else ""
