"""A heat map comes back from its parametric map: the same values, and each where it lay over its image."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.uid import ParametricMapStorage

from services.report import parametric_map
from services.report.facts import CannotBuild, RunFacts
from services.report.planes import images_with_places, read_planes
from services.report.result_kinds import BUILDERS, build_objects
from services.report.source_files import read_sources
from shared.imaging.frames import load_frames
from shared.result_profiles import Flavour
from shared.uids import derived_uid
from tests.images import write_enhanced
from tests.services.report.findings_by_hand import Made, heat_map


def mapped(facts: RunFacts, paths: list[Path]) -> tuple[RunFacts, Made]:
    made, frames = Made([]), load_frames(paths)
    made.findings = [heat_map(made, frames)]
    planes = read_planes(images_with_places(made.findings), {f.source.sop_instance_uid: f.path for f in frames})
    return replace(facts, findings=made.findings, planes=planes, read=made.read), made


def test_values_and_places_come_back(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts, made = mapped(mr_facts, mr_paths)
    (result,) = build_objects(facts, "PM", {Flavour(): ()}, BUILDERS["PM"])
    ds = hd.imread(BytesIO(result.content))
    assert ds.SOPClassUID == ParametricMapStorage
    frames, mapping = load_frames(mr_paths), ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    spacing = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    wide, high = frames[0].columns - 4, frames[0].rows - 4
    assert [float(v) for v in spacing] == pytest.approx([high / 4 * 1.8, wide / 4 * 1.8])
    for n, frame in enumerate(frames):
        first = np.array(frame.position) + np.array([(2 + wide / 8 - 0.5) * 1.8, (2 + high / 8 - 0.5) * 1.8, 0])
        places = [f.PlanePositionSequence[0].ImagePositionPatient for f in ds.PerFrameFunctionalGroupsSequence]
        index = next(i for i, place in enumerate(places) if np.allclose([float(v) for v in place], first, atol=1e-3))
        assert np.array_equal(ds.pixel_array[index], made.arrays["heat"][n])


@pytest.mark.parametrize("ends", [(-1.0, 4.0), (2.0, 6.0), (-3.0, 0.0)])
def test_an_overlay_lies_on_the_images_grid_from_0_to_1(
    ends: tuple[float, float], mr_facts: RunFacts, mr_paths: list[Path]
) -> None:
    facts, made = mapped(mr_facts, mr_paths)
    made.arrays["heat"] = np.linspace(*ends, 16 * 12, dtype=np.float32).reshape(12, 4, 4)
    finding = facts.findings[0].model_copy(update={"range": ends})
    facts = replace(facts, findings=[finding])
    (result,) = build_objects(facts, "PM", {Flavour(map_flavour="overlay"): ()}, BUILDERS["PM"])
    ds = hd.imread(BytesIO(result.content))
    assert (ds.Rows, ds.Columns) == (facts.sources[0].Rows, facts.sources[0].Columns)
    assert ds.pixel_array.max() == pytest.approx(1.0 if ends[1] > 0 else 0.0)
    mapping = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    values = ds.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    assert sorted(set(np.round(values[:, 5:-5, 5:-5], 4).ravel())) == pytest.approx(
        sorted(set(np.round(made.arrays["heat"], 4).ravel())), abs=1e-3
    )
    assert (ds.pixel_array[values <= 0] <= 0).all(), "nothing is drawn where nothing speaks for it"


def test_a_replay_gives_the_same_bytes(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts, _ = mapped(mr_facts, mr_paths)
    once, again = (build_objects(facts, "PM", {Flavour(): ()}, BUILDERS["PM"]) for _ in range(2))
    assert once == again


def test_a_series_that_names_no_frame_of_reference_has_one_of_its_own(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts, _ = mapped(mr_facts, mr_paths)
    for source in facts.sources:
        del source.FrameOfReferenceUID
    (ds,) = parametric_map.build(facts)
    assert ds.FrameOfReferenceUID == derived_uid("frame of reference", str(facts.sources[0].SeriesInstanceUID))
    assert ds.NumberOfFrames == len(facts.sources)


def test_frames_that_are_taken_again_in_the_same_place(
    mr_facts: RunFacts, tmp_path: Path, dciodvfy: Callable[[bytes], list[str]]
) -> None:
    path = write_enhanced(tmp_path, [(5.0, 1), (5.0, 2), (9.0, 1)], FrameOfReferenceUID=derived_uid("frame"))
    facts, made = mapped(replace(mr_facts, sources=read_sources([path])), [path])
    (result,) = build_objects(facts, "PM", {Flavour(): ()}, BUILDERS["PM"])
    ds = hd.imread(BytesIO(result.content))
    frames = load_frames([path])
    assert dciodvfy(result.content) == []
    for item, values in zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True):
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        n = next(i for i, frame in enumerate(frames) if frame.source.frame == source.ReferencedFrameNumber)
        assert np.array_equal(values, made.arrays["heat"][n])
        assert item.PlanePositionSequence[0].ImagePositionPatient[2] == frames[n].position[2]


def test_a_projection_has_none(dx_facts: RunFacts, dx_paths: list[Path]) -> None:
    facts, _ = mapped(dx_facts, dx_paths)
    with pytest.raises(CannotBuild, match="say no place there"):
        parametric_map.build(facts)
