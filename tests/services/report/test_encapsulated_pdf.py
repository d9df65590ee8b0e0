"""The page can be read, its text is text, and it says what the other objects say."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EncapsulatedPDFStorage
from pypdf import PdfReader

from services.report import encapsulated_pdf
from services.report.drawing.pdf_letters import can_print, markup
from services.report.facts import CannotBuild, ResultObject, RunFacts
from services.report.regions import area_mm2
from services.report.statements import number
from shared.findings import Code, Site

Write = Callable[..., list[ResultObject]]


def read(written: Write, facts: RunFacts) -> Dataset:
    (made,) = written(facts, "PDF")
    return dcmread(BytesIO(made.content))


def pages(ds: Dataset) -> list[str]:
    document = PdfReader(BytesIO(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]))
    return [page.extract_text() for page in document.pages]


def test_it_says_whose_what_and_by_whom(dx_facts: RunFacts, written: Write) -> None:
    ds = read(written, dx_facts)
    assert (ds.SOPClassUID, ds.Modality) == (EncapsulatedPDFStorage, "DOC")
    (text,) = pages(ds)
    (finding,) = dx_facts.findings
    source = dx_facts.sources[0]
    areas = [area_mm2(region, tuple(map(float, source.ImagerPixelSpacing))) for region in finding.regions]
    expected = [
        source.PatientID, source.AccessionNumber, "Opacity of lung", "present", "probability 0.934",
        "chest_opacity 1.2.0", "NOT FOR CLINICAL USE", "completeness", "geometry",
        *(f"{number(round(area, 2), 2)} mm²" for area in areas if area),
    ]  # fmt: skip
    assert [words for words in expected if words not in text] == []
    assert len(areas) == 2


def test_it_says_where_in_the_body(dx_facts: RunFacts, written: Write) -> None:
    lung = Site(code=Code(value="39607008", scheme="SCT", meaning="Lung"), laterality="left")
    (finding,) = dx_facts.findings
    (text,) = pages(read(written, replace(dx_facts, findings=[finding.model_copy(update={"site": lung})])))
    assert "site: Lung, left" in " ".join(text.split())


def test_a_gates_score_and_reason_are_on_it(mr_facts: RunFacts, written: Write) -> None:
    (text,) = pages(read(written, replace(mr_facts, released="released by A. B.: looked at")))
    for words in ("slices 9 to 12 look blurred", number(mr_facts.findings[0].value, 6), "released by A. B."):
        assert words in " ".join(text.split())


def test_it_has_the_picture(dx_facts: RunFacts, written: Write) -> None:
    ds = read(written, dx_facts)
    (page,) = PdfReader(BytesIO(ds.EncapsulatedDocument)).pages
    assert [image.image.size for image in page.images] == [(1600, 1300)]
    bare = read(written, replace(dx_facts, pictures={}))
    assert "present" in pages(bare)[0]


def test_a_replay_gives_the_same_bytes(dx_facts: RunFacts, written: Write) -> None:
    assert written(dx_facts, "PDF")[0].content == written(dx_facts, "PDF")[0].content


def test_a_japanese_name_is_text(japanese_facts: RunFacts, written: Write) -> None:
    (text,) = pages(read(written, japanese_facts))
    assert "山田 太郎" in text
    assert "胸部正面" in text


def test_a_name_that_can_not_be_printed_is_not_printed_wrong(dx_facts: RunFacts, written: Write) -> None:
    assert not can_print("private \ue000")
    assert markup("\ue000<b>") == "[letters without a font]&lt;b&gt;"
    dx_facts.sources[0].PatientName = "\ue000\ue001"
    (text,) = pages(read(written, dx_facts))
    assert "in letters that this page can't print" in text


def test_many_gates_go_on_the_next_page(dx_facts: RunFacts, written: Write) -> None:
    gates = [dx_facts.gate_results[0].model_copy(update={"reason": f"reason {n}"}) for n in range(40)]
    text = pages(read(written, replace(dx_facts, gate_results=gates)))
    assert len(text) > 1
    assert all(f"reason {n}" in "".join(text) for n in range(40))
    assert all("NOT FOR CLINICAL USE" in page for page in text)


def test_without_a_source_it_says_why_not(dx_facts: RunFacts) -> None:
    with pytest.raises(CannotBuild, match="none of the source images"):
        encapsulated_pdf.build(replace(dx_facts, sources=[]))
