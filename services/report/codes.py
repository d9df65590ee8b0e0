"""The coded concepts of the report that no finding brings along."""

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from services.report.identity import SCHEME
from shared.findings import Code

PRESENT = codes.SCT.Present
ABSENT = codes.SCT.Absent
AREA = codes.SCT.Area
PROBABILITY = codes.DCM.Probability
COMMENT = codes.DCM.Comment
QUALITY = codes.DCM.QualityAssessment
THRESHOLD = codes.DCM.ThresholdValue
SQUARE_MILLIMETRE = codes.UCUM.SquareMillimeter
LENGTH = codes.SCT.Length
VOLUME = codes.SCT.Volume
CERTAINTY = codes.DCM.CertaintyOfFinding

FINDING_SITE = codes.SCT.FindingSite
LATERALITY = codes.SCT.Laterality
BILATERAL = CodedConcept("51440002", "SCT", "Right and left")
SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right, "bilateral": BILATERAL}  # CID 244

QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
USE_MARK = CodedConcept("use-mark", SCHEME, "Use mark")
USE_MARK_VALUES = {"not-for-clinical-use": "not-clinical"}  # a code value has 16 characters at most (SH)
VERDICT = CodedConcept("verdict", SCHEME, "Gate verdict")
WARN_BELOW = CodedConcept("warn-below", SCHEME, "Warn below")
HOLD_BELOW = CodedConcept("hold-below", SCHEME, "Hold below")
GATE_SCORE = CodedConcept("gate-score", SCHEME, "Gate score")
AREA_SPACING = CodedConcept("area-spacing", SCHEME, "Spacing that the area rests on")
LENGTH_SPACING = CodedConcept("length-spacing", SCHEME, "Spacing that the length rests on")
MISSING_INPUT = CodedConcept("missing-input", SCHEME, "Made without this input")
GRADE = CodedConcept("grade", SCHEME, "Grade")
SLICE_WEIGHT = CodedConcept("slice-weight", SCHEME, "Weight of the image")
BIAS = CodedConcept("bias", SCHEME, "Bias")
COLUMN = CodedConcept("point-column", SCHEME, "Column of the point")
ROW = CodedConcept("point-row", SCHEME, "Row of the point")
PIXELS = CodedConcept("{pixels}", "UCUM", "Pixels")
NOT_SURE = CodedConcept("not-sure", SCHEME, "The package is not sure enough")
EXPLAINS = CodedConcept("explains", SCHEME, "Shows why")

_PROCEDURES = {
    "CT": codes.LN.CTUnspecifiedBodyRegion,
    "MR": codes.LN.MRIUnspecifiedBodyRegion,
    "NM": codes.LN.NMUnspecifiedBodyRegion,
    "PT": codes.LN.PETUnspecifiedBodyRegion,
    "CR": codes.LN.XRUnspecifiedBodyRegion,
    "DX": codes.LN.XRUnspecifiedBodyRegion,
}

SPACINGS = {  # meant are the source's attributes
    "PixelSpacing": CodedConcept("pixel-spacing", SCHEME, "PixelSpacing"),
    "ImagerPixelSpacing": CodedConcept("imager-spacing", SCHEME, "ImagerPixelSpacing"),
}


def own(value: str, meaning: str) -> CodedConcept:
    """A value of our own coding scheme."""
    return CodedConcept(value, SCHEME, meaning)


def concept(code: Code) -> CodedConcept:
    """A finding's code."""
    return CodedConcept(code.value, code.scheme, code.meaning[:64])


def unit(ucum: str) -> CodedConcept:
    """A UCUM unit; its meaning is the text that viewers print beside the number."""
    return CodedConcept(ucum, "UCUM", "no units" if ucum == "1" else ucum)


def procedure(modality: str) -> CodedConcept:
    """What was done, by modality alone (CID 100)."""
    return CodedConcept.from_code(_PROCEDURES.get(modality, codes.SCT.ImagingProcedure))
