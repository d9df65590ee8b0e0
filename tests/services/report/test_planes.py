"""Points of an image in the patient's coordinates, held against highdicom's own way."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from services.report.facts import ResultObject, RunFacts
from services.report.planes import images_with_regions, read_planes
from shared.findings import Code, Measurement, Region
from shared.imaging.frames import load_frames
from shared.imaging.planes import Plane
from shared.result_profiles import Flavour


def test_the_first_pixels_centre_is_the_image_position() -> None:
    plane = Plane((10.0, -20.0, 5.0), (0.8, 0.6, 0.0, -0.6, 0.8, 0.0), (2.0, 0.5))
    first, right, below = plane.points_mm([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)])
    assert first == pytest.approx((10.0, -20.0, 5.0))
    assert right - first == pytest.approx((0.4, 0.3, 0.0))  # one column is 0.5 mm along the row's direction
    assert below - first == pytest.approx((-1.2, 1.6, 0.0))  # one row is 2 mm along the column's direction


def test_a_region_in_patient_coordinates_lies_where_the_pixels_lie(
    mr_facts: RunFacts, mr_paths: list[Path], written: Callable[..., list[ResultObject]]
) -> None:
    frames = load_frames(mr_paths)
    image = frames[4].source
    points = ((10.0, 20.0), (30.0, 20.0), (30.0, 50.0), (10.0, 50.0))
    finding = Measurement(
        name="box", code=Code(value="42798000", scheme="SCT", meaning="Area"), package="p", version="1", value=1.0,
        unit="mm2", regions=(Region(image=image, graphic_type="POLYLINE", points=points),), sources=(image,),
    )  # fmt: skip
    planes = read_planes(images_with_regions([finding]), {f.source.sop_instance_uid: f.path for f in frames})
    facts = replace(mr_facts, findings=[finding], planes=planes)
    (made,) = written(facts, "SR", Flavour(region_coordinates="SCOORD3D"))
    (group,) = hd.sr.srread(BytesIO(made.content)).content.get_planar_roi_measurement_groups()
    source = pydicom.dcmread(frames[4].path)
    to_mm = hd.spatial.ImageToReferenceTransformer(
        source.ImagePositionPatient, source.ImageOrientationPatient, source.PixelSpacing
    )
    assert group.roi.value == pytest.approx(to_mm(np.array([*points, points[0]])), abs=1e-3)


def test_a_projection_keeps_its_pixels(dx_facts: RunFacts, written: Callable[..., list[ResultObject]]) -> None:
    assert dx_facts.planes == {}
    (made,) = written(dx_facts, "SR", Flavour(region_coordinates="SCOORD3D"))
    groups = hd.sr.srread(BytesIO(made.content)).content.get_planar_roi_measurement_groups()
    assert {type(group.roi) for group in groups} == {hd.sr.ImageRegion}
