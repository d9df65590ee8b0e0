"""One patient, one study, one frame of reference a series; and no value of theirs in the reason."""

from pathlib import Path

from services.gate.header_consistency import judge_header_consistency
from shared.imaging.frames import load_frames
from tests.images import write

ONE = {"patient_id": "P1", "patient_birth_date": "19700101", "patient_sex": "F", "accession_number": "A1"}


def test_what_is_the_same_or_said_nowhere_passes() -> None:
    assert (
        judge_header_consistency([ONE, ONE, {**ONE, "patient_id": "", "accession_number": " "}, {}], {}).verdict
        == "pass"
    )


def test_two_patients_in_one_study_hold_and_are_not_named() -> None:
    said = judge_header_consistency([ONE, {**ONE, "patient_id": "P2-SECRET"}], {})
    assert said.verdict == "hold"
    assert said.reason == "2 different values of Patient ID in one study"


def test_another_sex_or_accession_number_warns() -> None:
    assert judge_header_consistency([ONE, {**ONE, "patient_sex": "M"}], {}).verdict == "warn"
    assert judge_header_consistency([ONE, {**ONE, "accession_number": "A2"}], {}).verdict == "warn"


def test_a_series_with_two_frames_of_reference_holds_and_two_series_with_their_own_pass(tmp_path: Path) -> None:
    a, b = (load_frames([write(tmp_path, n, FrameOfReferenceUID=f"1.2.{n}")]) for n in ("1", "2"))
    assert judge_header_consistency([ONE], {"1.1": a, "1.2": b}).verdict == "pass"
    said = judge_header_consistency([ONE], {"1.1": [*a, *b]})
    assert (said.verdict, said.reason.startswith("1 series with several frames of reference")) == ("hold", True)
