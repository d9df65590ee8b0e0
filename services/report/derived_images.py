"""Images that a package made of its source's: a series of the source's own class, in the source's place.

It is marked DERIVED, says from what and by what it was derived, and carries the use mark in its words and, unless the
destination says otherwise, in its pixels: nobody shall take it for the source.
"""

from dataclasses import dataclass
from itertools import count, repeat
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset

from services.report import derived_classes
from services.report.derived_classes import ImageClass, class_for
from services.report.derived_frames import fill_frames
from services.report.derived_header import fill_derivation, fill_equipment, fill_from_source
from services.report.derived_pixels import Look, fill_look, fill_pixels, look_of
from services.report.facts import RunFacts
from services.report.identity import counted, fill_identity, first_source, series_description
from services.report.placed_arrays import on_grid, read_placed
from shared.findings import DerivedImage, SourceImage

KIND = "DERIVED"
SOP_CLASSES = derived_classes.SOP_CLASSES


@dataclass(frozen=True)
class Made:
    """One derived plane, (rows, columns), and what it was derived from."""

    finding: DerivedImage
    image: SourceImage
    source: Dataset
    values: NDArray[Any]

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the source's series."""
        return int(self.source.get("InstanceNumber") or 0), self.image.frame or 0


def build(facts: RunFacts) -> list[Dataset]:
    """A series for each derived image of each source series; none where the package derives none.

    Raises:
        CannotBuild: no source image could be read, or an array does not fit its images.
    """
    first_source(facts)
    made: list[Dataset] = []
    for number, planes in enumerate(_by_series(facts), start=1):
        made.extend(_series(facts, number, planes, len(made)))
    return made


def _by_series(facts: RunFacts) -> list[list[Made]]:
    """What belongs together: of one name and source series, in the source's order.

    A package that reads single images makes a finding of each.
    """
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    series: dict[tuple[str, str], list[Made]] = {}
    for finding in (f for f in facts.findings if isinstance(f, DerivedImage)):
        boxes = finding.placed.boxes or (None,) * len(finding.placed.images)
        for image, plane, box in zip(finding.placed.images, read_placed(facts, finding.placed), boxes, strict=True):
            if image.sop_instance_uid in headers:
                source = headers[image.sop_instance_uid]
                values = on_grid(plane, box, int(source.Rows), int(source.Columns))
                together = series.setdefault((finding.name, image.series_instance_uid), [])
                together.append(Made(finding, image, source, values))
    return [sorted(made, key=lambda one: one.place) for made in series.values()]


def _series(facts: RunFacts, number: int, planes: list[Made], before: int) -> list[Dataset]:
    """One object for each image, or each instance with frames; `before` are of other series."""
    instances: dict[str, list[Made]] = {}
    for made in planes:
        instances.setdefault(made.image.sop_instance_uid, []).append(made)
    firsts = [made[0] for made in instances.values()]
    kinds = [class_for(made[0].source, all(one.image in facts.planes for one in made)) for made in instances.values()]
    look = look_of(facts, planes[0].finding, firsts[0].source, [made.values for made in planes], kinds)
    numbers = zip(count(before + 1), repeat(number), _instance_numbers(firsts))
    return [
        _document(facts, made, look, kind, numbered)
        for made, kind, numbered in zip(instances.values(), kinds, numbers, strict=True)
    ]


def _instance_numbers(firsts: list[Made]) -> list[int]:
    """The source's own, where these tell its images apart: image 7 is then image 7."""
    own = [made.place[0] for made in firsts]
    return own if min(own) > 0 and len(set(own)) == len(own) else list(range(1, len(own) + 1))


def _document(
    facts: RunFacts, made: list[Made], look: Look, kind: ImageClass, numbers: tuple[int, int, int]
) -> Dataset:
    """`numbers` are of the object in the run, of the series, and of the instance in it."""
    source, finding, images = made[0].source, made[0].finding, [one.image for one in made]
    ds = Dataset()
    description = series_description(facts, counted("derived image", numbers[1]))
    fill_identity(ds, facts, KIND, numbers[0], description, numbers[1])
    ds.InstanceNumber, ds.SOPClassUID = numbers[2], kind.sop_class_uid
    fill_from_source(ds, source, kind)
    fill_derivation(ds, facts, finding, images, source, kind)
    fill_equipment(ds, finding, source)
    fill_pixels(ds, [one.values for one in made], look)
    if kind.of_frames:
        fill_frames(ds, facts, images, source, kind)
    fill_look(ds, look, kind)
    return ds
