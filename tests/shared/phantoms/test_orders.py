"""The order that comes before a generated study is HL7 v2.5.1 and agrees with the study."""

from datetime import datetime

import numpy as np
import pytest
from hl7apy.parser import parse_message
from pydicom import Dataset

from shared.phantoms.dicom import BRAIN_PATIENT, CHEST_PATIENT, Visit, dx_image, mr_series
from shared.phantoms.orders import order_message


def _studies() -> list[Dataset]:
    scan = mr_series(np.ones((1, 8, 8), np.float32), Visit(BRAIN_PATIENT, "ISO0001"))[0]
    return [scan, dx_image(np.zeros((8, 8), np.uint16), Visit(CHEST_PATIENT, "ISO0002"), spacing_mm=0.4)]


@pytest.mark.parametrize("ds", _studies(), ids=["MR", "DX"])
def test_order_and_study_agree(ds: Dataset) -> None:
    message = parse_message(order_message(ds, priority="S"), find_groups=False)
    assert message.msh.msh_9.to_er7() == "ORM^O01^ORM_O01"
    assert message.msh.msh_12.to_er7() == "2.5.1"
    assert message.pid.pid_3.pid_3_1.to_er7() == ds.PatientID
    assert message.pid.pid_5.to_er7() == str(ds.PatientName)
    assert message.pid.pid_7.to_er7() == ds.PatientBirthDate
    assert message.pid.pid_8.to_er7() == ds.PatientSex
    for field in (message.orc.orc_3, message.obr.obr_3, message.obr.obr_18):
        assert field.to_er7() == ds.AccessionNumber
    assert message.orc.orc_1.to_er7() == "NW"
    assert message.orc.orc_7.orc_7_6.to_er7() == message.obr.obr_27.obr_27_6.to_er7() == "S"
    assert ds.StudyDescription in message.obr.obr_4.to_er7()


def test_segments_stand_in_the_order_of_the_standard_each_ended_by_a_carriage_return() -> None:
    text = order_message(_studies()[0])
    assert text.endswith("\r")
    assert "\n" not in text
    assert [line[:3] for line in text.split("\r")[:-1]] == ["MSH", "PID", "PV1", "ORC", "OBR"]
    groups = parse_message(text, find_groups=True)
    assert [child.name for child in groups.children] == ["MSH", "ORM_O01_PATIENT", "ORM_O01_ORDER"]


def test_control_id_repeats_with_the_order_and_changes_with_it() -> None:
    ds = _studies()[0]

    def control_id(**changes: object) -> str:
        return order_message(ds, **changes).split("|")[9]  # type: ignore[arg-type]

    assert control_id() == control_id()
    assert len({control_id(), control_id(priority="S"), control_id(ordered=datetime(2027, 1, 1))}) == 3
    assert len(control_id()) == 20


def test_delimiters_in_a_header_cannot_break_the_message() -> None:
    ds = _studies()[0]
    ds.StudyDescription, ds.PatientID, ds.PatientName = "Head & neck | ~both\\ ^", "7|8", "Mueller|X^Anna&Eva"
    text = order_message(ds)
    message = parse_message(text, find_groups=False)
    assert [line[:3] for line in text.split("\r")[:-1]] == ["MSH", "PID", "PV1", "ORC", "OBR"]
    assert message.obr.obr_18.to_er7() == ds.AccessionNumber
    assert message.pid.pid_3.pid_3_1.to_er7() == "7\\F\\8"
    assert message.pid.pid_5.to_er7() == "Mueller\\F\\X^Anna\\T\\Eva"
    assert message.obr.obr_4.to_er7() == "MR^Head \\T\\ neck \\F\\ \\R\\both\\E\\ \\S\\^99ISO"


def test_a_bare_header_still_makes_an_order_once_a_time_is_given() -> None:
    ds = Dataset()
    ds.StudyInstanceUID = "1.2.3"
    text = order_message(ds, ordered=datetime(2026, 1, 2, 3, 4, 5))
    assert parse_message(text, find_groups=False).obr.obr_4.to_er7() == "OT^OT^99ISO"
    with pytest.raises(ValueError, match="does not match format"):
        order_message(ds)
