"""Which objects come out, for whom, and what happens where one can't be built."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage

from services.report import result_kinds
from services.report.facts import Predecessor, RunFacts
from services.report.handlers import images_to_draw, report
from services.report.identity import control_id
from shared.settings import Destination
from shared.study import Failure
from shared.verify.report_numbers import items_of

PACS = Destination(name="pacs", kind="dicom", host="h", port=104, ae_title="PACS")
ARCHIVE = Destination(name="archive", kind="dicom", host="h", port=104, ae_title="ARCHIVE", objects=["SC"])
RIS = Destination(name="ris", kind="mllp", host="h", port=2575, receiving_application="RIS", receiving_facility="A")
EHR = Destination(name="ehr", kind="mllp", host="h", port=2576, receiving_application="EHR", receiving_facility="B")


def test_each_destination_gets_what_it_wants(dx_facts: RunFacts) -> None:
    made = report(dx_facts, [PACS, ARCHIVE, RIS, EHR])
    assert made.missing == []
    wanted = [(r.kind, r.destinations) for r in made.objects]
    assert wanted == [("SR", ("pacs",)), ("SC", ("pacs", "archive")), ("ORU", ("ris",)), ("ORU", ("ehr",))]
    assert len({r.file_name for r in made.objects}) == len({r.identifier for r in made.objects}) == 4


def test_each_ris_is_addressed_by_its_own_name(dx_facts: RunFacts) -> None:
    first, second = (r.content.split(b"\r")[0] for r in report(dx_facts, [RIS, EHR]).objects if r.kind == "ORU")
    assert b"|RIS|A|" in first
    assert b"|EHR|B|" in second
    assert control_id("run-1", "ris", "read").encode() in first


def test_only_who_has_the_earlier_result_is_sent_a_correction(dx_facts: RunFacts) -> None:
    dx_facts.run.supersedes = "run-0"
    first, second = report(replace(dx_facts, corrects=frozenset({"ehr"})), [RIS, EHR]).objects[-2:]
    assert [b"|||||C" in message.content for message in (first, second)] == [False, True]


def test_a_held_run_sends_its_reason_only(mr_facts: RunFacts) -> None:
    held = replace(mr_facts, outcome="held", findings=[], pictures={})
    held.run.reason = "the patient moved"
    made = report(held, [PACS, RIS])
    assert [r.kind for r in made.objects] == ["ORU"]
    assert b"the patient moved" in made.objects[0].content
    assert made.missing == []


def test_a_held_run_says_not_analysed_where_that_is_wanted(mr_facts: RunFacts) -> None:
    wants = Destination(name="air", kind="dicom", host="h", port=104, ae_title="A", profile="air")
    held = replace(mr_facts, outcome="held", findings=[], pictures={})
    held.run.state, held.run.verdict, held.run.reason = "holding", "hold", "motion_ssim: the patient moved"
    made = report(held, [PACS, wants, RIS])
    assert [(r.kind, r.destinations) for r in made.objects] == [("NASR", ("air",)), ("ORU", ("ris",))]
    document = dcmread(BytesIO(made.objects[0].content))
    items = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in items_of(document)}
    assert items["Analysis Performed"].ConceptCodeSequence[0].CodeValue == "111225"  # Not Attempted
    assert items["Reason why not analysed"].ConceptCodeSequence[0].CodeValue == "gate-held"
    assert {i.TextValue for i in items_of(document) if i.ValueType == "TEXT"} >= {"motion_ssim: the patient moved"}
    assert "not for clinical use" in document.SeriesDescription
    listed = [i for i in items_of(document) if i.ValueType == "IMAGE"]
    assert len(listed) == len(mr_facts.sources)


def test_a_run_whose_package_is_not_sure_says_that_and_no_gate(dx_facts: RunFacts) -> None:
    wants = Destination(name="air", kind="dicom", host="h", port=104, ae_title="A", profile="air")
    unsure = replace(dx_facts, outcome="held", findings=[], pictures={})
    unsure.run.state, unsure.run.verdict, unsure.run.reason = "holding", "pass", "cobb_angle is not sure enough"
    document, message = report(unsure, [wants, RIS]).objects
    items = {i.ConceptNameCodeSequence[0].CodeMeaning: i for i in items_of(dcmread(BytesIO(document.content)))}
    assert items["Analysis Performed"].ConceptCodeSequence[0].CodeValue == "111224"  # Failed
    assert items["Reason why not analysed"].ConceptCodeSequence[0].CodeValue == "not-sure"
    assert b"not-sure^Package not sure enough^99ISO" in message.content
    assert b"quality gate" not in message.content


def test_a_run_that_failed_says_so_by_a_code_and_never_in_the_errors_words(mr_facts: RunFacts) -> None:
    wants = Destination(name="air", kind="dicom", host="h", port=104, ae_title="A", profile="air")
    failed = replace(mr_facts, outcome="failed", findings=[], pictures={})
    failed.run.reason = "KeyError: Doe^Jane"
    said: dict[str, str] = {}
    for failure in Failure:
        failed.run.failure = failure
        (made,) = report(failed, [PACS, wants, RIS]).objects
        assert (made.kind, made.destinations) == ("NASR", ("air",))
        assert b"Doe" not in made.content
        items = {i.ConceptNameCodeSequence[0].CodeMeaning: i for i in items_of(dcmread(BytesIO(made.content)))}
        assert items["Analysis Performed"].ConceptCodeSequence[0].CodeValue == "111224"  # Failed
        said[made.identifier] = items["Reason why not analysed"].ConceptCodeSequence[0].CodeValue
    assert list(said.values()) == list(Failure)
    held = replace(mr_facts, outcome="held", findings=[], pictures={})
    assert report(held, [wants]).objects[0].identifier not in said


def test_the_report_after_all_takes_the_place_of_what_said_not_analysed(mr_facts: RunFacts) -> None:
    wants = Destination(name="air", kind="dicom", host="h", port=104, ae_title="A", profile="air")
    (said,) = report(replace(mr_facts, outcome="held", findings=[], pictures={}), [wants]).objects
    released = replace(mr_facts, predecessors=[Predecessor("NASR", mr_facts.run.id, said.identifier)])
    now = next(r for r in report(released, [wants]).objects if r.kind == "SR")
    assert now.identifier != said.identifier
    series = dcmread(BytesIO(now.content)).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == said.identifier
    assert series.SeriesInstanceUID == dcmread(BytesIO(said.content)).SeriesInstanceUID


def test_a_package_says_what_it_lets_out(dx_facts: RunFacts) -> None:
    made = report(replace(dx_facts, kinds=frozenset({"SC"})), [PACS, RIS])
    assert [r.kind for r in made.objects] == ["SC"]


def test_one_object_that_fails_stops_no_other(dx_facts: RunFacts) -> None:
    made = report(replace(dx_facts, pictures={}), [PACS, RIS])
    assert [r.kind for r in made.objects] == ["SR", "ORU"]
    assert made.missing == ["no SC: none of the images that the findings are about can be drawn"]


def test_whatever_a_builder_raises_is_said(dx_facts: RunFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(facts: RunFacts) -> list[object]:
        raise RuntimeError("odd source")

    monkeypatch.setitem(result_kinds.BUILDERS, "SR", broken)
    made = report(dx_facts, [PACS])
    assert [r.kind for r in made.objects] == ["SC"]
    assert made.missing == ["no SR: odd source"]


def test_a_run_without_findings_is_not_silent(dx_facts: RunFacts) -> None:
    assert report(replace(dx_facts, findings=[]), [PACS]).missing == ["the package gave no finding to report"]


def test_control_ids_are_short_and_differ() -> None:
    ids = {control_id(run, to, outcome) for run in "ab" for to in ("ris", "ehr") for outcome in ("read", "held")}
    assert len(ids) == 8
    assert {len(i) for i in ids} == {20}


def test_only_the_shown_slices_are_asked_for(mr_facts: RunFacts) -> None:
    assert len(images_to_draw(mr_facts.findings)) == 3


def test_each_destination_gets_its_own_flavour_and_a_replay_the_same(dx_facts: RunFacts) -> None:
    plain = Destination(
        name="plain", kind="dicom", host="h", port=104, ae_title="P", objects=["SR"], character_set="source"
    )
    old = Destination(name="old", kind="dicom", host="h", port=104, ae_title="O", sr_flavour="enhanced")
    made = report(dx_facts, [PACS, old, plain]).objects
    assert [(r.file_name, r.destinations) for r in made] == [
        ("SR_1.dcm", ("pacs",)),
        ("SR_enhanced_1.dcm", ("old",)),
        ("SR_source_1.dcm", ("plain",)),
        ("SC_1.dcm", ("pacs", "old")),
    ]
    files = [dcmread(BytesIO(r.content)) for r in made]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber"):
        assert len({ds[keyword].value for ds in files}) == 4
    assert [ds.SOPClassUID for ds in files[:3]] == [
        Comprehensive3DSRStorage,
        EnhancedSRStorage,
        Comprehensive3DSRStorage,
    ]
    assert report(dx_facts, [PACS, old, plain]).objects == made


def test_a_flavour_alone_has_the_uids_that_it_has_beside_others(dx_facts: RunFacts) -> None:
    old = Destination(name="old", kind="dicom", host="h", port=104, ae_title="O", sr_flavour="enhanced")
    alone = {r.identifier for r in report(dx_facts, [old]).objects}
    assert alone < {r.identifier for r in report(dx_facts, [PACS, old]).objects}


def test_an_outdated_report_is_named_in_its_own_flavour(dx_facts: RunFacts) -> None:
    old = Destination(name="old", kind="dicom", host="h", port=104, ae_title="O", sr_flavour="enhanced")
    before = report(replace(dx_facts, run=dx_facts.run.model_copy(update={"id": "run-0"})), [PACS, old]).objects
    there = [Predecessor(r.kind, "run-0", r.identifier) for r in before]
    for then, now in zip(
        before[:2], report(replace(dx_facts, predecessors=there), [PACS, old]).objects[:2], strict=True
    ):
        series = dcmread(BytesIO(now.content)).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        (instance,) = series.ReferencedSOPSequence
        outdated = dcmread(BytesIO(then.content))
        assert instance.ReferencedSOPInstanceUID == outdated.SOPInstanceUID
        assert instance.ReferencedSOPClassUID == outdated.SOPClassUID
        assert series.SeriesInstanceUID == outdated.SeriesInstanceUID
