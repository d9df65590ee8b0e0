"""What a result object is made from: the run, its findings, and what is known of study, order, gates and sources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from services.report.source_display import Display
from shared.findings import ArrayFile, Finding, QualityScore, SourceImage
from shared.imaging.planes import Plane
from shared.result_profiles import DICOM_KINDS, Flavour
from shared.store import GateResult, Order, Run, Study

Pixels = NDArray[np.uint8]
Outcome = Literal["read", "held", "failed"]


@dataclass(frozen=True)
class Picture:
    """One source image or frame as the radiologist sees it.

    `pixels` is (rows, columns) grey or (rows, columns, 3) RGB; `spacing` is (row, column) in mm, or relative where
    only the aspect is known; `edges` are the letters of PS3.3 C.7.6.1.1.1 at left, top, right and bottom;
    `spacing_name` is the attribute that gives lengths in mm, empty where none does.
    """

    pixels: Pixels
    spacing: tuple[float, float] | None = None
    edges: tuple[str, str, str, str] = ("", "", "", "")
    spacing_name: str = ""


@dataclass(frozen=True)
class Predecessor:
    """An instance that an object of this run replaces."""

    kind: str
    run_id: str
    sop_instance_uid: str


def nothing_to_read(file: ArrayFile) -> NDArray[Any]:
    """For runs whose findings name no arrays."""
    raise CannotBuild(f"the array {file.path} can't be read")


@dataclass(frozen=True)
class RunFacts:
    """Everything that is known of a run when its result objects are made."""

    study: Study
    run: Run
    outcome: Outcome
    at: datetime  # when it was first read, held or given up: in every object, so that a replay gives the same bytes
    findings: list[Finding]
    title: str  # the package's, in words
    order: Order | None = None
    gate_results: list[GateResult] = field(default_factory=list)
    sources: list[Dataset] = field(default_factory=list)  # `clean_header` of each instance of the run's series
    pictures: Mapping[SourceImage, Picture] = field(default_factory=dict)
    planes: Mapping[SourceImage, Plane] = field(default_factory=dict)  # of images with regions, where they have one
    displays: Mapping[SourceImage, Display] = field(default_factory=dict)  # of grey images with regions
    series_number: int = 9000  # the results of this run are numbered from the next one
    institution_name: str = ""
    predecessors: list[Predecessor] = field(default_factory=list)
    corrects: frozenset[str] = frozenset()  # destinations that have a final message of a run that this one supersedes
    released: str = ""  # who let the run through against its gates, and why
    kinds: frozenset[str] = frozenset([*DICOM_KINDS, "ORU"])  # what the package lets out
    flavour: Flavour = Flavour()  # how the object at hand is written
    read: Callable[[ArrayFile], NDArray[Any]] = nothing_to_read  # the array of a file that a finding names
    segmentations: tuple[Dataset, ...] = ()  # that go along with the report at hand
    maps: tuple[Dataset, ...] = ()  # parametric maps that go along with it
    flavour_number: int = 0  # its place among the flavours that destinations want of the kind; their series are apart

    def reason_of(self, finding: QualityScore) -> str:
        """The gate's own words on the finding's series, and on no other."""
        own = (r for r in self.gate_results if r.name == self.run.package)
        return next((r.reason for r in own if r.series_instance_uid == finding.series_instance_uid), "")

    @property
    def gates_beside(self) -> list[GateResult]:
        """The gate results that no finding says; a gate package's own is among them where it could not judge."""
        scored = {f.series_instance_uid for f in self.findings if isinstance(f, QualityScore)}
        return [r for r in self.gate_results if r.name != self.run.package or r.series_instance_uid not in scored]

    def gates_of(self, series_instance_uid: str) -> list[GateResult]:
        """Of these the ones about the whole study or this series."""
        return [r for r in self.gates_beside if r.series_instance_uid in ("", series_instance_uid)]


@dataclass(frozen=True)
class ResultObject:
    """One object to be written and sent: bytes of a DICOM file or of an HL7 message."""

    kind: str  # one of shared.result_profiles.ResultKind
    identifier: str  # SOP Instance UID, or MSH-10
    file_name: str
    content: bytes
    destinations: tuple[str, ...] = ()
    remark: str = ""  # in what it is not as its destinations asked, and why


class CannotBuild(ValueError):
    """An object can't be made from these sources; the text is what a person reads."""
