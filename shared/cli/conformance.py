"""Writes docs/conformance.md: the DICOM conformance statement (PS3.2 annex A), its tables from the code itself."""

import importlib
from collections.abc import Iterable
from typing import Any

from pydicom.uid import UID

from shared.cli.air import air_rows
from shared.result_profiles import PROFILES, FlavourSettings

INTRODUCTION = """\
# DICOM conformance statement

Written by `python -m shared.cli.conformance`; a test holds it together with the code. In the order of PS3.2's annex
A, for what exists. It describes Isocenter as it is configured by default; [configuration.md](configuration.md)
tells what can be set.

**Not for clinical use**: the packages that ship mark every object so.

## 1 Conformance overview

| network service | SCU | SCP |
| --- | --- | --- |
| Verification | no | yes |
| Storage | yes | yes |
| Storage Commitment (push model) | yes, where a destination asks for it | yes |
| Query/Retrieve, Worklist, MPPS, Unified Procedure Step | no | no |
| DICOMweb | no | no |

Media storage: none. HL7: ORM/OMG orders are taken and ORU^R01 v2.5.1 results are sent over MLLP (outside this
statement).

## 2 Implementation model

- **collect** is the Storage SCP: it takes images from modalities and the PACS. It opens an association only to
  answer a storage commitment request.
- **send** is the Storage SCU: it delivers result objects to each destination, one association for each object.

Between them no DICOM is exchanged; data flow as README.md draws it.

## 3 AE specifications
"""

SCP = """\
### 3.1 collect (Storage SCP, Verification SCP, Storage Commitment SCP)

- AE title `[collect] ae_title`; maximum PDU `maximum_pdu_bytes`; at most `most_associations` associations; no
  asynchronous operations.
- Every storage SOP class of the standard is taken, retired ones included, and private ones that
  `private_sop_classes` names: {count} in this version.
- Every transfer syntax of the standard is taken, and private ones that `private_transfer_syntaxes` names. Of
  several in one presentation context the sender's first is chosen. Bytes are kept as received: nothing is coerced,
  converted or decompressed.
- A C-STORE is answered 0x0000 when the bytes are on disk. 0xA700 out of resources; 0xA900 data set does not match
  SOP class; 0xC000 can't be understood; 0x0111 for other bytes under a known UID only where `duplicates =
  "refuse"`. What was refused is kept in quarantine with its reason.
"""

SCU = """\
### 3.2 send (Storage SCU, Storage Commitment SCU)

- Proposes the object's own SOP class in Explicit VR Little Endian and Implicit VR Little Endian; pictures,
  derived images and segmentations of a destination with `transfer_syntax = "rle"` or `"jpeg-ls"` in RLE Lossless or
  JPEG-LS Lossless alone. Called AE title, host and port are the destination's.
- Success is 0x0000 and the warnings 0x0107, 0x0116, 0xB000, 0xB006 and 0xB007. Refusals for want of resources, and
  what can't be reached, are tried again with growing delay (`most_attempts`); other refusals need a person. A
  repeat carries the same SOP Instance UID.
- An object whose SOP class is not accepted in negotiation, or is refused with 0x0122 or 0xA9xx, is replaced at a
  destination with `fallback = "SC"` by the Secondary Captures of its run, once. NASR is not: no picture says that
  there is no result.
- With `commitment = true` at a destination, an object counts as delivered only when the PACS has said that it keeps
  it.

SOP classes that are sent:

"""

PROFILES_INTRODUCTION = """\
### 3.3 What a destination is sent

`profile` of a destination expands to the settings below, each of which can be given alone. Without any of them: SR
(Comprehensive 3D, SCOORD) and SC. `ohif` is what OHIF 3.13 was seen to draw: it shows one instance of a SEG or PM
series, refuses FRACTIONAL, gives the segments of a label map their neighbours' colours, lays a map over an image only
on the image's grid and from 0 to 1, and shows no KOS.

"""

REST = """\
## 4 Result objects

- Patient and study are the source's: name, ID with its issuer, other IDs (Other Patient IDs Sequence), birth date, sex,
  age, size, weight; Study Instance UID, date, time, ID, description, accession number with its issuer, referring
  physician, procedure codes, institution, timezone. What breaks its VR or an enumeration is left out, and the run's
  reason names it. Where the images say nothing, the order does: accession number (OBR-18 or ORC), description (OBR-4),
  referring physician (PV1-8), and, where PID-3 has the images' Patient ID, name, birth date and sex. SR, KOS and NASR
  name each request of the images in Referenced Request Sequence, with the order's placer and filler numbers and OBR-4
  as code. Dates and times of creation are in the source's timezone where it names one, else in the system's.
- Series and instance UIDs (root 2.25) derive from run, kind, flavour and number: the same run gives the same objects.
  Manufacturer is `Isocenter`, the model is the package, the serial number its version; Software Versions have both
  versions.
- Series numbers begin after `[report] series_number` (9000), or thousands later where the study has such numbers
  itself. Runs of a study are 10 apart (the eleventh 100,000), several series of one kind 100 (the eleventh 1,000,000),
  flavours 1000.
- What a hanging protocol can match (Series Description begins so unless `series_description` says otherwise):

| kind | modality | Series Description | Content Label · title or concept name |
| --- | --- | --- | --- |
| SR | SR | AI report | 126000, DCM |
| SC | OT | AI picture |  |
| KOS | KO | AI key images | 113000, DCM |
| PDF | DOC | AI page | 18748-4, LN |
| SEG | SEG | AI segmentation | AI_SEGMENTATION |
| PM | OT | AI map | AI_MAP |
| GSPS | PR | AI presentation | AI_FINDINGS |
| DERIVED | MR | AI derived image |  |
| NASR | SR | AI not analysed | 126000, DCM |

(DERIVED has its source's modality; KOS is Quality Issue, 113010, DCM, for a series below its limits.)

- SR: TID 1500 with TID 1004 (device observer), TID 1600 (image library), TID 1410 and 1501 (measurement groups) and
  TID 4019 (algorithm identification). Where the package says it, a finding's groups name the Finding Site
  (363698007, SCT) with its Laterality (272741003, SCT). The tracking UID of
  a finding that is the only one of its name is kept over a patient's studies; that of a counted region keeps to
  its run.
  A length, angle or area with a geometry is inferred from its own coordinates (TID 320). A segment's group (TID 1411)
  points into the SEG where the destination is sent that too; never into a label map. A heat map's
  group names its PM in the same way.
- NASR: TID 1500 without findings. Analysis Performed (111004, DCM) is Not Attempted (111225, DCM) for a run that was
  held, Failed (111224, DCM) for one that was read without a finding that it is sure of, or that failed; beside it
  the coded reason and the gates' verdicts.
- KOS: TID 2010. Title Of Interest (113000, DCM), or Quality Issue (113010, DCM) for a series below its limits.
- SEG: BINARY, one segment for each finding with regions; of a segmented finding one instance with all its segments,
  BINARY, FRACTIONAL (probabilities; with `seg_probabilities = "thresholded"` BINARY, 0.5 and more) or, with
  `seg_flavour = "label-map"`, LABELMAP. Content Label `AI_SEGMENTATION`. Each instance has a series of its own.
  Frames lie in the source's frame of reference, by their place. Where the source names none, or its frames have no
  place, the segmentation names none either: each pixel is then that of the image which the frame's Derivation Image
  names (PS3.3 A.51.1 and A.51.5.1; a made-up frame of reference is not allowed here). Frames that are taken again in
  the same place stand in one instance, each with its own source frame, and are told apart by Stack ID; frames in
  several directions make an instance for each direction.
- PM: float values of a heat map on their own grid, with a real world value mapping; for images with a place in the
  patient. With `map_flavour = "overlay"` on the image's grid, as shares of the largest value. Content Label `AI_MAP`.
  Each instance has a series of its own, numbered 100 apart, as those of SEG are.
  A place is mandatory (A.75.5), so a projection has none; a series whose images give
  positions and name no frame of reference gets one of its own (C.7.4.1.1.1 gives each series one, A.75 does not ask
  for the source's), which no other object shares.
- SC: RGB, 1600 x 1300; with `sc_flavour = "multi-frame"`, where several images show a finding, Multi-frame True Color
  Secondary Capture of at most 60 frames, 1024 x 832: a score's worst images first, others in the order of the slices.
  Frame Increment Pointer is Page Number Vector; Source Image Sequence names the images in the order of the frames.
- DERIVED: images that a package derived of the source's, each on the grid, at the place and in the frame of reference
  of its source, with the source's instance number where these tell images apart. SOP class of the source for MR, CT,
  PET, CR, DX, MG (the last two for presentation) and the enhanced MR, CT and PET whose frames have a place; Secondary
  Capture, or Multi-frame Grayscale Word Secondary Capture, for others. Image Type DERIVED\\SECONDARY (PRIMARY where a
  class knows no other), Derivation Code Sequence with the finding's own code (CID 7203 is extended), Source Image
  Sequence (121322, DCM), Contributing Equipment: Acquisition Equipment (109101, DCM) as the source names it, and
  Processing Equipment (109102, DCM) with package and version. 16 bits; the step is a power of ten, and stands in Real
  World Value Mapping with unit and quantity. CT in HU and PET in Bq/ml or g/ml (SUV) have it as Rescale Slope too; all
  others have none (1, 0, US). The larger the brighter: MONOCHROME2. A source without a frame of reference gets the one
  that PM makes up for it. The use mark stands in Series Description, Image Comments, Content Qualification
  (RESEARCH, of enhanced classes) and, unless `derived_mark = "words"`, in the lowest tenth of the rows, in letters.
- GSPS: POLYLINE, POINT and CIRCLE (around a point) in PIXEL units, each with Tracking ID and Tracking UID of its group
  in the SR; text objects with the same numbers, anchored at them; one text object at the lower edge (DISPLAY units).
  One graphic layer, named after the package, with a recommended CIELab and grayscale value. Displayed area: the whole
  image, SCALE TO FIT, with the source's pixel spacing or aspect. Modality LUT, VOI LUT or window (the first of
  several; where there is none, by the values) and polarity (MONOCHROME1: INVERSE) are the source's. One for each
  group of images of one series, size, modality LUT and polarity; frames by their numbers. Content Label
  `AI_FINDINGS`. Grey images only. Display shutters, overlays and turns of the source's own presentation are not
  taken over. No ready profile asks for it: AIR's encodings are SR, SEG, PM and KOS, and OHIF 3.13 draws none.
- SC: Image Comments (0020,4000) say in text what the picture shows, and last the SHA-256 of its decoded pixels.
- PDF: A4, text as text, fonts embedded except CJK.
- Private coding scheme `99ISO`, identified in Coding Scheme Identification Sequence. No private attributes, no
  private SOP classes.

## 5 Character sets

Read: every one of PS3.3 C.12.1.1.2 that pydicom knows. UTF-8 that is declared as another set or not at all is read as
UTF-8; other bytes beyond ASCII that nothing declares as Latin-1. A text whose bytes are not of its declared set is left
out of the results, and the run's reason names the attribute.

Written: ISO_IR 192, or with `character_set = "source"` the source's own, with its code extensions. An object with a
letter that this set has not is written in ISO_IR 192, and the run's reason says so; our own signs (mm², °) are put in
plain letters instead. HL7: UTF-8 with MSH-18, or with `character_set = "source"` the set of the order's own message,
under the same condition.

Drawn (SC, PDF): Latin letters everywhere; other scripts in the machine's fonts (DejaVu, Noto, Loma, Droid, Nanum), CJK
in a PDF in the reader's own. What no font has is replaced by words that say so. Scripts from right to left are drawn in
SC and not in PDF.

## 6 Security

collect speaks TLS on a port of its own where `tls_port` is set (1.2 or newer, PS3.15 B.9), with senders' certificates
checked where `tls_client_authorities` names who signs them. send speaks no TLS. No user identity negotiation, no audit
trail messages of PS3.15. Calling AE titles can be limited (`calling_ae_titles`). Keep Isocenter inside the hospital's
network.

## 7 IHE AI Results (AIR)

No integration statement is claimed, and no Connectathon has been attended. What there is of each actor and
primitive, with the test of `tests/services/report/test_air_content.py` that reads it back from the objects of profile
`air`; the primitives are those of Gazelle's `AIR_Content_*` tests:

"""


def conformance() -> str:
    """The page, as Markdown. Services are looked up by name, since shared imports none of them."""
    contexts = importlib.import_module("services.collect.listening.contexts")
    kinds = importlib.import_module("services.report.result_kinds")
    taken = sorted(contexts.storage_sop_classes(), key=lambda uid: (UID(uid).name, uid))
    syntaxes = sorted(contexts.transfer_syntaxes(), key=lambda uid: (UID(uid).name, uid))
    sent = [[kind, UID(uid).name, uid] for kind, uids in kinds.SOP_CLASSES.items() for uid in uids]
    return "\n".join([
        INTRODUCTION, SCP.format(count=len(taken)), SCU + _table(["kind", "SOP class", "UID"], sent),
        PROFILES_INTRODUCTION + _profiles(),
        REST + _table(["actor, option or primitive", "state", "shown by"], air_rows()),
        "## Annex: SOP classes that are taken\n\n" + _uids(taken),
        "## Annex: transfer syntaxes that are taken\n\n" + _uids(syntaxes),
    ])  # fmt: skip


def _profiles() -> str:
    names = [
        "objects",
        "fallback",
        *(name for name in FlavourSettings.model_fields if any(name in p for p in PROFILES.values())),
    ]
    rows = [[f"`{profile}`", *(_said(given.get(name, "")) for name in names)] for profile, given in PROFILES.items()]
    return _table(["profile", *names], rows)


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _uids(uids: Iterable[str]) -> str:
    return _table(["name", "UID"], [[UID(uid).name if UID(uid).name != uid else "–", uid] for uid in uids])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    print(conformance(), end="")
