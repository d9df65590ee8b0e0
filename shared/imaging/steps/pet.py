"""The step that makes standardised uptake values of PET, and what it takes from the header."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from shared.imaging.grid import NoVolume
from shared.imaging.steps.register import step
from shared.imaging.volume import Volume

_DAY = timedelta(days=1)


@step()
def suv(volume: Volume) -> Volume:
    """SUV by body weight in g/ml, of Bq/ml after `modality_lut`; what is SUV already stays (PS3.3 C.8.9.1).

    The injected dose is taken as it was when the series began, which is what images decay-corrected to START are
    relative to (the QIBA profile of FDG-PET says it so).
    """
    if not volume.frames:
        raise NoVolume("SUV is made of DICOM only: there is no header here")
    factors = volume.by_slice([suv_factor(frame.header) for frame in volume.frames])
    return volume.with_array(volume.array * np.array(factors, np.float32)[None, :, None, None])


def suv_factor(header: Mapping[str, Any]) -> float:
    """What the values of one PET image are multiplied with.

    Raises:
        NoVolume: the header does not tell enough.
    """
    units = str(header.get("units", "")).upper()
    if units == "GML" and str(header.get("suv_type") or "BW").upper() == "BW":
        return 1.0
    if units != "BQML" or str(header.get("decay_correction", "")).upper() != "START":
        raise NoVolume(f"SUV can't be made of Units {units or 'unsaid'}, Decay Correction {_said(header)}")
    weight, dose = _number(header, "patient_weight"), _number(header, "radionuclide_total_dose")
    half_life, waited = _number(header, "radionuclide_half_life"), _uptake_seconds(header)
    return float(weight * 1000 / (dose * 2 ** (-waited / half_life)))


def _said(header: Mapping[str, Any]) -> str:
    return str(header.get("decay_correction") or "unsaid")


def _number(header: Mapping[str, Any], name: str) -> float:
    value = header.get(name)
    if not isinstance(value, int | float) or not value > 0:
        raise NoVolume(f"SUV needs {name.replace('_', ' ')}, which the header does not say")
    return float(value)


def _uptake_seconds(header: Mapping[str, Any]) -> float:
    """From the injection to the series' start, which is what its images are decay-corrected to."""
    begun = _time(header, "series_date", "series_time")
    acquired = _time(header, "acquisition_date", "acquisition_time")
    if begun is not None and acquired is not None and acquired < begun:
        raise NoVolume(
            "SUV can't be made of a series whose time lies behind its images': to when it was corrected is unsaid"
        )
    if begun is None:
        raise NoVolume("SUV needs the time at which the series began, which the header does not say")
    whole = str(header.get("radiopharmaceutical_start_date_time") or "")
    injected = _parsed(whole[:14], "%Y%m%d%H%M%S")
    if injected is None:
        clock = _parsed(str(header.get("radiopharmaceutical_start_time") or "")[:6], "%H%M%S")
        if clock is None:
            raise NoVolume("SUV needs the time of the injection, which the header does not say")
        injected = begun.replace(hour=clock.hour, minute=clock.minute, second=clock.second)
        injected -= _DAY if injected > begun else timedelta()
    if not timedelta() <= begun - injected < _DAY:
        raise NoVolume("SUV needs an injection before the series, within a day")
    return (begun - injected).total_seconds()


def _time(header: Mapping[str, Any], date: str, time: str) -> datetime | None:
    return _parsed(f"{header.get(date) or ''}{str(header.get(time) or '')[:6]}", "%Y%m%d%H%M%S")


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
