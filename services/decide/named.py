"""Which series each name of a package that reads a whole study stands for in this one, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.decide.selection import ImageFacts, SeriesFacts, misfit
from shared.packages.manifest import Manifest
from shared.packages.named_series import images_of
from shared.packages.selector_tables import NamedSeries

BEST = "the most images, then the highest series number"


@dataclass(frozen=True)
class Named:
    """A series under its name, and the SOP Instance UIDs of those of its images that are read."""

    name: str
    series_instance_uid: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    series: SeriesFacts
    images: Sequence[ImageFacts]

    @property
    def rank(self) -> tuple[int, int, str]:
        """The most images of those that are read; of as many the highest series number, which a repeat has; of one
        number the highest UID, so that it is the same one each time."""
        return sum(i.frames for i in self.images), self.series.series_number, self.series.series_instance_uid


def assign(
    manifest: Manifest, series: Sequence[SeriesFacts], requested_procedure: str
) -> tuple[list[Named], list[str]]:
    """The series that each name stands for, and in words how each was found. They are looked for in the manifest's
    order; an image that one has taken is no other's."""
    found: list[Named] = []
    words: list[str] = []
    for wanted in manifest.grouping.series:
        candidates = list(_candidates(manifest, wanted, series, requested_procedure, found))
        if not candidates:
            words.append(f"{wanted.name} is missing ({wanted.in_words})")
            continue
        best = max(candidates, key=lambda candidate: candidate.rank)
        uids = tuple(image.sop_instance_uid for image in best.images)
        found.append(Named(wanted.name, best.series.series_instance_uid, uids))
        words.append(f"{wanted.name} is {_told(manifest, wanted, best)}{_among(len(candidates))}")
    return found, words


def _candidates(
    manifest: Manifest, wanted: NamedSeries, every: Sequence[SeriesFacts], requested_procedure: str,
    found: Sequence[Named],
) -> list[_Candidate]:  # fmt: skip
    taken = {uid for named in found for uid in named.images}
    # a class that [selector] names is wanted of each
    selector = wanted.model_copy(update={"sop_class": wanted.sop_class or manifest.selector.sop_class})
    fitting = [series for series in every if not misfit(selector, series, requested_procedure)]
    left = [(one, [image for image in one.images if image.sop_instance_uid not in taken]) for one in fitting]
    candidates = [_Candidate(one, images_of(manifest, wanted.name, images)) for one, images in left]
    return [one for one in candidates if one.images and one.rank[0] >= _least(manifest, wanted)]


def _least(manifest: Manifest, wanted: NamedSeries) -> int:
    return 1 if manifest.reads_single_images(wanted.name) else wanted.minimum_instances


def _told(manifest: Manifest, wanted: NamedSeries, best: _Candidate) -> str:
    number = best.series.series_number
    where = f"series {number}" if number >= 0 else "a series without number"
    if not manifest.reads_single_images(wanted.name):
        return where
    fitting = [image for image in best.series.images if wanted.takes_image(image.header)]
    last = f", the last of its {len(fitting)} images" if len(fitting) > 1 else ""
    return f"{where}{last}"


def _among(candidates: int) -> str:
    return f" of {candidates} that fit ({BEST})" if candidates > 1 else ""
