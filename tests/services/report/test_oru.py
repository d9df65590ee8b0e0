"""The result message: valid to hl7apy, read back as it was meant, and accepted by three independent receivers."""

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hl7apy.parser import parse_message as hl7apy_parse
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from services.report.facts import RunFacts
from services.report.oru import oru_message
from services.report.oru_findings import observed
from services.report.oru_patient import person_name
from shared.findings import Classification, Code, Finding, Measurement, QualityScore, Site, SourceImage
from shared.hl7.message import Message, parse_message
from shared.imaging.frames import load_frames
from shared.store import GateResult, Order, Run, Study
from tests.services.report.findings_by_hand import every_kind

CONTROL_ID = "0123456789ABCDEF0123"
NASTY = "a|b^c~d\\e&f"

OPACITY = Classification(
    name="opacity", code=Code(value="128477000", scheme="SCT", meaning="Opacity of lung"), package="chest_opacity",
    version="1.0.0", present=True, probability=0.9123, threshold=0.5,
)  # fmt: skip
AREA = Measurement(
    name="area", code=Code(value="42798000", scheme="SCT", meaning="Area"), package="chest_opacity", version="1.0.0",
    value=0.0000125, unit="mm2",
)  # fmt: skip
SSIM = QualityScore(
    name="ssim", code=Code(value="ssim", scheme="99ISO", meaning="Predicted SSIM"), package="motion_ssim",
    version="1.0.0", series_instance_uid="1.2.4", value=0.83, unit="1", verdict="warn", warn_below=0.9, hold_below=0.8,
)  # fmt: skip


def _header(**more: str) -> Dataset:
    header = Dataset()
    header.PatientName, header.PatientID = "Doe^Jane^Q^Dr^Jr", "123"
    header.PatientBirthDate, header.PatientSex = "19700101", "F"
    header.StudyDate, header.StudyTime = "20260102", "101500.123"
    for keyword, value in more.items():
        setattr(header, keyword, value)
    return header


def _order(pid: str = "PID|1||77^^^HOSP^MR||Zörb^Renée||19600101|F", **segments: str) -> Order:
    written = {
        "MSH": "MSH|^~\\&|RIS|HOSP", "PID": pid, "PV1": "PV1|1|O|RAD^^^HOSP", "ORC": "ORC|NW|P1^RIS|F1^PACS",
        "OBR": "OBR|1|P1^RIS|F1^PACS|CT^CT Head \\T\\ neck^L",
    }  # fmt: skip
    return Order(accession_number="ACC1", segments=written | segments)


def _gate(name: str, verdict: str, score: float | None = None, reason: str = "") -> GateResult:
    return GateResult(
        study_instance_uid="1.2.3", revision=1, name=name, verdict=verdict, score=score, reason=reason,
        series_instance_uid="1.2.4",
    )  # fmt: skip


def _message(
    findings: list[Finding] | None = None, order: Order | None = None, header: Dataset | None = None, **more: Any
) -> bytes:
    run = Run(
        id="r", study_instance_uid="1.2.3", revision=1, package="chest_opacity", version="1.0.0", kind="reader",
        reason=more.pop("reason", ""),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "study": Study(study_instance_uid="1.2.3", accession_number="ACC1"), "order": order, "run": run,
        "header": _header() if header is None else header, "findings": [OPACITY] if findings is None else findings,
        "gate_results": [], "control_id": CONTROL_ID, "sending_facility": "HOSP", "receiving_application": "RIS",
        "receiving_facility": "HOSP", "created_at": datetime(2026, 1, 2, 10, 30, tzinfo=UTC), "outcome": "final",
    }  # fmt: skip
    return oru_message(**facts | more)


def _observations(content: bytes) -> dict[str, list[str]]:
    """OBX by the meaning in OBX-3."""
    rows = [s.line.split("|") + [""] * 20 for s in _read(content).segments if s.name == "OBX"]
    assert [row[1] for row in rows] == [str(n) for n in range(1, len(rows) + 1)]
    return {row[3].split("^")[1]: row for row in rows}


def _read(content: bytes) -> Message:
    """Reads the message with our own reader, after hl7apy has found it valid."""
    assert hl7apy_parse(content.decode("utf-8")).validate()
    return parse_message(content)


def _segment(content: bytes, name: str) -> Any:
    return _read(content).first(name)


def test_header_patient_and_request_from_the_images() -> None:
    content = _message()
    header = _read(content).header
    assert (header.message_type, header.control_id, header.version) == ("ORU^R01", CONTROL_ID, "2.5.1")
    assert header.character_set == ""
    pid, obr, orc = (_segment(content, name) for name in ("PID", "OBR", "ORC"))
    assert (pid.raw(3), pid.raw(5)) == ("123^^^^PI", "Doe^Jane^Q^Jr^Dr^^L^A")
    assert (pid.field(7), pid.field(8)) == ("19700101", "F")
    assert (orc.field(1), orc.field(3)) == ("RE", "ACC1")
    assert (obr.field(18), obr.field(7), obr.field(25)) == ("ACC1", "20260102101500", "F")
    assert _read(content).first("PV1") is None


def test_the_orders_own_numbers_and_patient_come_back() -> None:
    content = _message(order=_order())
    assert _read(content).header.character_set == "UNICODE UTF-8"
    pid, obr, orc, pv1 = (_segment(content, name) for name in ("PID", "OBR", "ORC", "PV1"))
    assert (pid.raw(3), pid.raw(5)) == ("77^^^HOSP^MR", "Zörb^Renée")
    assert (orc.raw(2), orc.raw(3)) == ("P1^RIS", "F1^PACS")
    assert (obr.raw(2), obr.raw(3), obr.raw(4)) == ("P1^RIS", "F1^PACS", "CT^CT Head \\T\\ neck^L")
    assert (pv1.field(2), pv1.raw(3)) == ("O", "RAD^^^HOSP")


def test_an_order_in_other_separators_comes_back_in_ours() -> None:
    order = _order(
        MSH="MSH@~&#\\@RIS", PID="PID@1@@77~~~HO|SP@@Doe~Jane&Roe~Jane", PV1="PV1@1@O", ORC="ORC@NW@P1~RIS@F1",
        OBR="OBR@1@P1~RIS@F1@CT~Head",
    )  # fmt: skip
    content = _message(order=order)
    assert _segment(content, "PID").raw(3) == "77^^^HO\\F\\SP"
    assert _segment(content, "PID").raw(5) == "Doe^Jane~Roe^Jane"
    assert _segment(content, "ORC").raw(2) == "P1^RIS"


def test_an_order_whose_patient_is_not_valid_does_not_stop_the_result() -> None:
    content = _message(order=_order(pid="PID|1||" + "7" + "^A&B" * 30 + "||Doe"))
    assert _segment(content, "PID").raw(3) == "123^^^^PI"
    assert _segment(content, "OBR").field(18) == "ACC1"


def test_a_finding_that_is_present_or_absent() -> None:
    row = _observations(_message())["Opacity of lung"]
    assert row[2:10] == [
        "CWE", "128477000^Opacity of lung^SCT", "1", "52101004^Present^SCT", "", "<0.5", "A", "0.912",
    ]  # fmt: skip
    assert (row[11], row[14], row[18]) == ("F", "20260102103000+0000", "chest_opacity^1.0.0")
    absent = OPACITY.model_copy(update={"present": False, "probability": 0.1})
    row = _observations(_message([absent]))["Opacity of lung"]
    assert (row[5], row[8]) == ("272519000^Absent^SCT", "N")


def test_a_number_has_its_unit_and_no_exponent() -> None:
    row = _observations(_message([AREA.model_copy(update={"value": 983.25})]))["Area"]
    assert (row[2], row[5], row[6]) == ("NM", "983.25", "mm2^mm2^UCUM")
    assert _observations(_message([AREA]))["Area"][5] == "0.000013"


def test_a_score_has_its_limits() -> None:
    content = _message([SSIM])
    row = _observations(content)["Predicted SSIM"]
    assert (row[2], row[5], row[6], row[7], row[8]) == ("NM", "0.83", "1^no units^UCUM", ">=0.9", "L")
    assert "warn below 0.9, hold below 0.8" in content.decode()


def test_where_in_the_body_a_finding_is_stands_beside_it_in_codes() -> None:
    lung = Site(code=Code(value="39607008", scheme="SCT", meaning="Lung"), laterality="bilateral")
    rows = _observations(_message([AREA, OPACITY.model_copy(update={"site": lung})]))
    assert rows["Opacity of lung"][4] == "2"
    assert rows["Finding Site"][2:6] == ["CWE", "363698007^Finding Site^SCT", "2", "39607008^Lung^SCT"]
    assert rows["Laterality"][2:6] == ["CWE", "272741003^Laterality^SCT", "2", "51440002^Right and left^SCT"]
    whole = lung.model_copy(update={"laterality": ""})
    assert "Laterality" not in _observations(_message([OPACITY.model_copy(update={"site": whole})]))


def test_findings_of_one_code_name_their_images() -> None:
    frontal = SourceImage(series_instance_uid="1.2.4", sop_instance_uid="1.2.4.1", sop_class_uid="1.2")
    second = frontal.model_copy(update={"series_instance_uid": "1.2.5", "sop_instance_uid": "1.2.5.1", "frame": 3})
    both = [OPACITY.model_copy(update={"sources": (image,)}) for image in (frontal, second)]
    assert _notes(_message([*both, AREA])) == {
        "1": ["Probability 0.912, present from 0.5", "SOP Instance UID 1.2.4.1", "Series 1.2.4"],
        "2": ["Probability 0.912, present from 0.5", "SOP Instance UID 1.2.5.1 frame 3", "Series 1.2.5"],
    }
    assert _notes(_message([both[0], AREA])) == {"1": ["Probability 0.912, present from 0.5"]}


def _notes(content: bytes) -> dict[str, list[str]]:
    """The NTE of the findings by their OBX-4."""
    notes: dict[str, list[str]] = {}
    for segment in _read(content).segments:
        if segment.name == "OBX":
            number = segment.field(4)
        elif segment.name == "NTE":
            notes.setdefault(number, []).append(segment.field(3))
    return notes


def test_package_gates_and_use_mark_are_told() -> None:
    gates = [_gate("motion_ssim", "warn", 0.83, "slices 3 to 5 moved"), _gate("completeness", "pass")]
    content = _message(gate_results=gates)
    rows = _observations(content)
    assert rows["Package"][5] == "chest_opacity 1.0.0"
    assert rows["Use mark"][5] == "Not for clinical use"
    assert (rows["Gate motion_ssim"][5], rows["Gate motion_ssim"][8]) == ("0.83", "L")
    assert rows["Gate completeness"][5] == "pass"
    assert "Verdict: warn: slices 3 to 5 moved" in content.decode()
    assert rows["DICOM Study"][5] == "1.2.3"


def test_a_held_run_says_why_and_gives_no_result() -> None:
    content = _message([], outcome="held", reason="motion_ssim: too much motion", gate_results=[_gate("m", "hold")])
    row = _observations(content)["Reading held by a quality gate"]
    assert (row[5], row[11]) == ("motion_ssim: too much motion", "X")
    assert _segment(content, "OBR").field(25) == "I"
    reason = _message([], outcome="held", gate_results=[_gate("completeness", "hold", reason="slice 7 is missing")])
    assert "completeness: slice 7 is missing" in reason.decode()


def test_a_gate_that_could_not_judge_says_so_and_claims_no_hold() -> None:
    run = Run(
        id="r", study_instance_uid="1.2.3", revision=1, package="motion_ssim", version="1.0.0", kind="gate",
        reason="the gate could not judge: there is no picture in any slice", verdict="warn",
    )  # fmt: skip
    content = _message([], outcome="held", run=run, gate_results=[_gate("motion_ssim", "warn", reason=run.reason)])
    rows = _observations(content)
    assert rows["Quality gate could not judge"][5] == run.reason
    assert rows["Gate motion_ssim"][5] == "warn"
    assert "held" not in content.decode()


def test_who_released_it_stands_beside_each_finding() -> None:
    notes = _notes(_message([OPACITY, AREA], released="released by Dr. Who: seen at the scanner"))
    assert [said[-1] for said in notes.values()] == [
        "Held by a quality gate, released by Dr. Who: seen at the scanner"
    ] * 2


def test_a_corrected_result_is_marked() -> None:
    content = _message(outcome="corrected")
    assert {row[11] for row in _observations(content).values()} == {"C"}
    assert _segment(content, "OBR").field(25) == "C"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Doe^Jane", "Doe^Jane^^^^^L^A"),
        ("Doe^Jane^Q^Dr^Jr", "Doe^Jane^Q^Jr^Dr^^L^A"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"),
        ("=山田^太郎", "山田^太郎^^^^^L^I"),
        ("O'Neil|x^A&B", "O'Neil\\F\\x^A\\T\\B^^^^^L^A"),
        ("", "^^^^^^U"),
        ("^^^^", "^^^^^^U"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert person_name(name) == expected
    content = _message(header=_header(PatientName=name))
    assert _segment(content, "PID").raw(5) == expected
    assert content.decode("utf-8").isascii() == (_read(content).header.character_set == "")


def test_nothing_known_of_the_patient() -> None:
    pid = _segment(_message(header=Dataset()), "PID")
    assert (pid.raw(3), pid.raw(5), pid.field(8)) == ('""', "^^^^^^U", "U")


@given(st.text(max_size=40))
@settings(max_examples=20, deadline=None)
def test_any_text_stays_in_its_field(text: str) -> None:
    code = Code(value="x", scheme="99ISO", meaning=text)
    finding = OPACITY.model_copy(update={"code": code})
    content = _message([finding], header=_header(PatientID=NASTY), gate_results=[_gate("m", "warn", 0.1, text)])
    message = _read(content)
    pid = message.first("PID")
    assert pid is not None
    assert pid.field(3) == NASTY
    row = next(s for s in message.segments if s.name == "OBX" and s.field(3) == "x")
    printable = "".join(c for c in " ".join(text.split()) if ord(c) >= 0x20)
    assert row.field(3, 2) == printable.strip() or text.strip() == '""'


def test_a_control_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="20 characters"):
        _message(control_id="x" * 21)


def test_the_same_facts_give_the_same_bytes() -> None:
    assert _message(order=_order()) == _message(order=_order())


ROOT = Path(__file__).parents[3]
HOSPITAL = Path(os.environ.get("HOSPITAL_HOME", Path(tempfile.gettempdir()) / "hospital"))

SEND = """
import sys, time
from pathlib import Path
from services.send.handlers import Unreachable
from services.send.mllp_client import send
from shared.settings import Destination
port, files = int(sys.argv[1]), sys.argv[2:]
ris = Destination(name="RIS", kind="mllp", host="127.0.0.1", port=port, timeout_seconds=20)
for file in files:
    for _ in range(150):
        try:
            print("accepted", send(Path(file), ris))
            break
        except Unreachable:
            time.sleep(0.2)
    else:
        sys.exit("never answered")
"""


def _peer(name: str, folder: Path) -> list[str]:
    """The command of a receiver on port 2575, or a skip with the reason."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip(
            "a network namespace of the test's own needs root, unshare and ip: some receivers bind all addresses"
        )
    script = HOSPITAL / "hl7" / {"hl7apy": "recv_hl7apy.py"}.get(name, f"recv_{name}.cjs")
    if not script.is_file():
        pytest.skip("the bench's hospital is not set up: hospital setup")
    if name == "hl7apy":
        return [str(HOSPITAL / "venv" / "bin" / "python"), str(script), "2575", str(folder / "log")]
    return ["node", str(script), "2575"]


@pytest.mark.hospital
@pytest.mark.parametrize("name", ["hl7apy", "node", "medplum"])
def test_independent_receivers_accept_it(name: str, tmp_path: Path) -> None:
    peer = _peer(name, tmp_path)
    japanese = _header(PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", PatientID=NASTY)
    gates = [_gate("motion_ssim", "warn", 0.83, "slices 3 to 5 moved"), _gate("completeness", "pass")]
    messages = {
        "final": _message([OPACITY, AREA, SSIM], gate_results=gates, control_id="FINAL"),
        "ordered": _message([OPACITY], order=_order(), gate_results=gates, control_id="ORDERED"),
        "japanese": _message([OPACITY], header=japanese, control_id="JAPANESE"),
        "held": _message([], outcome="held", reason=f"moved {NASTY}", control_id="HELD"),
        "corrected": _message(outcome="corrected", order=_order(), control_id="CORRECTED"),
    }
    files = []
    for file, content in messages.items():
        (tmp_path / f"{file}.hl7").write_bytes(content)
        files.append(str(tmp_path / f"{file}.hl7"))
    (tmp_path / "send.py").write_text(SEND)
    script = (
        'ip link set lo up; "${@:2:$1}" >peer.log 2>&1 & peer=$!; "${@:$(($1+2))}"; code=$?; kill $peer; exit $code'
    )
    sender = [sys.executable, str(tmp_path / "send.py"), "2575", *files]
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", script, "bash", str(len(peer)), *peer, *sender],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NODE_PATH": str(HOSPITAL / "hl7" / "node_modules")},
    )  # fmt: skip
    said = done.stdout + done.stderr + (tmp_path / "peer.log").read_text()
    assert done.returncode == 0, said
    assert done.stdout.count("accepted") == len(messages), said


def test_every_kind_of_finding_is_said(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    findings = every_kind(load_frames(mr_paths), (1.8, 1.8)).findings
    said = [row for n, finding in enumerate(findings, start=1) for row in observed(finding, str(n))]
    assert {finding.kind for finding in findings} == {
        "quality_score", "classification", "ordinal_grade", "measurement", "landmark", "segmentation", "heat_map",
        "key_image", "derived_image", "not_sure",
    }  # fmt: skip
    assert [sub for sub, _, _ in said] == [
        *(str(n) for n in range(1, 10)), "10.1", "10.2", "11.1", "12", "13",
    ]  # fmt: skip
    by_name = {fields[3].split("^")[1]: (fields, remarks) for _, fields, remarks in said}
    assert by_name["Severity"][0][5] == "255604002^Mild^SCT"
    assert by_name["Severity"][0][9] == "0.625"
    assert by_name["Severity"][1] == ["Probabilities: none 0.200, mild 0.625, severe 0.175"]
    assert by_name["Stage of the tumour"][0][11] == "X"
    assert by_name["Mass"][0][2] == "NM", "the segment's volume comes after the classification's word"
    assert by_name["Carina structure"][0][5] == "Marked: carina (75 %), end plate"
    assert "confidence 90 %" in by_name["Cobb angle"][1]
    assert next(remarks for _, f, remarks in said if f[2] == "CWE")[-1] == "made without priors"
    sites = 2 * sum(finding.site is not None for finding in findings)  # each with its side
    assert said_in(mr_facts, findings).count("OBX|") == len(said) + sites + len(mr_facts.gates_beside) + 3


def said_in(facts: RunFacts, findings: list[Finding]) -> str:
    """The whole message, which hl7apy has found valid."""
    content = oru_message(
        study=facts.study, order=None, header=facts.sources[0], run=facts.run, findings=findings,
        gate_results=facts.gates_beside, control_id="C1", sending_facility="H", receiving_application="R",
        receiving_facility="F", created_at=facts.at, outcome="final",
    )  # fmt: skip
    return content.decode()
