"""Answers: what we say is valid in the asker's version, and what peers say is read whatever theirs is."""

import pytest
from hl7apy.parser import parse_message as hl7apy_parse

from shared.hl7.acknowledgement import build_acknowledgement, read_acknowledgement
from shared.hl7.message import DICTIONARIES, read_header
from shared.hl7.text import Hl7Error

MSH = "MSH|^~\\&|RIS|HOSP|ISO|CLINIC|20260101||ORM^O01|{control_id}|P|{version}\r"


def _ack(version: str, error: Hl7Error | None = None, severity: str = "E", control_id: str = "ID1") -> str:
    header = read_header(MSH.format(control_id=control_id, version=version).encode())
    return build_acknowledgement(header, error, severity).decode()


@pytest.mark.parametrize("version", sorted(DICTIONARIES))
@pytest.mark.parametrize("error", [None, Hl7Error(101, "PID-3 is empty: send the patient's ID", "PID^1^3")])
def test_hl7apy_finds_our_answers_valid(version: str, error: Hl7Error | None) -> None:
    text = _ack(version, error)
    message = hl7apy_parse(text.replace("|2.7.1\r", "|2.7\r"))
    # 2.3 had no MSH-9.3, from which hl7apy knows the structure; 2.8 withdrew ERR-1, and then hl7apy takes its empty
    # place for a fault
    if version == "2.3" or (error and version >= "2.8"):
        assert all(s.validate() for s in message.children if s.name != "ERR" or version < "2.8")
    else:
        assert message.validate()
    assert message.msa.msa_1.to_er7() == ("AE" if error else "AA")
    assert message.msa.msa_2.to_er7() == "ID1"
    assert [message.msh.msh_3.to_er7(), message.msh.msh_5.to_er7()] == ["ISO", "RIS"]
    assert (message.msh.msh_12.to_er7()) == version.replace("2.7.1", "2.7")


@pytest.mark.parametrize("version", sorted(DICTIONARIES))
def test_the_asker_is_told_what_to_do(version: str) -> None:
    error = Hl7Error(203, "send version 2.5.1", "MSH^1^12")
    answer = read_acknowledgement(_ack(version, error).encode())
    assert (answer.code, answer.control_id, answer.text) == ("AR", "ID1", "send version 2.5.1")


def test_err_names_code_place_and_severity() -> None:
    err = _ack("2.5.1", Hl7Error(101, "send it", "PID^1^3")).split("\r")[2].split("|")
    assert err[2:5] == ["PID^1^3", "101^Required field missing^HL70357", "E"]
    assert err[8] == "send it"


def test_a_warning_is_an_acceptance() -> None:
    text = _ack("2.5.1", Hl7Error(102, "left out", "ZDS^1^1"), "W")
    assert "MSA|AA|ID1" in text
    assert "|W|" in text


def test_without_a_header_there_is_still_an_answer() -> None:
    answer = read_acknowledgement(build_acknowledgement(None, Hl7Error(100, "no MSH")))
    assert (answer.code, answer.control_id, answer.text) == ("AE", "", "no MSH")


def test_a_control_id_comes_back_to_the_letter() -> None:
    assert "MSA|AA|A^B&C \\T\\ 1\r" in _ack("2.5.1", control_id="A^B&C \\T\\ 1")


def test_long_text_with_separators_breaks_nothing() -> None:
    text = _ack("2.5.1", Hl7Error(102, "|" * 400 + "ü"))
    assert hl7apy_parse(text).validate()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"MSH|^~\\&|A|B|C|D|1||ACK|9|P|2.3\rMSA|AA|ID1\r", ("AA", "ID1", "")),
        (b"MSH|^~\\&|A|B|C|D|1||ACK|9|P|2.3\nMSA|AE|ID1|no such patient\n", ("AE", "ID1", "no such patient")),
        (b"MSH$%~\\&$A$B$C$D$1$$ACK$9$P$2.5\rMSA$AR$ID1\rERR$$$$E$$$why$because\r", ("AR", "ID1", "because; why")),
        (b"MSH|^~\\&|A\rMSA|CA\r", ("CA", "", "")),
    ],
)
def test_peers_answers(content: bytes, expected: tuple[str, str, str]) -> None:
    answer = read_acknowledgement(content)
    assert (answer.code, answer.control_id, answer.text) == expected


@pytest.mark.parametrize("content", [b"", b"hello", b"MSH|^~\\&|A\r", b"MSH|^~\\&|A\rMSA\r"])
def test_no_answer_at_all(content: bytes) -> None:
    with pytest.raises(Hl7Error):
        read_acknowledgement(content)
