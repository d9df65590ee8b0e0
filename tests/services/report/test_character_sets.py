"""Names and texts of the images arrive letter by letter, in UTF-8 and in the images' own character set."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from shutil import which

import pytest
from pydicom import Dataset, dcmread
from pypdf import PdfReader

from services.report.drawing import fonts, pdf_letters
from services.report.facts import ResultObject, RunFacts
from services.report.handlers import report
from shared.findings import Classification, NotSure, OrdinalGrade, QualityScore
from shared.hl7.message import parse_message
from shared.phantoms import dicom
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination
from shared.store import Order
from tests.services.report.sources_in_character_sets import SOURCES, TEXTS, Source, write_source, write_with
from tests.services.report.test_every_kind import facts_of

PACS = {"kind": "dicom", "host": "h", "port": 104, "ae_title": "A", "objects": list(DICOM_KINDS)}
DESTINATIONS = [
    Destination(name="utf-8", **PACS),
    Destination(name="own", character_set="source", **PACS),
    Destination(name="ris", kind="mllp", host="h", port=2575),
]
SAID_IN_THE_SAME_WAY = (QualityScore, Classification, OrdinalGrade, NotSure)  # as measurements, by every object
# dciodvfy (of 2023) has no table of these sets and takes every letter for a wrong one
UNKNOWN_TO_DCIODVFY = ("GBK", "ISO_IR 13")
# dcmtk leaves it to the system's iconv, which has no such set by itself
NOT_CONVERTED_BY_DCMTK = "ISO 2022 IR 87"


@pytest.mark.parametrize("name", SOURCES)
def test_letters_arrive(
    name: str, build_facts: Callable[..., RunFacts], tmp_path: Path, dciodvfy: Callable[[bytes], list[str]]
) -> None:
    """In one test: making the objects takes longer than looking at them, and tests may be spread."""
    source = SOURCES[name]
    facts = facts_of(build_facts, write_source(source, tmp_path))[0]
    few = {type(finding): finding for finding in facts.findings if not isinstance(finding, SAID_IN_THE_SAME_WAY)}
    objects = first_of_each(made_of(replace(facts, findings=list(few.values()))))
    message, page = objects.pop(("ORU", "ris")), objects["PDF", "utf-8"]
    assert {kind for kind, _ in objects} == set(DICOM_KINDS)
    for made in objects.values():
        every_kind_says_what_the_images_say(source, made, tmp_path, dciodvfy)
    the_message_says_the_name(source, message.content)
    the_page_prints_the_names(source, page.content)


def made_of(facts: RunFacts) -> list[ResultObject]:
    """What is made of a run that was read, and of one that was held."""
    done = report(facts, DESTINATIONS)
    held = report(replace(facts, outcome="held", findings=[], pictures={}), DESTINATIONS)
    assert (done.missing, held.missing) == ([], [])
    assert done.remarks == held.remarks == []
    return [*done.objects, *held.objects]


def first_of_each(objects: list[ResultObject]) -> dict[tuple[str, str], ResultObject]:
    """By kind and destination: all of one kind and flavour take their text from the same place."""
    found: dict[tuple[str, str], ResultObject] = {}
    for made in objects:
        found.setdefault((made.kind, made.destinations[0]), made)
    return found


def every_kind_says_what_the_images_say(
    source: Source, made: ResultObject, folder: Path, dciodvfy: Callable[[bytes], list[str]]
) -> None:
    own, which_one = made.destinations[0] == "own", (made.kind, made.destinations)
    ds = dcmread(BytesIO(made.content))
    written = tuple(ds.get_item(keyword).value.rstrip(b" ") for keyword in TEXTS)
    assert written == (source.written if own else tuple(text.encode() for text in source.said)), which_one
    assert tuple(str(ds[keyword].value) for keyword in TEXTS) == source.said, which_one
    declared = ds.get("SpecificCharacterSet") or ""
    assert (declared if isinstance(declared, str) else list(declared)) == (source.declared if own else "ISO_IR 192")
    if not (own and source.declared in UNKNOWN_TO_DCIODVFY):
        assert dciodvfy(made.content) == [], which_one
    if not (own and NOT_CONVERTED_BY_DCMTK in source.declared):
        assert dumped_by_dcmtk(made.content, folder) == list(source.said), which_one


def dumped_by_dcmtk(content: bytes, folder: Path) -> list[str]:
    if not which("dcmdump"):
        pytest.skip("dcmdump (dcmtk) is not installed")
    path = folder / "dumped.dcm"
    path.write_bytes(content)
    asked = [argument for keyword in TEXTS for argument in ("-s", "+P", keyword)]
    done = subprocess.run(["dcmdump", "+U8", "+L", *asked, path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.decode("utf-8").splitlines() if "[" in line]
    said = {line.split()[-1]: line.partition("[")[2].rpartition("]")[0] for line in lines}
    return [said[keyword] for keyword in TEXTS]


def the_message_says_the_name(source: Source, content: bytes) -> None:
    message = parse_message(content)
    names = [repetition.split("^")[:2] for repetition in message.first("PID").raw(5).split("~")]
    assert names == [(group.split("^") + [""])[:2] for group in source.said[0].split("=")]
    assert message.header.character_set == ("" if content.isascii() else "UNICODE UTF-8")


def the_page_prints_the_names(source: Source, content: bytes) -> None:
    page = PdfReader(BytesIO(dcmread(BytesIO(content)).EncapsulatedDocument)).pages[0]
    text = "".join(page.extract_text().split())
    for said in source.said[:2]:
        printed = said.replace("^", "").replace("=", "/").replace(" ", "")
        if pdf_letters.can_print(printed):
            assert printed in text
        else:
            assert "(inlettersthatthispagecan'tprint)" in text
            assert any("\u0e00" <= letter <= "\u0e7f" for letter in printed), "Thai alone needs a font of the machine's"


def read_back(build_facts: Callable[..., RunFacts], paths: list[Path]) -> tuple[Dataset, list[str]]:
    """A report for a destination that wants the images' own character set, and what the run says of it."""
    done = report(build_facts(paths), [Destination(name="own", character_set="source", **PACS | {"objects": ["SR"]})])
    return dcmread(BytesIO(next(o.content for o in done.objects if o.kind == "SR"))), done.remarks


@pytest.mark.parametrize(
    ("declared", "content", "name", "written_in"),
    [
        ("", "Müller^Jörg".encode(), "Müller^Jörg", "ISO_IR 192"),  # UTF-8 that nobody declared
        ("ISO_IR 6", "Müller".encode(), "Müller", "ISO_IR 192"),
        ("ISO 2022 IR 87", "Müller".encode(), "Müller", "ISO_IR 192"),
        ("", "Müller".encode("latin-1"), "Müller", "ISO_IR 192"),  # what pydicom and most others take it for
        ("ISO_IR 192", "Müller".encode("latin-1"), "", "ISO_IR 192"),
        ("GB18030", b"Wang\xff\xff", "", "GB18030"),
        ("", b"\x1b$B;3ED\x1b(B^X", "", ""),  # kanji, whose set is not declared
        (["", "ISO 2022 IR 100"], b"M\x1b-A\xfcller", "Müller", "ISO_IR 100"),  # the same letters without extensions
        ("ISO_IR 999", b"Doe^Jane", "Doe^Jane", "ISO_IR 192"),
    ],
)  # fmt: skip
def test_what_was_declared_wrongly_is_read_or_left_out_and_that_is_said(
    declared: str | list[str], content: bytes, name: str, written_in: str, build_facts: Callable[..., RunFacts],
    tmp_path: Path,
) -> None:  # fmt: skip
    ds, remarks = read_back(build_facts, write_with(declared, {"PatientName": content}, tmp_path))
    assert str(ds.PatientName) == name
    assert ds.PatientID == dicom.BRAIN_PATIENT.patient_id
    assert (ds.get("SpecificCharacterSet") or "") == written_in
    assert ("left out, since not valid in the images: PatientName" in remarks) == (name == "")
    can_not = name and written_in == "ISO_IR 192" and declared != "ISO_IR 192"
    assert any("SR for own in UTF-8" in remark for remark in remarks) == bool(can_not)


@pytest.mark.parametrize(
    ("name", "title", "why"),
    [
        ("cyrillic", "Größe", "(ISO_IR 144) can't write DerivationDescription and SeriesDescription"),
        ("katakana", "山", "(ISO_IR 13) can't write DerivationDescription and SeriesDescription"),
        ("japanese", "Größe", "(ISO 2022 IR 87) can't write DerivationDescription and SeriesDescription"),
        ("cyrillic", "of 5 mm² – 90°", ""),  # our own signs have plain ones
    ],
)
def test_what_the_own_set_lacks_stays_in_utf_8_and_that_is_said(
    name: str, title: str, why: str, build_facts: Callable[..., RunFacts], tmp_path: Path
) -> None:
    facts = replace(build_facts(write_source(SOURCES[name], tmp_path)), title=title)
    done = report(facts, [Destination(name="own", character_set="source", **PACS | {"objects": ["SC"]})])
    ds = next(dcmread(BytesIO(o.content)) for o in done.objects if o.kind == "SC")
    assert tuple(str(ds[keyword].value) for keyword in TEXTS) == SOURCES[name].said
    if why:
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert title in ds.SeriesDescription
        assert done.remarks == [f"SC for own in UTF-8, since the images' character set {why}"]
    else:
        assert ds.SpecificCharacterSet == SOURCES[name].declared
        assert "of 5 mm2 - 90 deg" in ds.SeriesDescription
        assert done.remarks == []


@pytest.mark.parametrize(
    ("theirs", "name", "why"),
    [
        ("8859/1", "Müller^Jörg", ""),
        ("8859/5", "Дед", ""),
        ("GB 18030-2000", "王^小东", ""),
        ("8859/1", "王^小东", "in UTF-8, since the RIS's character set (8859/1) has not all of its letters"),
        ("8859/1", "Doe", ""),
    ],
)
def test_a_ris_is_answered_in_its_own_character_set_where_that_is_asked_for(
    theirs: str, name: str, why: str, dx_facts: RunFacts
) -> None:
    order = Order(accession_number="A1", character_set=theirs, segments={"PID": f"PID|1||7||{name}"})
    destination = Destination(name="ris", kind="mllp", host="h", port=2575, character_set="source")
    done = report(replace(dx_facts, order=order), [destination])
    (content,) = (o.content for o in done.objects if o.kind == "ORU")
    message = parse_message(content)
    assert message.first("PID").raw(5) == name
    said = "" if name.isascii() else "UNICODE UTF-8" if why else theirs
    assert message.header.character_set == said
    assert done.remarks == ([f"ORU for ris {why}"] if why else [])


def test_a_picture_draws_letters_or_says_that_it_can_not() -> None:
    assert fonts.printable("Größe 5 mm² – ≥ 3 ± 1") == "Größe 5 mm2 - >= 3 ± 1"
    assert fonts.runs("of Größe 5") == [(fonts.OWN, "of "), (fonts.VERA, "Größe "), (fonts.OWN, "5")]
    assert fonts.printable("a \ue000\ue001 b") == f"a {fonts.NO_FONT} b"
    installed = "".join("Жก肺한"[n] for n, name in enumerate(SCRIPTS) if any(map(fonts.letters_of, name)))
    assert fonts.printable(installed) == installed


SCRIPTS = (
    ("DejaVuSans.ttf",), ("Loma.ttf", "NotoSansThai-Regular.ttf"), ("DroidSansFallbackFull.ttf",), ("NanumGothic.ttf",),
)  # fmt: skip
