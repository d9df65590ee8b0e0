"""Values of derived images as stored ones of 16 bits: in which steps, with which meaning, and how they are shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom.pm import RealWorldValueMapping
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from services.report import codes
from services.report.burned_mark import burn
from services.report.derived_classes import ImageClass
from services.report.facts import CannotBuild, RunFacts
from services.report.identity import use_mark
from shared.findings import DerivedImage

_MOST, _MOST_SIGNED = 2**16 - 1, 2**15 - 1
_FINE = 1000  # steps over the values from which on a step of one is fine enough
_PERCENTILES = (1.0, 99.0)  # shown where nothing says how to look at it
_ENOUGH = 4_000_000  # pixels to look at for that
_OWN_UNITS = {
    ("CT", "[hnsf'U]"): "HU", ("PT", "Bq/mL"): "BQML", ("PT", "Bq/ml"): "BQML", ("PT", "g/mL"): "GML",
    ("PT", "g/ml"): "GML",
}  # fmt: skip


@dataclass(frozen=True)
class Steps:
    """value = (stored + first) · 10 to the `exponent`: a number that a decimal string holds exactly."""

    exponent: int
    first: int = 0
    signed: bool = False

    @property
    def step(self) -> float:
        return float(f"1e{self.exponent}")

    @property
    def offset(self) -> float:
        """The value that is stored as 0."""
        return float(f"{self.first}e{self.exponent}")

    def stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """The nearest steps, int16 or uint16."""
        steps = np.rint(np.asarray(values, np.float64) / self.step) - self.first
        return steps.astype(np.int16 if self.signed else np.uint16)


@dataclass(frozen=True)
class Look:
    """What the images of a series have in common: steps, the modality's `own` unit where they are in it, a window in
    values, what a value means, and the mark that stands in the pixels."""

    steps: Steps
    own: str
    window: tuple[float, float]
    meaning: Dataset
    mark: str

    @property
    def window_shown(self) -> tuple[float, float]:
        """The window as viewers take it: after the rescale, where there is one; at least 1 wide (PS3.3 C.11.2.1.2)."""
        centre, width = self.window
        if self.own:
            return centre, max(width, 1.0)
        return (centre - self.steps.offset) / self.steps.step, max(width / self.steps.step, 1.0)

    @property
    def ends(self) -> tuple[int, int]:
        """The stored values that are shown darkest and brightest."""
        centre, width = self.window
        held = np.iinfo(np.int16 if self.steps.signed else np.uint16)
        ends = ((centre + side * width / 2 - self.steps.offset) / self.steps.step for side in (-1, 1))
        low, high = (int(min(max(round(end), held.min), held.max)) for end in ends)
        return low, high


def look_of(
    facts: RunFacts, finding: DerivedImage, source: Dataset, planes: Sequence[NDArray[Any]],
    kinds: Sequence[ImageClass],
) -> Look:  # fmt: skip
    """
    Raises:
        CannotBuild: a value is not finite.
    """
    has_rescale = all(kind.has_rescale or kind.frame_type for kind in kinds)
    own = own_unit(str(source.get("Modality", "")), finding.unit) if has_rescale else ""
    steps = steps_for(
        *ends_of(planes, finding.range), unsigned=any(kind.unsigned for kind in kinds), rescaled=bool(own)
    )
    window = (first_window(source) if own == "HU" else None) or window_of(planes)
    mark = use_mark(facts) if facts.flavour.derived_mark == "burned-in" else ""
    return Look(steps, own, window, _meaning(finding, steps, planes), f"Derived · {mark}" if mark else "")


def _meaning(finding: DerivedImage, steps: Steps, planes: Sequence[NDArray[Any]]) -> Dataset:
    """What a stored value stands for, of the finding's quantity and in its unit (PS3.3 C.7.6.16.2.11)."""
    stored = [steps.stored(np.array([p.min(), p.max()])) for p in planes]
    return RealWorldValueMapping(
        lut_label=finding.name[:16], lut_explanation=finding.code.meaning[:64], unit=codes.unit(finding.unit),
        value_range=(min(int(s[0]) for s in stored), max(int(s[1]) for s in stored)), slope=steps.step,
        intercept=steps.offset, quantity_definition=codes.concept(finding.code),
    )  # fmt: skip


def fill_pixels(ds: Dataset, planes: Sequence[NDArray[Any]], look: Look) -> None:
    """Stored values, and the mark in each picture."""
    stored = look.steps.stored(np.stack(planes))
    if look.mark:
        for plane in stored:
            burn(plane, look.mark.upper(), *look.ends)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, int(look.steps.signed)
    ds.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"


def fill_look(ds: Dataset, look: Look, kind: ImageClass) -> None:
    """Rescale, meaning and window; of frames with functional groups in those that they share."""
    where = ds.SharedFunctionalGroupsSequence[0] if kind.frame_type else ds
    where.RealWorldValueMappingSequence = [look.meaning]
    window = Dataset()
    window.WindowCenter, window.WindowWidth = (f"{v:.6g}" for v in look.window_shown)
    if kind.frame_type:
        where.FrameVOILUTSequence, where.PixelValueTransformationSequence = [window], [_rescale(look)]
        return
    ds.update(window)
    if kind.has_rescale:
        ds.update(_rescale(look))
    if kind.sop_class_uid == PositronEmissionTomographyImageStorage:
        ds.Units = look.own or "NONE"
        del ds.RescaleType


def _rescale(look: Look) -> Dataset:
    """To the modality's own unit; else none, since viewers would name another (PS3.3 C.11.1)."""
    rescale = Dataset()
    rescale.RescaleIntercept = f"{look.steps.offset:g}" if look.own else "0"
    rescale.RescaleSlope = f"{look.steps.step:g}" if look.own else "1"
    rescale.RescaleType = "HU" if look.own == "HU" else "US"
    return rescale


def own_unit(modality: str, unit: str) -> str:
    """What viewers take rescaled values of the modality for, where `unit` (UCUM) is that: `HU`, or Units of PET."""
    return _OWN_UNITS.get((modality, unit), "")


def steps_for(low: float, high: float, unsigned: bool, rescaled: bool) -> Steps:
    """The finest power of ten in which 16 bits hold all from `low` to `high`; zero is stored as zero where it can be.

    Of what is not `rescaled`, viewers show the stored values: there a step is one where that is fine enough.

    Raises:
        CannotBuild: a value is not finite.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        raise CannotBuild("a derived image has values that are not finite")
    signed = low < 0 and not unsigned
    largest = max(abs(low), abs(high)) if not unsigned or low >= 0 else high - low
    most = _MOST_SIGNED if signed else _MOST - 1
    plain = largest == 0 or (not rescaled and _FINE <= largest <= most)
    exponent = 0 if plain else math.ceil(math.log10(largest / most))
    first = math.floor(low / float(f"1e{exponent}")) if unsigned and low < 0 else 0
    return Steps(exponent, first, signed)


def ends_of(planes: Sequence[NDArray[Any]], declared: tuple[float, float] | None) -> tuple[float, float]:
    """The least and the largest value that there may be."""
    low, high = min(float(p.min()) for p in planes), max(float(p.max()) for p in planes)
    return (min(low, declared[0]), max(high, declared[1])) if declared else (low, high)


def window_of(planes: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Centre and width, in values, that show a whole series alike."""
    every = max(1, round((sum(p.size for p in planes) / _ENOUGH) ** 0.5))
    looked_at = np.concatenate([p[::every, ::every].ravel() for p in planes])
    low, high = (float(v) for v in np.percentile(looked_at, _PERCENTILES))
    if high <= low:
        low, high = min(float(p.min()) for p in planes), max(float(p.max()) for p in planes)
    return (low + high) / 2, high - low


def first_window(source: Dataset) -> tuple[float, float] | None:
    """The source's own first window (PS3.3 C.11.2.1.2); None where it has none that is linear."""
    if source.get("VOILUTFunction", "LINEAR") != "LINEAR":
        return None
    centre, width = (_first(source.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    return (centre, width) if centre is not None and width is not None and width >= 1 else None


def _first(value: Any) -> float | None:
    several = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return None if not several or several[0] in (None, "") else float(several[0])
