"""Reads a folder of results, and checks each run's objects against their geometry, their images and each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from shared.hl7.message import read_header
from shared.hl7.text import Hl7Error, decode
from shared.own_results import MANUFACTURER
from shared.verify.derived import PLACE_TAGS
from shared.verify.report_numbers import Report, read_report
from shared.verify.words import words_of_page, words_of_picture

_KNOWN = ["SOPInstanceUID", "NumberOfFrames", "StudyInstanceUID", "PatientID", "Manufacturer"]
_PICTURES = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture, and below it those of several frames


@dataclass
class Run:
    """The objects of one folder."""

    folder: Path
    documents: dict[Path, Dataset] = field(default_factory=dict)  # whole, pixels deferred
    messages: dict[Path, str] = field(default_factory=dict)  # HL7

    def of_modality(self, *modalities: str) -> dict[Path, Dataset]:
        return {path: ds for path, ds in self.documents.items() if ds.get("Modality") in modalities}

    @cached_property
    def reports(self) -> dict[Path, Report]:
        return {path: read_report(path.name, ds) for path, ds in self.of_modality("SR").items()}

    @cached_property
    def pages(self) -> dict[Path, str]:
        """The text of each Encapsulated PDF."""
        return {path: words_of_page(ds) for path, ds in self.of_modality("DOC").items()}

    @cached_property
    def pictures(self) -> dict[Path, str | None]:
        """What each Secondary Capture says, of one frame or several; None where it is not as it was drawn."""
        pictures = {path: ds for path, ds in self.documents.items() if _is_picture(ds)}
        return {path: words_of_picture(ds) for path, ds in pictures.items()}


def _is_picture(ds: Dataset) -> bool:
    """Not a derived image, which may be of such a class too."""
    drawn = ds.get("SecondaryCaptureDeviceManufacturer") == MANUFACTURER and "RealWorldValueMappingSequence" not in ds
    return drawn and str(ds.SOPClassUID).startswith(_PICTURES)


def read_runs(folder: Path) -> Iterator[Run]:
    """Each folder below that holds results of Isocenter's."""
    for place in sorted({path.parent for path in folder.rglob("*") if path.is_file()}):
        run = Run(place)
        for path in sorted(p for p in place.iterdir() if p.is_file() and not p.name.startswith(".")):
            if path.suffix == ".hl7":
                run.messages[path] = _read_message(path)
            elif (ds := _read(path)) is not None and ds.get("Manufacturer") == MANUFACTURER:
                run.documents[path] = ds
        if run.documents or run.messages:
            yield run


def read_images(folders: Iterable[Path]) -> dict[str, Dataset]:
    """Headers of the images below `folders`, by SOP Instance UID; whatever is no DICOM is passed over."""
    images = {}
    for path in (p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()):
        ds = _read(path, [*_KNOWN, *PLACE_TAGS])
        if ds is not None and "SOPInstanceUID" in ds:
            images[str(ds.SOPInstanceUID)] = ds
    return images


def _read_message(path: Path) -> str:
    content = path.read_bytes()
    try:
        return decode(content, read_header(content).character_set)
    except Hl7Error:
        return content.decode("utf-8", "replace")


def _read(path: Path, tags: list[str] | None = None) -> Dataset | None:
    try:
        return dcmread(path, specific_tags=tags, defer_size=1 << 20)
    except (InvalidDicomError, OSError, EOFError):
        return None
