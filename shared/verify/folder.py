"""Reads a folder of results, and checks each run's objects against their geometry, their images and each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from shared.hl7.message import read_header
from shared.hl7.text import Hl7Error, decode
from shared.own_results import MANUFACTURER
from shared.verify.derived import PLACE_TAGS

_KNOWN = ["SOPInstanceUID", "NumberOfFrames", "StudyInstanceUID", "PatientID", "Manufacturer"]


@dataclass
class Run:
    """The objects of one folder."""

    folder: Path
    documents: dict[Path, Dataset] = field(default_factory=dict)  # whole, pixels deferred
    messages: dict[Path, str] = field(default_factory=dict)  # HL7

    def of_modality(self, *modalities: str) -> dict[Path, Dataset]:
        return {path: ds for path, ds in self.documents.items() if ds.get("Modality") in modalities}


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
