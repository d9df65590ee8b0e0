"""What rules look at of one series, and why a selector does not take it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.dicom.planning import is_planning
from shared.own_results import is_own_result
from shared.packages.selector_tables import SelectorTable

SECONDARY_CAPTURES = frozenset({
    "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.1", "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3", "1.2.840.10008.5.1.4.1.1.7.4",
})  # fmt: skip
"""Read only by packages whose selector names the class: screenshots often keep the modality of what they show."""


@dataclass(frozen=True)
class ImageFacts:
    """What rules look at of one image; `header` as collect wrote it down (shared.dicom.header)."""

    sop_instance_uid: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return int(self.header.get("number_of_frames") or 1)


@dataclass(frozen=True)
class SeriesFacts:
    """What rules look at of one series."""

    series_instance_uid: str
    modality: str
    body_part_examined: str
    descriptions: tuple[str, ...]  # StudyDescription, SeriesDescription, ProtocolName
    sop_class_uids: frozenset[str]
    instances: int
    has_pixel_data: bool = True
    is_own_result: bool = False
    is_planning: bool = False
    images: tuple[ImageFacts, ...] = (ImageFacts(),)
    series_number: int = -1  # none is below any


def misfit(selector: SelectorTable, series: SeriesFacts, requested_procedure: str) -> str:
    """Why the series is not what the selector takes; empty when it is."""
    if series.is_own_result:
        return "made by Isocenter"
    if not series.has_pixel_data:
        return "no pixels"
    if selector.modality and series.modality not in selector.modality:
        return f"reads {' '.join(selector.modality)}, not {series.modality or 'an unnamed modality'}"
    if selector.sop_class and not series.sop_class_uids & set(selector.sop_class):
        return "reads other SOP classes"
    if not selector.sop_class and series.sop_class_uids & SECONDARY_CAPTURES:
        return "secondary captures show images, they are none"
    if series.is_planning:
        return "planning images"
    if unlike := _misfit_of_images(selector, series) or _misfit_by_name(selector, series):
        return unlike
    if series.instances < selector.minimum_instances:
        return f"needs {selector.minimum_instances} instances, the series has {series.instances}"
    if selector.body_part and not _shows_body_part(selector.body_part, series, requested_procedure):
        return f"reads {' '.join(selector.body_part)}, not {series.body_part_examined or 'an unnamed body part'}"
    return ""


def _misfit_of_images(selector: SelectorTable, series: SeriesFacts) -> str:
    """Why none of the series' images is read."""
    if any(selector.takes_image(image.header) for image in series.images):
        return ""
    kinds = (("views", selector.view_position, "view_position"), ("sides", selector.laterality, "image_laterality"))
    said = [
        f"{word} {' '.join(wanted)}, not {' '.join(dict.fromkeys(str(i.header.get(key, '')) for i in series.images))}"
        for word, wanted, key in kinds
        if wanted
    ]
    return f"reads {' and '.join(said)}".rstrip()


def _misfit_by_name(selector: SelectorTable, series: SeriesFacts) -> str:
    """Why the series' own words don't fit; they may hold anything, and are not repeated."""
    own = " ".join(series.descriptions[1:]).lower()
    if selector.description and not any(words.lower() in own for words in selector.description):
        return f"its description has no {' or '.join(selector.description)}"
    other = next((words for words in selector.not_description if words.lower() in own), "")
    return f"its description has {other}" if other else ""


def _shows_body_part(wanted: Sequence[str], series: SeriesFacts, requested_procedure: str) -> bool:
    if series.body_part_examined.upper() in wanted:
        return True
    words = {w for text in (*series.descriptions, requested_procedure) for w in re.findall(r"[A-Z]+", text.upper())}
    return any(part in words for part in wanted)


def series_facts(
    series_instance_uid: str, headers: Sequence[dict[str, Any]], sop_classes: Sequence[str],
    sop_instance_uids: Sequence[str] = (),
) -> SeriesFacts:  # fmt: skip
    """The facts of a series, of its instances' headers (shape: shared.dicom.header), and of their UIDs where who asks
    will choose among single images."""
    first, number = headers[0], headers[0].get("series_number")
    uids = sop_instance_uids or [""] * len(headers)
    images = [ImageFacts(uid, header) for uid, header in zip(uids, headers, strict=True)]
    return SeriesFacts(
        series_instance_uid=series_instance_uid,
        modality=str(first.get("modality", "")),
        body_part_examined=str(first.get("body_part_examined", "")),
        descriptions=tuple(
            str(first.get(key, "")) for key in ("study_description", "series_description", "protocol_name")
        ),
        sop_class_uids=frozenset(sop_classes),
        instances=sum(image.frames for image in images),
        has_pixel_data=any(h.get("has_pixel_data", True) for h in headers),
        is_own_result=all(is_own_result(h) for h in headers),
        images=tuple(images),
        series_number=number if isinstance(number, int) else -1,
        is_planning=is_planning(
            [str(h.get("image_type", "")).split("\\") for h in headers], str(first.get("series_description", ""))
        ),
    )
