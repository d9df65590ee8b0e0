"""What becomes an order, and what is refused, in words that say what to send."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from services.admit.handlers import Admission, admit, read_timestamp
from services.admit.settings import Settings
from shared.hl7.message import parse_message
from shared.hl7.text import Hl7Error
from shared.store import Order


def orm(**parts: str) -> bytes:
    """An order as a RIS sends it."""
    p = {
        "control_id": "ID1", "control": "NW", "accession": "ACC1", "placer": "P1", "filler": "F1", "version": "2.5.1",
        "patient": "123^^^HOSP^MR", "kind": "ORM^O01^ORM_O01", "processing": "P", "orc": "", "obr": "", "extra": "",
    } | parts  # fmt: skip
    lines = [
        f"MSH|^~\\&|RIS|HOSP|ISO|HOSP|20260101||{p['kind']}|{p['control_id']}|{p['processing']}|{p['version']}",
        f"PID|1||{p['patient']}||Doe^Jane||19700101|F",
        f"ORC|{p['control']}|{p['placer']}|{p['filler']}||{p['orc']}",
        f"OBR|1|{p['placer']}|{p['filler']}|CTHEAD^CT Head^L||||||||||||||{p['accession']}|||||||||{p['obr']}",
    ]
    return ("\r".join(lines) + "\r" + p["extra"]).encode()


def _admit(content: bytes, **settings: object) -> Admission:
    return admit(parse_message(content), Settings(**settings))


def _one(content: bytes, **settings: object) -> Order:
    (order,) = _admit(content, **settings).orders
    return order


def test_an_order() -> None:
    order = _one(orm())
    assert (order.accession_number, order.patient_id) == ("ACC1", "123")
    assert (order.placer_order_number, order.filler_order_number) == ("P1", "F1")
    assert order.requested_procedure == "CTHEAD^CT Head^L"
    assert (order.order_control, order.priority, order.message_control_id) == ("NW", 5, "ID1")
    assert order.segments["PID"] == "PID|1||123^^^HOSP^MR||Doe^Jane||19700101|F"
    assert list(order.segments) == ["MSH", "PID", "ORC", "OBR"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (orm(), "ACC1"),
        (orm(accession=""), "F1"),
        (orm(accession="", filler="F9^RIS^1.2^ISO"), "F9"),
        (orm(accession="", filler=""), "P1"),
        (orm(extra="IPC|IPC1|RP|1.2.3\r"), "IPC1"),
    ],
)
def test_where_the_accession_number_stands(content: bytes, expected: str) -> None:
    assert _one(content).accession_number == expected


def test_where_the_accession_number_stands_is_a_setting() -> None:
    assert _one(orm(), accession_number_from=["ORC-2"]).accession_number == "P1"


@pytest.mark.parametrize(
    ("patient", "expected"),
    [("77", "77"), ("1~2^^^HOSP^MR", "2"), ("^^^A~3^^^B~4^^^C", "3"), ("a\\T\\b^^^HOSP", "a&b")],
)
def test_which_patient_id(patient: str, expected: str) -> None:
    assert _one(orm(patient=patient)).patient_id == expected


@pytest.mark.parametrize(
    ("content", "priority"),
    [
        (orm(obr="^^^^^S"), 0),
        (orm(obr="^^^^^STAT"), 0),
        (orm(obr="^^^^^A"), 2),
        (orm(obr="^^^^^R"), 5),
        (orm(obr="^^^^^nonsense"), 5),
        (orm(orc="||^^^^^S"), 0),
        (orm(extra="TQ1|1||||||||S\r"), 0),
        (orm(extra="TQ1|1||||||||R\r", obr="^^^^^S"), 5),
        (orm(version="2.3", extra="TQ1|1||||||||S^Stat^HL70485\r"), 0),
    ],
)
def test_priority(content: bytes, priority: int) -> None:
    assert _one(content).priority == priority


def test_when_it_is_scheduled() -> None:
    assert _one(orm(extra="TQ1|1||||||20260304103000+0100\r")).scheduled_at == datetime(2026, 3, 4, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260304", datetime(2026, 3, 4).astimezone()),
        ("202603041030+0215", datetime(2026, 3, 4, 10, 30, tzinfo=timezone(timedelta(hours=2, minutes=15)))),
        ("20260304103005.123", datetime(2026, 3, 4, 10, 30, 5).astimezone()),
        ("202603", None),
        ("20261399", None),
        ("00000000", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_timestamps(text: str, expected: datetime | None) -> None:
    assert read_timestamp(text) == expected


def test_several_groups_are_several_orders() -> None:
    orders = _admit(orm(extra="ORC|NW|P2|F2\rOBR|2|P2|F2|MR^MR Brain^L|||||||||||||||\r")).orders
    assert [(o.accession_number, o.requested_procedure) for o in orders] == [
        ("ACC1", "CTHEAD^CT Head^L"),
        ("F2", "MR^MR Brain^L"),
    ]
    assert orders[1].segments["ORC"] == "ORC|NW|P2|F2"
    assert orders[1].patient_id == "123"


def test_procedures_of_one_accession_number_are_one_order_as_urgent_as_the_most_urgent() -> None:
    second = "OBR|2|P2|F2|MR^MR Brain^L||||||||||||||ACC1|||||||||^^^^^S\r"
    order = _one(orm(extra=second))
    assert order.requested_procedure == "CTHEAD^CT Head^L~MR^MR Brain^L"
    assert order.priority == 0
    assert order.segments["OBR"].count("OBR|") == 2


def test_each_request_of_an_imaging_order_has_its_own_step() -> None:
    omi = orm(kind="OMI^O23^OMI_O23", extra="OBR|2|P1|F1|B^Two^L\rIPC|A1|R|1.2.3\rIPC|A2|R|1.2.4\r")
    orders = _admit(omi).orders
    assert [(o.accession_number, o.study_instance_uid) for o in orders] == [("A1", "1.2.3"), ("A2", "1.2.4")]


@pytest.mark.parametrize("control", ["CA", "OC", "DC", "OD", "CR", "DR"])
def test_what_ends_an_order_is_marked(control: str) -> None:
    content = b"\r".join(line for line in orm(control=control).split(b"\r") if not line.startswith(b"OBR"))
    assert _one(content).order_control == "CA"


def test_a_status_of_cancelled_is_a_cancellation() -> None:
    assert _one(orm(control="SC", orc="CA")).order_control == "CA"
    assert _one(orm(control="SC", orc="IP")).order_control == "SC"


def test_a_study_uid_that_is_none_is_left_out_with_a_warning() -> None:
    assert _one(orm(extra="ZDS|1.2.3^^Application^DICOM\r")).study_instance_uid == "1.2.3"
    admission = _admit(orm(extra="ZDS|../../etc^^Application^DICOM\r"))
    assert admission.orders[0].study_instance_uid == ""
    assert admission.warning is not None


def _without(name: str) -> bytes:
    return b"\r".join(line for line in orm().split(b"\r") if not line.startswith(name.encode()))


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (orm(control_id=""), 101, "MSH-10 is empty"),
        (orm(kind=""), 101, "MSH-9 is empty"),
        (orm(kind="ADT^A08^ADT_A01"), 200, "ORM\\^O01"),
        (orm(kind="ORM^O02"), 201, "ORM\\^O01"),
        (orm(version="2.9"), 203, "2.3 to 2.8"),
        (orm(version="2.2"), 203, "2.3 to 2.8"),
        (orm(version=""), 203, "2.3 to 2.8"),
        (orm(version="three"), 203, "2.3 to 2.8"),
        (orm(processing="T"), 202, "takes P"),
        (_without("PID"), 100, "no PID"),
        (_without("ORC"), 100, "no ORC"),
        (_without("OBR"), 100, "no OBR"),
        (orm(patient=""), 101, "PID-3 is empty"),
        (orm(patient="^^^HOSP"), 101, "PID-3 is empty"),
        (orm(accession="", filler="", placer=""), 101, "no number"),
        (orm(accession='""', filler="", placer=""), 101, "no number"),
        (orm(accession="9" * 65), 102, "longer than 64"),
        (orm(control=""), 101, "ORC-1 is empty"),
        (orm(control="ZZ"), 103, "not handled"),
    ],
)
def test_what_is_refused_says_what_to_send(content: bytes, code: int, said: str) -> None:
    with pytest.raises(Hl7Error, match=said) as caught:
        _admit(content)
    assert caught.value.code == code
    assert caught.value.answer == ("AR" if code >= 200 else "AE")


def test_an_empty_processing_id_is_production_and_training_is_a_setting() -> None:
    assert _one(orm(processing="")).accession_number == "ACC1"
    assert _one(orm(processing="T"), processing_ids=["P", "T"]).accession_number == "ACC1"


@pytest.mark.bench
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("OMI_O23-ImagingOrder.hl7", [("AccessionNumber", "PID_1", "1.2.392.200036.9125.0.198811291108.7")]),
        ("ORM-O01-01.hl7", [("1201", "PATID1234", "")]),
        ("ORM-O01-03.hl7", [("1201", "PATID1234", ""), ("2301", "PATID1234", "")]),
        ("Sample-ORM.txt", [("11777-60", "42311", "")]),
        ("orm-o01.hl7", [("AC-PH-001", "MRN-PH-001", "1.2.826.0.1.3680043.10.99999.20250326.7")]),
        ("orm-o01__visage.hl7", [("AC-VS-001", "MRN-VS-001", "1.2.826.0.1.3680043.10.99999.20250326.1")]),
    ],
)
def test_real_orders(bench: Path, file: str, expected: list[tuple[str, str, str]]) -> None:
    orders = _admit((bench / "data" / "hl7" / "radiology_orders" / file).read_bytes()).orders
    assert [(o.accession_number, o.patient_id, o.study_instance_uid) for o in orders] == expected
