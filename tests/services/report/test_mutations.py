"""Whatever is changed in one object of a run, in any flavour, is found; what was not changed is not."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from services.report.facts import RunFacts
from services.report.handlers import report
from services.report.result_files import write_results
from shared.findings import Classification, Finding, Measurement, Segmentation
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination
from shared.verify.checks import check_report, check_run
from shared.verify.folder import Run, read_runs
from shared.verify.outcome import Outcome
from shared.verify.references import check_identity, check_references
from shared.verify.report_numbers import code_of, groups_of, items_of
from shared.verify.siblings import check_siblings
from shared.verify.words import words_of_picture
from tests.services.report.sources_in_character_sets import SOURCES, write_source
from tests.services.report.test_every_kind import facts_of

PACS = {"kind": "dicom", "host": "h", "port": 104, "ae_title": "A"}
DESTINATIONS = [
    Destination(name="all", objects=list(DICOM_KINDS), **PACS),
    Destination(name="air", profile="air", **PACS),
    Destination(name="ohif", profile="ohif", **PACS),
    Destination(name="scrolled", objects=["SC"], sc_flavour="multi-frame", **PACS),
    Destination(name="old", profile="reporting", character_set="source", **PACS),
    Destination(name="maps", objects=["SR", "SC", "SEG"], seg_flavour="label-map", character_set="source", **PACS),
    Destination(name="ris", kind="mllp", host="h", port=2575),
]
Change = Callable[[Dataset], None]


@pytest.fixture(scope="module")
def facts(build_facts: Callable[..., RunFacts], tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    """Every kind of finding over a series whose texts are in Cyrillic."""
    whole = facts_of(build_facts, write_source(SOURCES["cyrillic"], tmp_path_factory.mktemp("images")))[0]
    few = {type(f) if not isinstance(f, Measurement | Segmentation) else f.name: f for f in whole.findings}
    return replace(whole, findings=list(few.values()))


@pytest.fixture(scope="module")
def run(facts: RunFacts, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_of(facts, tmp_path_factory.mktemp("results"))


def made_of(facts: RunFacts, folder: Path) -> Run:
    done = report(facts, DESTINATIONS)
    assert done.missing == []
    write_results(folder, done.objects)
    (run,) = read_runs(folder)
    return run


def differs(run: Run, path: Path, changed: Dataset | str) -> list[str]:
    """What is found once the object at `path` is another; what is read of the others is kept."""
    documents, messages = dict(run.documents), dict(run.messages)
    if isinstance(changed, str):
        messages[path] = changed
    else:
        documents[path] = changed
    other = Run(run.folder, documents, messages)
    mine = Run(run.folder, {path: changed} if isinstance(changed, Dataset) else {})
    other.reports, other.pages = run.reports | mine.reports, run.pages | mine.pages
    other.pictures = run.pictures | mine.pictures
    if mine.reports:  # the others can tell nothing new of it
        outcome = Outcome()
        check_report(other.reports[path], other, outcome)
        check_siblings(list(other.reports.values()), outcome)
        check_references(other, None, outcome)
        return outcome.differs
    return check_run(other, None).differs


def objects(run: Run, *kinds: str) -> Iterator[tuple[Path, Dataset]]:
    """Of each flavour, all; each a copy."""
    for path, ds in run.documents.items():
        if path.name.split("_")[0] in kinds:
            yield path, deepcopy(ds)


def test_what_was_not_changed_is_not_found(run: Run) -> None:
    outcome = check_run(run, None)
    assert outcome.differs == []
    assert min(outcome.recomputed, outcome.compared, outcome.referenced) > 20


def another_digit(number: float) -> str:
    """The last of at most three digits behind the point is another."""
    text = f"{number:.3f}".rstrip("0").rstrip(".")
    return text[:-1] + str((int(text[-1]) + 1) % 10 or 1)


def test_a_digit_of_any_number_of_any_report(run: Run) -> None:
    for path, ds in objects(run, "SR"):
        numbers = [i for i in items_of(ds) if i.get("ValueType") == "NUM" and i.MeasuredValueSequence]
        names = {id(item): code_of(item) for item in numbers}
        in_groups = [
            n
            for n in numbers
            if names[id(n)] in {num.code for g in groups_of(ds) for num in g.numbers if not num.of_image}
        ]
        # of each name one, the first: twins are checked in the same way
        for item in {names[id(item)]: item for item in reversed(in_groups)}.values():
            value = item.MeasuredValueSequence[0]
            before = value.NumericValue
            value.NumericValue = another_digit(float(before))
            assert differs(run, path, ds), (path.name, names[id(item)], before, value.NumericValue)
            value.NumericValue = before


def test_a_unit_of_any_number_of_any_report(run: Run) -> None:
    other = {"mm2": "mm", "mm": "mm2", "mm3": "mm2", "deg": "rad", "1": "%", "%": "1", "{pixels}": "mm"}
    for path, ds in objects(run, "SR"):
        names = {num.code for group in groups_of(ds) for num in group.numbers if not num.of_image}
        found = {code_of(i): i for i in items_of(ds) if i.get("ValueType") == "NUM" and code_of(i) in names}
        assert len(found) > 8
        for item in found.values():
            unit = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
            before = unit.CodeValue
            unit.CodeValue = other[before]
            assert differs(run, path, ds), (path.name, code_of(item), before)
            unit.CodeValue = before


def test_a_side_of_any_report(run: Run) -> None:
    for path, ds in objects(run, "SR"):
        sides = [item for item in items_of(ds) if code_of(item)[0] == "272741003"]
        for item in (sides[0], sides[-1]):
            item.ConceptCodeSequence[0].CodeValue = "24028007"
            item.ConceptCodeSequence[0].CodeMeaning = "Right"
            assert differs(run, path, ds), path.name


@pytest.mark.parametrize("whole", [False, True], ids=["corner", "whole"])
def test_a_coordinate_of_any_report(run: Run, whole: bool) -> None:
    for path, ds in objects(run, "SR"):
        placed = [item for item in items_of(ds) if item.get("ValueType") in ("SCOORD", "SCOORD3D")]
        assert placed
        for item in placed:
            before = [float(v) for v in item.GraphicData]
            step = 3 if item.ValueType == "SCOORD3D" else 2
            item.GraphicData = [
                v + (2.0 if n % step == 0 and (whole or n == step) else 0) for n, v in enumerate(before)
            ]
            if item.GraphicData == before:  # a point has no second one
                item.GraphicData = [before[0] + 2.0, *before[1:]]
            assert differs(run, path, ds), (path.name, item.ValueType, item.GraphicType)
            item.GraphicData = before


def test_a_voxel_of_any_segmentation(run: Run) -> None:
    looked_at = set()
    for path, ds in objects(run, "SEG"):
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.decompress()
        pixels, shape = ds.pixel_array.copy(), ds.pixel_array.shape
        place = tuple(np.argwhere(pixels.reshape(-1) > 0)[0])
        flat = pixels.reshape(-1)
        flat[place] = 0
        packed = np.packbits(flat, bitorder="little") if ds.BitsAllocated == 1 else flat.astype(np.uint8)
        ds.PixelData = packed.tobytes() + b"\0" * (packed.size % 2)
        assert ds.pixel_array.shape == shape
        assert differs(run, path, ds), path.name
        looked_at.add((ds.SegmentationType, "".join(path.stem.split("_")[:-1])))
    assert {kind for kind, _ in looked_at} == {"BINARY", "FRACTIONAL", "LABELMAP"}


def test_a_reference_of_any_object(run: Run) -> None:
    kinds = set()
    for path, ds in objects(run, *DICOM_KINDS):
        kind, outcome = path.name.split("_")[0], Outcome()
        pointing = [item for item in _items(ds) if "ReferencedSOPInstanceUID" in item]
        if kind == "SR":  # evidence that is not pointed to says nothing of itself
            pointing = [item for content in items_of(ds) for item in content.get("ReferencedSOPSequence") or []]
        assert pointing, path.name
        pointing[0].ReferencedSOPInstanceUID = "1.2.3"
        check_references(Run(run.folder, run.documents | {path: ds}), None, outcome)
        assert outcome.differs, path.name
        kinds.add(kind)
    assert kinds == set(DICOM_KINDS) - {"NASR"}


def _items(ds: Dataset) -> Iterator[Dataset]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"])
def test_a_patient_or_study_of_any_object(run: Run, keyword: str) -> None:
    for path, ds in objects(run, *DICOM_KINDS):
        outcome = Outcome()
        setattr(ds, keyword, "1.2.3")
        check_identity(Run(run.folder, run.documents | {path: ds}, run.messages), outcome)
        assert outcome.differs, path.name


def altered(findings: list[Finding]) -> Iterator[list[Finding]]:
    """With one number of one finding another, as a page would print that was made of something else."""
    for n, finding in enumerate(findings):
        if isinstance(finding, Classification):
            other: Finding = finding.model_copy(update={"probability": 0.71})
        elif isinstance(finding, Measurement) and finding.geometry == "area":
            other = finding.model_copy(update={"value": finding.value + 0.01})
        elif isinstance(finding, Segmentation) and finding.segments[0].volume_mm3 and not finding.fractional:
            larger = finding.segments[0].model_copy(update={"volume_mm3": finding.segments[0].volume_mm3 + 0.01})
            other = finding.model_copy(update={"segments": (larger, *finding.segments[1:])})
        else:
            continue
        yield [*findings[:n], other, *findings[n + 1 :]]


@pytest.mark.parametrize("kind", ["SC", "PDF"])
def test_a_digit_of_any_picture_or_page(run: Run, facts: RunFacts, kind: str) -> None:
    count = 0
    for findings in altered(facts.findings):
        other = replace(facts, findings=findings, kinds=frozenset([kind]))
        for made in report(other, DESTINATIONS).objects:
            path, ds = run.folder / made.file_name, dcmread(BytesIO(made.content))
            if _text(ds) != _text(run.documents[path]):
                assert differs(run, path, ds), path.name
                count += 1
    assert count >= 6  # three numbers, each in two flavours


def _text(ds: Dataset) -> object:
    return ds.get("ImageComments") or ds.get("EncapsulatedDocument")


def test_a_pixel_or_the_words_of_any_picture(run: Run) -> None:
    for path, ds in objects(run, "SC"):
        if ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian:
            ds.PixelData = ds.PixelData[:-1] + bytes([ds.PixelData[-1] ^ 1])
        else:
            del ds.ImageComments
        assert words_of_picture(ds) is None, path.name


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"(\|NM\|[^|]*\|[^|]*\|[\d.]*)(\d)\|", r"\g<1>7\g<2>|"),  # a number
        (r"(\|NM\|[^|]*\|[^|]*\|[\d.]+\|)mm3\^mm3", r"\1mm2^mm2"),  # its unit
        (r"(\|CWE\|.*\|)0\.7\|", r"\g<1>0.8|"),  # a probability
        (r"52101004\^Present", "272519000^Absent"),
        (r"(NTE\|.*)0\.700", r"\g<1>0.701"),
        (r"7771000\^Left", "24028007^Right"),
        (r"(113014\^DICOM Study\^DCM\|\|)[\d.]+", r"\g<1>1.2.3"),
        (r"(PID\|1\|\|)[^|^]+", r"\g<1>SOMEONE-ELSE"),
        (r"4147007\^Mass", "441457006^Cyst"),
    ],
)
def test_a_part_of_the_message(run: Run, pattern: str, instead: str) -> None:
    ((path, message),) = run.messages.items()
    changed = re.sub(pattern, instead, message, count=1)
    assert changed != message
    assert differs(run, path, changed)
