"""The images to look at are the right ones, and say why."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import highdicom as hd
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from services.report import key_objects
from services.report.facts import CannotBuild, ResultObject, RunFacts
from services.report.key_images import MOST_OF_A_SERIES, key_images
from shared.findings import InstanceScore, QualityScore, SourceImage

Write = Callable[..., list[ResultObject]]


def read(made: ResultObject) -> Dataset:
    return hd.ko.KeyObjectSelectionDocument.from_dataset(dcmread(BytesIO(made.content)))


def chosen(document: Dataset) -> list[str]:
    references = (item.get("ReferencedSOPSequence") for item in document.ContentSequence)
    return [str(reference[0].ReferencedSOPInstanceUID) for reference in references if reference]


def said(document: Dataset) -> str:
    texts = {item.ConceptNameCodeSequence[0].CodeValue: item.get("TextValue") for item in document.ContentSequence}
    return str(texts["113012"])


def test_the_worst_images_of_a_series(mr_facts: RunFacts, written: Write) -> None:
    (made,) = written(mr_facts, "KOS")
    document = read(made)
    (finding,) = mr_facts.findings
    worst_first = sorted(finding.instances, key=lambda i: i.score)
    assert document.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert chosen(document) == [i.image.sop_instance_uid for i in worst_first[:MOST_OF_A_SERIES]]
    assert document.ConceptNameCodeSequence[0].CodeMeaning == "Quality Issue"
    assert document.PatientID == mr_facts.sources[0].PatientID
    for words in (f"{finding.value:.3f}", "slices 9 to 12 look blurred", "motion_ssim 1.2.0", "Not for clinical use"):
        assert words in said(document)
    evidence = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(evidence.ReferencedSOPSequence) == MOST_OF_A_SERIES


def test_a_good_series_shows_its_lowest_image_only(mr_facts: RunFacts, written: Write) -> None:
    (finding,) = mr_facts.findings
    good = finding.model_copy(update={"verdict": "pass", "warn_below": 0.1})
    (made,) = written(replace(mr_facts, findings=[good]), "KOS")
    assert chosen(read(made)) == [min(finding.instances, key=lambda i: i.score).image.sop_instance_uid]
    assert read(made).ConceptNameCodeSequence[0].CodeMeaning == "Of Interest"


def test_a_gate_that_flags_shows_what_it_flagged_in_order(mr_facts: RunFacts, written: Write) -> None:
    (finding,) = mr_facts.findings
    limit = sorted(scored.score for scored in finding.instances)[-8]
    flagging = finding.model_copy(update={"verdict": "pass", "flag_above": limit})
    (made,) = written(replace(mr_facts, findings=[flagging]), "KOS")
    assert chosen(read(made)) == [s.image.sop_instance_uid for s in finding.instances if s.score >= limit]
    assert len(chosen(read(made))) == 8
    assert read(made).ConceptNameCodeSequence[0].CodeMeaning == "Of Interest"


def test_the_image_with_the_finding(dx_facts: RunFacts, written: Write) -> None:
    (made,) = written(dx_facts, "KOS")
    assert chosen(read(made)) == [dx_facts.sources[0].SOPInstanceUID]
    assert "present" in said(read(made))


def test_what_is_absent_is_in_no_image(dx_facts: RunFacts, written: Write) -> None:
    absent = dx_facts.findings[0].model_copy(update={"present": False})
    assert written(replace(dx_facts, findings=[absent]), "KOS") == []


def test_frames_are_named(mr_facts: RunFacts, written: Write) -> None:
    (finding,) = mr_facts.findings
    image = finding.instances[0].image
    frames = [image.model_copy(update={"frame": n}) for n in (3, 7)]
    scored = tuple(InstanceScore(image=frame, score=0.1 * n) for n, frame in enumerate(frames))
    (made,) = written(replace(mr_facts, findings=[finding.model_copy(update={"instances": scored})]), "KOS")
    (reference,) = [i.ReferencedSOPSequence[0] for i in read(made).ContentSequence if "ReferencedSOPSequence" in i]
    assert list(reference.ReferencedFrameNumber) == [3, 7]


def test_only_images_that_are_there_are_referenced(mr_facts: RunFacts) -> None:
    (finding,) = mr_facts.findings
    gone = SourceImage(series_instance_uid="1.2", sop_instance_uid="1.2.3", sop_class_uid="1.2.4")
    lost = finding.model_copy(update={"instances": (InstanceScore(image=gone, score=0.1),)})
    assert isinstance(lost, QualityScore)
    assert key_images(lost) == [gone]
    assert key_objects.build(replace(mr_facts, findings=[lost])) == []


def test_without_a_source_it_says_why_not(dx_facts: RunFacts) -> None:
    with pytest.raises(CannotBuild, match="none of the source images"):
        key_objects.build(replace(dx_facts, sources=[]))
