"""Wraps generated PET volumes into the DICOM objects that a scanner would send."""

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import PositronEmissionTomographyImageStorage

from shared.phantoms.dicom import Visit, coded, composite, position, put_pixels

WEIGHT_KG, DOSE_BQ, HALF_LIFE_S, UPTAKE_S = 70.0, 300e6, 6586.2, 3600
_MOST_STORED = 32767


def pet_series(
    suv: NDArray[np.float32], visit: Visit, *, spacing_mm: tuple[float, float], series_number: int = 1
) -> list[Dataset]:
    """An axial FDG PET series (Positron Emission Tomography Image Storage) in Bq/ml of `suv`, (slices, rows, columns).

    SUV by body weight is what was measured, over the injected dose that is left at the series' start, times the weight
    (PS3.3 C.8.9.1); each slice has a rescale slope of its own.

    Args:
        visit: whose study; series of one visit share study and frame of reference.
        spacing_mm: from slice to slice, feet first, and from pixel to pixel.
        series_number: tells the series of a visit apart, and so their UIDs.

    Raises:
        ValueError: for a volume that is not three-dimensional, or holds negative uptake.
    """
    if suv.ndim != 3 or suv.min() < 0:
        raise ValueError("a volume has three dimensions and holds no negative uptake")
    left = DOSE_BQ * 0.5 ** (UPTAKE_S / HALF_LIFE_S)
    activity = suv.astype(np.float64) * left / (WEIGHT_KG * 1000)
    return [_slice(activity, visit, index, series_number, spacing_mm) for index in range(len(activity))]


def _slice(
    activity: NDArray[np.float64], visit: Visit, index: int, number: int, spacing_mm: tuple[float, float]
) -> Dataset:
    ds = composite(visit, PositronEmissionTomographyImageStorage, "PT", ("series", str(number)), index + 1)
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "PET FDG", "FDG attenuation corrected", "FDG"
    ds.SeriesNumber, ds.BodyPartExamined = number, "WHOLEBODY"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = visit.uid("frame"), None
    orientation = (1, 0, 0, 0, 1, 0)
    ds.ImageOrientationPatient = list(orientation)
    ds.ImagePositionPatient = position(
        activity.shape[1:], index, len(activity), spacing_mm, orientation, (0, 0, 1)
    )  # fmt: skip
    ds.SliceLocation = round((index - (len(activity) - 1) / 2) * spacing_mm[0], 3)
    ds.SliceThickness, ds.PixelSpacing = round(spacing_mm[0], 6), [round(spacing_mm[1], 6)] * 2
    _of_tracer(ds, visit)
    slope = float(f"{max(float(activity[index].max()), 1.0) / _MOST_STORED:.8g}")
    ds.RescaleIntercept, ds.RescaleSlope = 0, slope
    put_pixels(ds, np.round(activity[index] / slope).astype(np.uint16))
    ds.BitsStored, ds.HighBit = 16, 15
    return ds


def _of_tracer(ds: Dataset, visit: Visit) -> None:
    """What was injected and when, and how the counts were corrected: what SUV is computed of."""
    ds.PatientWeight, ds.PatientSize = WEIGHT_KG, 1.72
    series = visit.started.strftime("%H%M%S")
    ds.SeriesTime, ds.AcquisitionTime = series, series
    ds.SeriesType, ds.Units, ds.CountsSource, ds.DecayCorrection = ["WHOLE BODY", "IMAGE"], "BQML", "EMISSION", "START"
    ds.NumberOfSlices, ds.ImageIndex, ds.FrameReferenceTime, ds.ActualFrameDuration = 1, ds.InstanceNumber, 0, 120000
    ds.CorrectedImage, ds.CollimatorType, ds.RandomsCorrectionMethod = ["DECY", "ATTN"], "NONE", "NONE"
    ds.AttenuationCorrectionMethod, ds.ScatterCorrectionMethod = "made up", "none"
    ds.ReconstructionMethod, ds.DecayFactor = "made up", 1.0
    injection = Dataset()
    injected = visit.started - timedelta(seconds=UPTAKE_S)
    injection.RadiopharmaceuticalStartTime = injected.strftime("%H%M%S")
    injection.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S")
    injection.RadionuclideTotalDose, injection.RadionuclideHalfLife = DOSE_BQ, HALF_LIFE_S
    injection.RadionuclidePositronFraction, injection.Radiopharmaceutical = 0.97, "FDG"
    injection.RadionuclideCodeSequence = [coded(Code("77004003", "SCT", "^18^Fluorine"))]
    ds.RadiopharmaceuticalInformationSequence = [injection]
    recumbent = coded(codes.SCT.Recumbent)
    recumbent.PatientOrientationModifierCodeSequence = [coded(codes.SCT.Supine)]
    ds.PatientOrientationCodeSequence = [recumbent]
    ds.PatientGantryRelationshipCodeSequence = [coded(codes.SCT.Headfirst)]
