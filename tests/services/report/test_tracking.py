"""The same finding keeps its tracking UID over a patient's studies; what is only counted keeps to its run."""

from dataclasses import replace

from services.report.facts import RunFacts
from services.report.tracking import Tracking
from shared.store import Run


def in_another_study(facts: RunFacts, **changed: str) -> RunFacts:
    run = Run(**(facts.run.model_dump() | {"id": "run-2", "study_instance_uid": "1.2.3", "version": "2.0.0"}))
    sources = [facts.sources[0].copy()]
    for keyword, value in changed.items():
        setattr(sources[0], keyword, value)
    return replace(facts, run=run, sources=sources)


def uid(facts: RunFacts, title: str = "ssim") -> str:
    return str(Tracking(facts).of(facts.findings[0], title, place=("1",))[1].value)


def test_the_only_one_of_its_name_is_the_same_in_the_next_study(mr_facts: RunFacts) -> None:
    assert uid(mr_facts) == uid(in_another_study(mr_facts))


def test_another_patient_or_body_part_is_another_finding(mr_facts: RunFacts) -> None:
    said = {uid(mr_facts)} | {
        uid(in_another_study(mr_facts, **changed))
        for changed in (
            {"PatientID": "OTHER"}, {"IssuerOfPatientID": "OTHER"}, {"BodyPartExamined": "KNEE"}, {"Laterality": "L"},
        )
    }  # fmt: skip
    assert len(said) == 5


def test_without_a_patients_id_nothing_is_claimed(mr_facts: RunFacts) -> None:
    first, second = (replace(f, sources=f.sources[:1]) for f in (mr_facts, in_another_study(mr_facts)))
    first.sources[0].PatientID = second.sources[0].PatientID = ""
    assert uid(first) != uid(second)


def test_namesakes_are_told_apart_and_keep_to_the_run(mr_facts: RunFacts) -> None:
    several = replace(mr_facts, findings=mr_facts.findings * 2)
    assert uid(several) != uid(in_another_study(several))
    tracking = Tracking(several)
    places = [tracking.of(several.findings[0], "ssim", place=(place,))[1].value for place in ("1", "2")]
    assert len(set(places)) == 2
