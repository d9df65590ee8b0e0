"""Puts right the frames of loose layers: those that share a plane, lie in several directions, or lie nowhere known.

highdicom was handed them one below the other. Here each frame is given the image that it lies over (PS3.3
C.7.6.16.2.6) and that image's place; where none is known, none: each pixel is then that of its image (A.51.5.1). Frames
are told apart by stack and number in it (C.7.6.16.2.2.4): what is taken again in the same place is another stack.
"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from services.report.plates import Plates
from shared.findings import SourceImage
from shared.geometry import SAME_HEIGHT_MM
from shared.imaging.planes import Plane

_DIMENSIONS = (("StackID", "Stack ID"), ("InStackPositionNumber", "In-Stack Position Number"))


def put_right(document: Dataset, plates: Plates, planes: Sequence[Plane], measures: Dataset | None) -> None:
    """Of each frame of `document`, made of loose `plates`, the source, the place and the dimensions.

    `planes` are where the layers' own pixels lie, with `measures`; empty where nothing is known.
    """
    places = stacks_of(planes) if planes else [(1, n) for n in range(1, len(plates.layers) + 1)]
    for item in document.PerFrameFunctionalGroupsSequence:
        layer = round(-float(item.PlanePositionSequence[0].ImagePositionPatient[2]))
        _point_to(item, plates.layers[layer])
        _place(item, planes[layer] if planes else None)
        content = item.FrameContentSequence[0]
        stack, number = places[layer]
        content.StackID, content.InStackPositionNumber = str(stack), number
        before = content.DimensionIndexValues
        content.DimensionIndexValues = [*(before if isinstance(before, Sequence) else [before])[:-1], stack, number]
    _share(document, plates, planes, measures)
    _index(document)
    _name_sources(document, plates)


def stacks_of(planes: Sequence[Plane]) -> list[tuple[int, int]]:
    """Stack and number in it of each plane, both from 1: the nth one in a place is of the nth stack."""
    seen: dict[tuple[int, ...], int] = {}
    order: dict[tuple[int, ...], int] = {}
    found = []
    for plane in planes:
        place = tuple(round(v / SAME_HEIGHT_MM) for v in (*plane.position, *plane.orientation))
        seen[place] = seen.get(place, 0) + 1
        found.append((seen[place], order.setdefault(place, len(order) + 1)))
    return found


def _point_to(item: Dataset, image: SourceImage) -> None:
    for derivation in item.DerivationImageSequence:
        for source in derivation.SourceImageSequence:
            source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
            if image.frame:
                source.ReferencedFrameNumber = image.frame


def _place(item: Dataset, plane: Plane | None) -> None:
    if plane is None:
        del item.PlanePositionSequence
        return
    item.PlanePositionSequence = [Dataset()]  # that of another segment is the same object
    item.PlanePositionSequence[0].ImagePositionPatient = list(plane.position)


def _share(document: Dataset, plates: Plates, planes: Sequence[Plane], measures: Dataset | None) -> None:
    (shared,) = document.SharedFunctionalGroupsSequence
    if not planes or measures is None:
        for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            del shared[keyword]
        for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
            del document[keyword]
        return
    document.FrameOfReferenceUID = plates.frame_of_reference_uid
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(planes[0].orientation)
    shared.PixelMeasuresSequence = [measures]


def _index(document: Dataset) -> None:
    """In place of the position, by which these frames can't be told apart."""
    if "DimensionOrganizationType" in document:
        del document.DimensionOrganizationType  # "3D", as it was handed over
    *kept, last = document.DimensionIndexSequence
    for keyword, label in _DIMENSIONS:
        index = Dataset()
        index.DimensionOrganizationUID = last.DimensionOrganizationUID
        index.DimensionIndexPointer = tag_for_keyword(keyword)
        index.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
        index.DimensionDescriptionLabel = label
        kept.append(index)
    document.DimensionIndexSequence = kept


def _name_sources(document: Dataset, plates: Plates) -> None:
    """Each instance once, by its own class; one with frames was handed over once for each."""
    classes = {image.sop_instance_uid: image.sop_class_uid for image in plates.layers}
    for series in document.ReferencedSeriesSequence:
        series.ReferencedInstanceSequence = _unique(series.ReferencedInstanceSequence, classes)
    if "SourceImageSequence" in document:
        document.SourceImageSequence = _unique(document.SourceImageSequence, classes)


def _unique(items: Sequence[Dataset], classes: dict[str, str]) -> list[Dataset]:
    kept = {str(item.ReferencedSOPInstanceUID): item for item in items}
    for uid, item in kept.items():
        item.ReferencedSOPClassUID = classes[uid]
    return list(kept.values())
