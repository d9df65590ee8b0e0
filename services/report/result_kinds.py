"""Every kind of DICOM result: who builds it, how its file is called, and which destinations want it in which flavour.

A builder is a module with a `KIND` and a `build(facts)` that gives data sets, in the order of their numbers; it knows
nothing of files or destinations. The flavour to write in stands in the facts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO

from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEGLSLossless,
    KeyObjectSelectionDocumentStorage,
    RLELossless,
)

from services.report import (
    derived_images,
    dicom_sr,
    encapsulated_pdf,
    key_objects,
    not_analysed,
    parametric_map,
    presentation_state,
    secondary_capture,
    segmentation,
)
from services.report.facts import ResultObject, RunFacts
from services.report.identity import first_source, sop_instance_uid_of
from services.report.text import choose_character_set
from shared.findings import Finding, HeatMap, Segmentation
from shared.result_profiles import Flavour, TransferSyntax
from shared.settings import Destination

Builder = Callable[[RunFacts], list[Dataset]]

BUILDERS: dict[str, Builder] = {
    segmentation.KIND: segmentation.build,  # before the report, which may point to it, as to the map
    parametric_map.KIND: parametric_map.build,
    dicom_sr.KIND: dicom_sr.build,
    secondary_capture.KIND: secondary_capture.build,
    key_objects.KIND: key_objects.build,
    encapsulated_pdf.KIND: encapsulated_pdf.build,
    derived_images.KIND: derived_images.build,
    presentation_state.KIND: presentation_state.build,
}
UNREAD: dict[str, Builder] = {not_analysed.KIND: not_analysed.build}
SOP_CLASSES: dict[str, tuple[str, ...]] = {
    dicom_sr.KIND: tuple(dicom_sr.SOP_CLASSES.values()),
    secondary_capture.KIND: secondary_capture.SOP_CLASSES,
    key_objects.KIND: (KeyObjectSelectionDocumentStorage,),
    encapsulated_pdf.KIND: (EncapsulatedPDFStorage,),
    segmentation.KIND: segmentation.SOP_CLASSES,
    parametric_map.KIND: parametric_map.SOP_CLASSES,
    derived_images.KIND: derived_images.SOP_CLASSES,
    presentation_state.KIND: (GrayscaleSoftcopyPresentationStateStorage,),
    not_analysed.KIND: tuple(dicom_sr.SOP_CLASSES.values()),
}
SYNTAXES: dict[TransferSyntax, str] = {
    "explicit": ExplicitVRLittleEndian, "rle": RLELossless, "jpeg-ls": JPEGLSLossless,
}  # fmt: skip
ALWAYS_MADE = (dicom_sr.KIND, secondary_capture.KIND)  # also where nobody asks yet: to be looked at, and sent later


def pointed_to(findings: Sequence[Finding], made: Sequence[ResultObject]) -> frozenset[str]:
    """The kinds of what was made that a report points to."""
    said: dict[str, type[Segmentation | HeatMap]] = {segmentation.KIND: Segmentation, parametric_map.KIND: HeatMap}
    kinds = {result.kind for result in made} & set(said)
    return frozenset(kind for kind in kinds if any(isinstance(finding, said[kind]) for finding in findings))


def wanted_flavours(
    kind: str, destinations: Sequence[Destination], pointed: frozenset[str] = frozenset()
) -> dict[Flavour, tuple[str, ...]]:
    """Each flavour in which a kind is to be made, with the names of its destinations; in the order of the page.

    A report points to a segmentation or a parametric map only where its destination is sent that too, and never into
    a label map: readers that are older than that SOP class refuse the whole report.
    """
    wanted: dict[Flavour, tuple[str, ...]] = {}
    for destination in destinations:
        if kind in destination.objects or destination.is_spare(kind):
            flavour = destination.flavour_of(kind)
            segments = destination.flavour_of(segmentation.KIND)
            points = pointed & set(destination.objects) if kind == dicom_sr.KIND else frozenset()
            if segmentation.KIND in points and segments.seg_flavour == "binary":
                flavour = flavour.model_copy(update={"segments": segments})
            if parametric_map.KIND in points:
                flavour = flavour.model_copy(update={"maps": destination.flavour_of(parametric_map.KIND)})
            wanted[flavour] = (*wanted.get(flavour, ()), destination.name)
    return wanted or ({Flavour(): ()} if kind in ALWAYS_MADE else {})


def most_flavours(destinations: Sequence[Destination]) -> int:
    """In how many flavours any one kind is wanted; at least 1."""
    pointed = frozenset({segmentation.KIND, parametric_map.KIND})
    return max(1, *(len(wanted_flavours(kind, destinations, pointed)) for kind in (*BUILDERS, *UNREAD)))


def build_objects(
    facts: RunFacts, kind: str, wanted: Mapping[Flavour, tuple[str, ...]], builder: Builder,
    before: Sequence[ResultObject] = (),
) -> list[ResultObject]:  # fmt: skip
    """The objects of a kind, in each flavour that is wanted; `before` are those that were made already.

    Raises:
        CannotBuild: the sources don't have what the kind needs.
    """
    made = []
    for number, (flavour, destinations) in enumerate(wanted.items()):
        segmentations = _along(facts, segmentation.KIND, flavour.segments, before)
        maps = _along(facts, parametric_map.KIND, flavour.maps, before)
        flavoured = replace(
            facts, flavour=flavour, flavour_number=number, segmentations=segmentations, maps=maps
        )  # fmt: skip
        for count, ds in enumerate(builder(flavoured), start=1):
            number_in_run = int(ds.InstanceNumber) if kind == not_analysed.KIND else count  # a notice has its own
            made.append(_to_result(ds, flavoured, kind, number_in_run, destinations))
    return made


def _along(facts: RunFacts, kind: str, flavour: Flavour | None, before: Sequence[ResultObject]) -> tuple[Dataset, ...]:
    """The objects of `kind` that go along in that flavour, without their pixels."""
    if flavour is None:
        return ()
    of_flavour = {sop_instance_uid_of(facts.run.id, kind, flavour, n) for n in range(1, len(before) + 1)}
    found = [result for result in before if result.kind == kind and result.identifier in of_flavour]
    return tuple(dcmread(BytesIO(result.content), stop_before_pixels=True) for result in found)


def _to_result(ds: Dataset, facts: RunFacts, kind: str, number: int, destinations: tuple[str, ...]) -> ResultObject:
    """`ds` as a DICOM file: Explicit VR Little Endian, which every destination takes, or as the flavour says."""
    content, meta = BytesIO(), FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(ds.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(ds.SOPInstanceUID)
    plain = Dataset(ds)
    plain.file_meta = meta
    remark = choose_character_set(plain, first_source(facts)) if facts.flavour.character_set == "source" else ""
    syntax = SYNTAXES[facts.flavour.transfer_syntax]
    if syntax != ExplicitVRLittleEndian and plain.get("BitsAllocated") in (8, 16) and "PixelData" in plain:
        plain.compress(syntax, generate_instance_uid=False)  # a bit mask has no such encoding (PS3.5 8.2)
    dcmwrite(content, plain, enforce_file_format=True)
    name = "_".join(part for part in (kind, facts.flavour.label, str(number)) if part)
    remark = f"{kind} for {' and '.join(destinations)} {remark}" if remark else ""
    return ResultObject(kind, str(ds.SOPInstanceUID), f"{name}.dcm", content.getvalue(), destinations, remark)
