"""Messages as peers write them: read by position whatever their version, or refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hl7.message import MOST_PARTS, Message, Segment, parse_message, read_header
from shared.hl7.text import Hl7Error

MSH = "MSH|^~\\&|RIS|HOSP|ISO|HOSP|20260101||ORM^O01^ORM_O01|ID1|P|{version}||||||{charset}\r"


def _message(body: str, version: str = "2.5.1", charset: str = "") -> bytes:
    return (MSH.format(version=version, charset=charset) + body).encode()


def _first(message: Message, name: str) -> Segment:
    segment = message.first(name)
    assert segment is not None
    return segment


def test_header_fields() -> None:
    header = read_header(_message("PID|1\r", charset="UNICODE UTF-8"))
    assert (header.message_type, header.control_id, header.processing_id) == ("ORM^O01", "ID1", "P")
    assert (header.version, header.character_set, header.sending_facility) == ("2.5.1", "UNICODE UTF-8", "HOSP")
    assert header.field(99) == ""


def test_fields_by_position_with_escapes_nulls_and_repetitions() -> None:
    pid = _first(parse_message(_message('PID|1|""|12^^^A~34^^^B||Smith\\F\\Jones&van^Jane\r')), "PID")
    assert pid.field(3) == "12"
    assert pid.repetitions(3) == ["12^^^A", "34^^^B"]
    assert pid.field(2) == ""
    assert (pid.field(5), pid.field(5, 2), pid.field(5, 3), pid.field(40)) == ("Smith|Jones", "Jane", "", "")


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.2"])
def test_segments_that_came_with_a_later_version_are_read(version: str) -> None:
    message = parse_message(
        _message("ORC|NW|1\rTQ1|1||||||||S\rIPC|A1|RP|1.2.3\rZDS|1.2.3^^Application^DICOM\r", version)
    )
    assert _first(message, "TQ1").field(9) == "S"
    assert _first(message, "IPC").field(3) == "1.2.3"
    assert _first(message, "ZDS").field(1) == "1.2.3"


def test_what_hl7apy_would_move_or_drop_is_kept() -> None:
    obr = _first(parse_message(_message("OBR|1|||C^Text^L^^^^2.33^^Entered|\r", "2.6")), "OBR")
    assert obr.raw(4) == "C^Text^L^^^^2.33^^Entered"
    pid = _first(parse_message(_message("PID|1||1||||||||||78788788^^CP\r", "2.6")), "PID")
    assert pid.field(13) == "78788788"


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n", "\r\r"])
def test_segment_ends(ending: str) -> None:
    content = (MSH.format(version="2.5", charset="") + "PID|1||7\rPV1|1\r").replace("\r", ending).encode()
    assert [s.name for s in parse_message(b"\xef\xbb\xbf" + content).segments] == ["MSH", "PID", "PV1"]


def test_custom_separators() -> None:
    message = parse_message(b"MSH@~&#\\@A@B@C@D@2026@@ORM~O01@ID@P@2.5\rPID@1@@12~~~HOSP&34#S#5\r")
    assert message.header.message_type == "ORM^O01"
    assert _first(message, "PID").repetitions(3) == ["12~~~HOSP", "34#S#5"]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 100, "must start with an MSH"),
        (b"PID|1\r", 100, "must start with an MSH"),
        (b"MSH", 100, "must start with an MSH"),
        (b"MSH|^~|A", 102, "five different separators"),
        (b"MSH|^~\\\\&|A", 102, "five different separators"),
        (b"MSH|^^\\&|A", 102, "five different separators"),
        (_message("pid|1\r"), 100, "line 2 does not start"),
        (_message("PID|1\rfree text\r"), 100, "line 3 does not start"),
        (_message("PID|1\r") + _message("PID|2\r"), 100, "second MSH"),
        (_message("PID|1\x1cPV1|\r"), 100, "frame character"),
        (b"BHS|^~\\&|A\rMSH|^~\\&|A\r", 100, "must start with an MSH"),
    ],
)
def test_what_is_no_message_is_refused(content: bytes, code: int, said: str) -> None:
    with pytest.raises(Hl7Error, match=said) as caught:
        parse_message(content)
    assert caught.value.code == code


def test_a_segment_of_endless_parts_is_refused_before_it_costs_anything() -> None:
    message = parse_message(_message("PID|1||" + "1~" * (MOST_PARTS + 1) + "\r"))
    with pytest.raises(Hl7Error, match="more than"):
        _first(message, "PID").field(3)


def test_a_segment_that_no_version_has_is_refused_only_when_it_is_read() -> None:
    message = parse_message(_message("XYZ|1\rPID|1||7\r"))
    assert _first(message, "PID").field(3) == "7"
    with pytest.raises(Hl7Error, match="XYZ: no segment of HL7"):
        _first(message, "XYZ").field(1)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_an_error_in_words(tail: bytes) -> None:
    for content in (tail, b"MSH" + tail, b"MSH|^~\\&|A|B|C|D|1||ORM^O01|1|P|2.5\rPID|" + tail):
        try:
            message = parse_message(content)
            for segment in message.segments[1:]:
                segment.field(3, 2)
        except Hl7Error:
            continue


@pytest.mark.parametrize(
    ("body", "said"),
    [("ORC|NW|1\rOBR|1|1\r" * 600, "more than 1000 segments"), (f"OBR|1|{'^' * 1900}\r" * 6, "more than 10000 parts")],
)
def test_a_message_that_would_take_minutes_to_read_is_refused(body: str, said: str) -> None:
    """Thirty thousand orders fit into a megabyte, and kept a thread and the sender busy for minutes."""
    with pytest.raises(Hl7Error, match=said):
        parse_message(_message("PID|1\r" + body))
