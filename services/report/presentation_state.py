"""The findings drawn over the images themselves, for viewers that can: Grayscale Softcopy Presentation State (PS3.3
A.33.1). Nothing is burned in: a viewer shows it or puts it away.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom.pr import GraphicLayer, GraphicObject, TextObject
from highdicom.sr import TrackingIdentifier
from pydicom import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from services.report.colours import lab_of
from services.report.drawing.palette import YELLOW
from services.report.facts import CannotBuild, RunFacts
from services.report.identity import fill_body_part, fill_identity, first_source, series_description, use_mark
from services.report.key_images import frames_of
from services.report.planes import images_with_regions
from services.report.regions import closed, encloses, regions_of
from services.report.statements import of_regions, statements
from services.report.tracking import Tracking, of_region
from shared.findings import Finding, Region, SourceImage
from shared.quantities import quantity
from shared.verify.words import MORE

KIND = "GSPS"
_POINT_SEEN = 0.02  # radius of the circle around a point, of the image's smaller side
_LINE = 0.035  # height of a line of text, of the displayed area's
_EDGE = 0.01
_MOST_LETTERS, _MOST_FREE = 1024, 256  # ST; and of words that somebody wrote
Points = tuple[tuple[float, float], ...]


def build(facts: RunFacts) -> list[Dataset]:
    """One presentation state for each group of images that may share one: of one series and size, with the same
    modality LUT and polarity. None where nothing is outlined or marked.

    Raises:
        CannotBuild: no source could be read, the images are in colour, or a region lies beyond its image.
    """
    first_source(facts)
    drawn = images_with_regions(facts.findings)
    groups: dict[tuple[str, str], list[SourceImage]] = {}
    for image in (image for image in drawn if image in facts.displays):
        groups.setdefault((image.series_instance_uid, facts.displays[image].shared), []).append(image)
    if drawn and not groups:
        raise CannotBuild("a presentation state is of grey images, and these are in colour or can't be read")
    return [_document(facts, images, number) for number, images in enumerate(groups.values(), start=1)]


def _document(facts: RunFacts, images: Sequence[SourceImage], number: int) -> Dataset:
    ds, display, source = Dataset(), facts.displays[images[0]], first_source(facts)
    fill_identity(ds, facts, KIND, number, series_description(facts, "presentation"))
    fill_body_part(ds, source)
    ds.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    ds.Modality = "PR"
    ds.PresentationCreationDate, ds.PresentationCreationTime = ds.ContentDate, ds.ContentTime
    del ds.ContentDate, ds.ContentTime
    ds.ContentLabel = "AI_FINDINGS"
    ds.ContentDescription = f"{facts.title}. {use_mark(facts)}".strip(". ")[:64]
    ds.ContentCreatorName = ""
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = images[0].series_instance_uid, _references(images)
    ds.ReferencedSeriesSequence = [series]
    ds.DisplayedAreaSelectionSequence = [display.area]
    ds.update(display.modality)
    ds.SoftcopyVOILUTSequence = _windows(facts, images)
    ds.PresentationLUTShape = "INVERSE" if display.inverse else "IDENTITY"
    layer = GraphicLayer(
        layer_of(facts.run.package), 1, facts.title[:64] or None, lab_of("#{:02x}{:02x}{:02x}".format(*YELLOW))
    )
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    ds.GraphicLayerSequence = [layer]
    ds.GraphicAnnotationSequence = [_annotation(facts, image, layer.GraphicLayer) for image in images]
    return ds


def layer_of(package: str) -> str:
    """The package's name as that of a layer (CS)."""
    return re.sub(r"[^A-Z0-9_ ]", "_", package.upper())[:16].strip()


def _references(images: Sequence[SourceImage]) -> list[Dataset]:
    """Each instance once, with those of its frames that are meant."""
    classes, items = {image.sop_instance_uid: image.sop_class_uid for image in images}, []
    for uid, frames in frames_of(images).items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = classes[uid], uid
        if frames:
            item.ReferencedFrameNumber = frames if len(frames) > 1 else frames[0]
        items.append(item)
    return items


def _windows(facts: RunFacts, images: Sequence[SourceImage]) -> list[Dataset]:
    """One item for each window, which names its images where there are several."""
    by_window: dict[str, list[SourceImage]] = {}
    for image in images:
        by_window.setdefault(facts.displays[image].voi.to_json(), []).append(image)
    items = []
    for alike in by_window.values():
        item = Dataset(facts.displays[alike[0]].voi)
        if len(by_window) > 1:
            item.ReferencedImageSequence = _references(alike)
        items.append(item)
    return items


def _annotation(facts: RunFacts, image: SourceImage, layer: str) -> Dataset:
    """Everything that is drawn on one image: its regions with their numbers, and what is said of it as a whole."""
    item, tracking = Dataset(), Tracking(facts)
    columns, rows = facts.displays[image].area.DisplayedAreaBottomRightHandCorner
    graphics: list[GraphicObject] = []
    texts: list[TextObject] = []
    here = [f for f in facts.findings if any(region.image == image for region in regions_of(f))]
    for finding in here:
        said = of_regions(facts, finding)
        for number, region in enumerate(regions_of(finding), start=1):
            if region.image == image:
                points = _points(finding, region, columns, rows)
                named = of_region(tracking, finding, region, number)
                graphics += _graphics(region, points, min(columns, rows), columns, named)
                texts.append(_beside(points, said[number - 1], named))
    item.ReferencedImageSequence, item.GraphicLayer = _references([image]), layer
    item.GraphicObjectSequence, item.TextObjectSequence = graphics, [*texts, _below(facts, image, here)]
    return item


def _points(finding: Finding, region: Region, columns: int, rows: int) -> Points:
    """In pixels, as the region has them: 0\\0 is the corner of the first pixel here too (PS3.3 C.10.5.1.2)."""
    points = closed(region.points) if region.graphic_type == "POLYLINE" and encloses(finding) else region.points
    if not all(0 <= x <= columns and 0 <= y <= rows for x, y in points):
        raise CannotBuild(f"a region of {finding.name} lies beyond its image")
    return points


def _graphics(
    region: Region, points: Points, side: int, columns: int, named: TrackingIdentifier
) -> list[GraphicObject]:
    """The region's line; a point with a circle around it, since a single pixel is hardly seen."""
    shapes: list[tuple[str, Points]] = [(region.graphic_type, points)]
    if region.graphic_type == "POINT":
        x, y = points[0]
        radius = max(1.0, side * _POINT_SEEN)
        shapes.append(("CIRCLE", ((x, y), (x + radius if x + radius <= columns else x - radius, y))))
    return [GraphicObject(kind, np.asarray(where), "PIXEL", **_identifiers(named)) for kind, where in shapes]


def _beside(points: Points, said: str, named: TrackingIdentifier) -> TextObject:
    """The region's words at its right end."""
    x, y = max(points)
    return TextObject(
        said[:_MOST_LETTERS], "PIXEL", anchor_point=(x, y), anchor_point_visible=True, **_identifiers(named)
    )


def _identifiers(named: TrackingIdentifier) -> dict[str, Any]:
    """The tracking identifier of the region's group in the report."""
    return {"tracking_id": str(named[0].value), "tracking_uid": str(named[1].value)}


def _below(facts: RunFacts, image: SourceImage, findings: Sequence[Finding]) -> TextObject:
    """At the lower edge: what was found, what the gates said, who made it and what it may not be used for."""
    found = [statements(facts, finding)[0].in_words for finding in findings]
    gates = [
        f"{gate.name} {gate.verdict}" + ("" if gate.score is None else f" {quantity(gate.score, gate.unit, 6)}")
        for gate in facts.gates_of(image.series_instance_uid)
    ]
    lines = [f"Gates: {', '.join(gates)}"] if gates else []
    lines += [f"Held by a quality gate, {facts.released}"[:_MOST_FREE]] if facts.released else []
    lines.append(". ".join(filter(None, [f"{facts.run.package} {facts.run.version}", use_mark(facts)])))
    text = _fitting(found, lines)
    box = (_EDGE, max(_EDGE, 1 - _EDGE - _LINE * len(text.splitlines())), 1 - _EDGE, 1 - _EDGE)
    return TextObject(text, "DISPLAY", bounding_box=box, text_justification="LEFT")


def _fitting(found: Sequence[str], last: Sequence[str]) -> str:
    """As many of the findings as a text holds, each whole, for half a number is another number; and what is last."""
    for count in range(len(found), -1, -1):
        more = [MORE] if count < len(found) else []
        text = "\r\n".join([*found[:count], *more, *last])
        if len(text) <= _MOST_LETTERS:
            return text
    return text[-_MOST_LETTERS:]
