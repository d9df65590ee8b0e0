"""The report as a readable page: an Encapsulated PDF (PS3.3 A.45.1), its numbers those of SR and ORU, as text."""

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from services.report.facts import RunFacts
from services.report.identity import fill_identity, first_source, series_description
from services.report.secondary_capture import draw_page, images_to_draw
from shared.findings import SourceImage

KIND = "PDF"
_TITLE = ("18748-4", "LN", "Diagnostic imaging study")


def build(facts: RunFacts) -> list[Dataset]:
    """The run's page; without a picture where none can be drawn.

    Raises:
        CannotBuild: no source image could be read.
    """
    from services.report.drawing.pdf_page import draw_pdf  # reportlab is slow to load, and few destinations want PDF

    first_source(facts)
    ds = Dataset()
    fill_identity(ds, facts, KIND, 1, series_description(facts, "page"))
    ds.SOPClassUID = EncapsulatedPDFStorage
    ds.Modality = "DOC"
    ds.ConversionType = "SYN"
    ds.AcquisitionDateTime = ""
    ds.BurnedInAnnotation = "YES"  # the patient's name is printed on it
    ds.DocumentTitle = f"AI report: {facts.title}"
    ds.ConceptNameCodeSequence = [_title()]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    drawn = [
        finding for finding in facts.findings if any(i in facts.pictures for i in images_to_draw(finding, facts.read))
    ]
    content = draw_pdf(facts, _identity(ds), [draw_page(facts, finding) for finding in drawn])
    ds.EncapsulatedDocumentLength = len(content)
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    ds["EncapsulatedDocument"].VR = "OB"
    if sources := _sources(facts):
        ds.SourceInstanceSequence = sources
    return [ds]


def _title() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = _TITLE
    return item


def _identity(ds: Dataset) -> dict[str, str]:
    """Whose study it is, as the object itself says."""
    birth, study = (_date(str(ds.get(keyword) or "")) for keyword in ("PatientBirthDate", "StudyDate"))
    return {
        "Patient": str(ds.get("PatientName") or "").replace("^", " ").replace("=", " / "),
        "Patient ID": str(ds.get("PatientID") or ""),
        "Born": birth,
        "Sex": str(ds.get("PatientSex") or ""),
        "Accession": str(ds.get("AccessionNumber") or ""),
        "Study": " ".join(filter(None, [study, str(ds.get("StudyDescription") or "")])),
        "Institution": str(ds.get("InstitutionName") or ""),
        "Made": f"{_date(ds.ContentDate)} {ds.ContentTime[:2]}:{ds.ContentTime[2:4]}",
    }


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else text


def _sources(facts: RunFacts) -> list[Dataset]:
    """The instances that the findings rest on (PS3.3 C.24.2, Source Instance Sequence)."""
    found: dict[str, SourceImage] = {}
    for finding in facts.findings:
        for image in finding.sources:
            found.setdefault(image.sop_instance_uid, image)
    items = []
    for image in found.values():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
        items.append(item)
    return items
