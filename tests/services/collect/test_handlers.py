"""What a received instance means."""

from datetime import UTC, datetime, timedelta

import pytest
from pydicom.uid import MRImageStorage

from services.collect.handlers import (
    Refusal,
    complete_study,
    difference,
    is_complete,
    is_safe_uid,
    judge,
    makes_new_revision,
    place,
    place_beside,
)
from shared.store import Study
from shared.study import StudyState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("uid", ["1", "1.2.840.113619", "1.02.003", "9" * 64])
def test_what_can_name_a_file(uid: str) -> None:
    assert is_safe_uid(uid)


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "1..2", "1.2.", ".1", "1.2/3", "1\\2", "1.2\n", "1.2 ", "1.2a", "9" * 65, "١.٢", "1.2\x00"]
)
def test_what_cant_name_a_file(uid: str) -> None:
    assert not is_safe_uid(uid)


def test_a_place_is_made_of_the_three_uids(tools) -> None:
    header = tools.instance("1.2", "1.4", series="1.3").header
    assert place(header) == "1.2/1.3/1.4.dcm"
    assert place_beside(place(header), "blake3:deadbeef99") == "1.2/1.3/1.4~deadbeef.dcm"


@pytest.mark.parametrize(
    ("study", "sop", "affected", "status"),
    [
        ("", "1.4", "1.4", 0xC000), ("1.2;rm", "1.4", "1.4", 0xC000), ("1.2", "", "1.4", 0xC000),
        ("1.2", "1.4", "1.5", 0xA900), ("1.2", "1.4", "", 0xA900),
    ],
)  # fmt: skip
def test_refusals_have_the_standards_statuses(tools, study, sop, affected, status) -> None:
    with pytest.raises(Refusal) as refusal:
        judge(tools.instance(study, sop).header, MRImageStorage, affected)
    assert refusal.value.status == status
    assert 0 < len(refusal.value.comment) <= 64  # PS3.7 C.4: LO


def test_another_sop_class_than_announced_is_a_mismatch(tools) -> None:
    with pytest.raises(Refusal) as refusal:
        judge(tools.instance("1.2", "1.4").header, "1.2.840.10008.5.1.4.1.1.2", "1.4")
    assert refusal.value.status == 0xA900


def test_new_known_and_other_bytes_are_told_apart(tools) -> None:
    batch = [
        tools.instance("1.2", "1.4", digest="a" * 64), tools.instance("1.2", "1.4", digest="b" * 64),
        tools.instance("1.2", "1.5", digest="c" * 64), tools.instance("1.2", "1.5", digest="c" * 64),
        tools.instance("1.2", "1.5", digest="d" * 64),
    ]  # fmt: skip
    found = difference(batch, {"1.4": "blake3:" + "a" * 64})
    assert found.new == [batch[2]]
    assert found.conflicts == [batch[1], batch[4]]


@pytest.mark.parametrize(
    ("since_image", "since_active", "quiet", "complete"),
    [
        (60, 10, 60, True),
        (59, 59, 60, False),
        (300, 1, 60, False),
        (300, 4, 60, True),
        (0.3, 0.3, 0.2, True),
        (0, 0, 0, True),
    ],
)
def test_a_study_is_complete_when_quiet_and_not_carried(since_image, since_active, quiet, complete) -> None:
    study = Study(
        study_instance_uid="1.2", last_instance_at=NOW - timedelta(seconds=since_image),
        active_at=NOW - timedelta(seconds=since_active),
    )  # fmt: skip
    assert is_complete(study, timedelta(seconds=quiet), timedelta(seconds=3), NOW) is complete


def test_the_study_keeps_what_its_first_images_said(tools) -> None:
    study = Study(study_instance_uid="1.2", last_instance_at=NOW, active_at=NOW)
    first = tools.instance("1.2", "1.4", at=NOW, accession_number="", patient_id="P1")
    second = tools.instance("1.2", "1.5", at=NOW + timedelta(seconds=9), accession_number="A" * 99, patient_id="P2")
    complete_study(study, [first, second])
    assert (study.patient_id, study.accession_number) == ("P1", "A" * 64)
    assert study.last_instance_at == NOW + timedelta(seconds=9)
    assert study.calling_ae_title == "PACS1"


def test_only_images_after_the_choice_make_a_new_revision() -> None:
    assert {s for s in StudyState if not makes_new_revision(s)} == {StudyState.COLLECTING, StudyState.WAITING}
