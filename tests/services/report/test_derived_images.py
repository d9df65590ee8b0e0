"""Derived images lie where their sources lie, hold the package's values, and can't be taken for the sources."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    PositronEmissionTomographyImageStorage,
)

from services.report.derived_pixels import steps_for
from services.report.facts import CannotBuild, ResultObject, RunFacts
from services.report.handlers import report
from services.report.planes import images_with_places, read_planes
from services.report.result_kinds import BUILDERS, SOP_CLASSES, build_objects
from services.report.source_files import read_sources
from shared.findings import DerivedImage, Placed
from shared.imaging.frames import load_frames
from shared.imaging.planes import Plane
from shared.own_results import is_own_result
from shared.phantoms import dicom
from shared.phantoms.pet_dicom import pet_series
from shared.result_profiles import Flavour
from shared.settings import Destination
from shared.use_marks import rows_of_mark
from tests.images import write_enhanced
from tests.services.report.findings_by_hand import Made, derived

WORDS = Flavour(derived_mark="words")
Dciodvfy = Callable[[bytes], list[str]]


def deriving(base: RunFacts, paths: list[Path], values: np.ndarray | None = None, **of_finding: object) -> RunFacts:
    """`base` with a derived image of all frames of `paths`."""
    made, frames = Made([]), load_frames(paths)
    finding = derived(made, frames)
    if values is not None:
        made.arrays["ramp"] = values.astype(np.float32)
        of_finding = {"range": None, **of_finding}
    finding = finding.model_copy(update=of_finding)
    planes = read_planes(images_with_places([finding]), {f.source.sop_instance_uid: f.path for f in frames})
    return replace(base, sources=read_sources(paths), findings=[finding], planes=planes, read=made.read)


def written(facts: RunFacts, flavour: Flavour = WORDS) -> list[ResultObject]:
    return build_objects(facts, "DERIVED", {flavour: ()}, BUILDERS["DERIVED"])


def opened(result: ResultObject) -> Dataset:
    ds = dcmread(BytesIO(result.content))
    assert ds.SOPClassUID in SOP_CLASSES["DERIVED"], "docs/conformance.md names it"
    return ds


def saved(datasets: list[Dataset], folder: Path) -> list[Path]:
    paths = []
    for ds in datasets:
        paths.append(folder / f"{ds.SOPInstanceUID}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def values_of(ds: Dataset) -> np.ndarray:
    """By the real world value mapping, which stands in every class."""
    groups = ds.get("SharedFunctionalGroupsSequence")
    (mapping,) = (groups[0] if groups else ds).RealWorldValueMappingSequence
    return ds.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept


def array_of(facts: RunFacts) -> np.ndarray:
    (finding,) = facts.findings
    assert isinstance(finding, DerivedImage)
    return facts.read(finding.placed.array)


@pytest.fixture
def ct_paths(tmp_path: Path) -> list[Path]:
    volume = np.random.default_rng(1).integers(-1024, 3072, (3, 64, 64)).astype(np.int16)
    visit = dicom.Visit(dicom.CHEST_PATIENT, "ACC-CT")
    return saved(dicom.ct_series(volume, visit, spacing_mm=(5.0, 0.8)), tmp_path)


def test_each_image_lies_on_its_source_and_holds_the_values(
    mr_facts: RunFacts, mr_paths: list[Path], tmp_path: Path, dciodvfy: Dciodvfy
) -> None:
    facts = deriving(mr_facts, mr_paths)
    results = written(facts)
    paths = saved([opened(result) for result in results], tmp_path)
    assert len(paths) == len(mr_paths)
    for ours, theirs, plane in zip(load_frames(paths), load_frames(mr_paths), array_of(facts), strict=True):
        assert Plane.of(ours) == Plane.of(theirs)
        ds, source = dcmread(ours.path), dcmread(theirs.path)
        assert ds.SOPClassUID == MRImageStorage
        assert ds.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert ds.InstanceNumber == source.InstanceNumber
        assert (ds.EchoTime, ds.ScanningSequence) == (source.EchoTime, source.ScanningSequence)
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert np.abs(values_of(ds) - plane).max() <= 0.0005 + 1e-6
    for result in results:
        assert dciodvfy(result.content) == []


def test_nobody_takes_it_for_the_source(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    ds, source = opened(written(deriving(mr_facts, mr_paths))[0]), dcmread(mr_paths[0])
    assert list(ds.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert (ds.SeriesNumber, ds.PatientID) == (9008, source.PatientID)
    assert "not for clinical use" in ds.SeriesDescription
    assert "Not for clinical use" in ds.ImageComments
    assert "A ramp, derived by by_hand 1.2.0" in ds.DerivationDescription
    assert ds.DerivationCodeSequence[0].CodeValue == "ramp-map"
    purpose = ds.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue
    taken, made = ds.ContributingEquipmentSequence
    assert (purpose, taken.Manufacturer, made.SoftwareVersions) == ("121322", source.Manufacturer, "1.2.0")
    assert is_own_result({"manufacturer": ds.Manufacturer}), "it would be read as an image, were it to come back"


def test_the_use_mark_stands_in_the_lowest_rows_alone(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts = deriving(mr_facts, mr_paths)
    plain, marked = (opened(written(facts, f)[3]).pixel_array for f in (WORDS, Flavour()))
    rows, _ = np.nonzero(plain != marked)
    assert rows.min() >= len(plain) - rows_of_mark(len(plain))
    assert len(set(marked[plain != marked])) == 2
    cleared = replace(facts, findings=[facts.findings[0].model_copy(update={"use_mark": ""})])
    assert (opened(written(cleared, Flavour())[3]).pixel_array == plain).all()


def test_a_run_of_derived_images_alone_lacks_no_picture(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    pacs = Destination(name="p", kind="dicom", host="h", port=104, ae_title="A", objects=["SC", "DERIVED"])
    done = report(replace(deriving(mr_facts, mr_paths), pictures={}), [pacs])
    assert done.missing == []
    assert {result.kind for result in done.objects} == {"SR", "DERIVED"}


def test_ct_is_in_hounsfield_units_by_its_rescale_and_windowed_as_its_source(
    mr_facts: RunFacts, ct_paths: list[Path], dciodvfy: Dciodvfy
) -> None:
    values = np.linspace(-1024.0, 3071.0, 3 * 64 * 64, dtype=np.float32).reshape(3, 64, 64)
    facts = deriving(mr_facts, ct_paths, values, unit="[hnsf'U]")
    for result, plane, path in zip(written(facts), values, ct_paths, strict=True):
        ds, source = opened(result), dcmread(path)
        assert (ds.SOPClassUID, ds.RescaleType) == (CTImageStorage, "HU")
        assert np.abs(ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept - plane).max() <= 0.05 + 1e-6
        assert np.array_equal(ds.pixel_array * ds.RescaleSlope, values_of(ds))
        assert (ds.WindowCenter, ds.WindowWidth) == (source.WindowCenter, source.WindowWidth)
        assert dciodvfy(result.content) == []


def test_values_in_another_unit_are_not_called_hounsfield(mr_facts: RunFacts, ct_paths: list[Path]) -> None:
    ds = opened(written(deriving(mr_facts, ct_paths))[0])
    assert (ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType) == (1, 0, "US")
    (mapping,) = ds.RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.MeasurementUnitsCodeSequence[0].CodeValue) == (0.001, "1")


def test_pet_keeps_what_suv_is_computed_of(mr_facts: RunFacts, tmp_path: Path, dciodvfy: Dciodvfy) -> None:
    suv = np.random.default_rng(2).random((3, 64, 64), np.float32) * 20
    paths = saved(pet_series(suv, dicom.Visit(dicom.CHEST_PATIENT, "ACC-PT"), spacing_mm=(4.0, 4.0)), tmp_path)
    values = np.stack([frame.pixels() for frame in load_frames(paths)])
    for result, plane, path in zip(
        written(deriving(mr_facts, paths, values, unit="Bq/ml")), values, paths, strict=True
    ):
        ds, source = opened(result), dcmread(path)
        assert (ds.SOPClassUID, ds.Units, ds.RescaleIntercept) == (PositronEmissionTomographyImageStorage, "BQML", 0)
        assert (ds.SeriesTime, ds.DecayCorrection) == (source.SeriesTime, source.DecayCorrection)
        assert ds.RadiopharmaceuticalInformationSequence == source.RadiopharmaceuticalInformationSequence
        assert np.abs(ds.pixel_array * ds.RescaleSlope - plane).max() <= ds.RescaleSlope * 0.5001
        assert dciodvfy(result.content) == []


@pytest.mark.parametrize("sop_class", [DigitalXRayImageStorageForPresentation, ComputedRadiographyImageStorage])
def test_a_radiograph(
    sop_class: str, mr_facts: RunFacts, dx_paths: list[Path], tmp_path: Path, dciodvfy: Dciodvfy
) -> None:
    source = dcmread(dx_paths[0])
    source.SOPClassUID, source.file_meta.MediaStorageSOPClassUID = sop_class, sop_class
    source.LossyImageCompression, source.LossyImageCompressionRatio = "01", 12.5
    facts = deriving(mr_facts, saved([source], tmp_path))
    (result,) = written(facts)
    ds = opened(result)
    assert (ds.SOPClassUID, ds.PhotometricInterpretation) == (sop_class, "MONOCHROME2")
    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio) == ("01", 12.5)
    assert np.abs(values_of(ds) - array_of(facts)[0]).max() <= 0.0005 + 1e-6
    assert (ds.PixelRepresentation == 0) is (sop_class == DigitalXRayImageStorageForPresentation)
    assert ds.ImagerPixelSpacing == source.ImagerPixelSpacing
    assert dciodvfy(result.content) == []


def test_a_package_that_reads_single_images_makes_one_series(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts = deriving(mr_facts, mr_paths)
    (whole,), array = facts.findings, array_of(facts)
    made = Made([])
    for n, image in enumerate(whole.placed.images):
        placed = Placed(array=made.put(f"ramp_{n}", array[n : n + 1] * (n + 1)), images=(image,))
        made.findings.append(whole.model_copy(update={"placed": placed, "range": None}))
    documents = [opened(r) for r in written(replace(facts, findings=made.findings, read=made.read))]
    assert len({ds.SeriesInstanceUID for ds in documents}) == 1
    assert len({ds.RealWorldValueMappingSequence[0].RealWorldValueSlope for ds in documents}) == 1
    for ds in documents:
        n = [i.sop_instance_uid for i in whole.placed.images].index(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)
        assert np.allclose(values_of(ds), array[n] * (n + 1), atol=0.01)


def test_two_outputs_are_two_series(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts = deriving(mr_facts, mr_paths)
    other = facts.findings[0].model_copy(update={"name": "other"})
    results = written(replace(facts, findings=[*facts.findings, other]))
    documents = [opened(result) for result in results]
    assert {ds.SeriesNumber for ds in documents} == {9008, 9108}
    assert len({ds.SeriesInstanceUID for ds in documents}) == 2
    assert len({result.file_name for result in results}) == len({r.identifier for r in results}) == 24


def test_numbers_that_do_not_tell_images_apart_are_given_anew(
    mr_facts: RunFacts, mr_paths: list[Path], tmp_path: Path
) -> None:
    sources = [dcmread(path) for path in mr_paths[:3]]
    for source in sources:
        source.InstanceNumber = 7
    documents = [opened(r) for r in written(deriving(mr_facts, saved(sources, tmp_path)))]
    assert [ds.InstanceNumber for ds in documents] == [1, 2, 3]


def test_frames_lie_on_their_sources(mr_facts: RunFacts, tmp_path: Path) -> None:
    path = write_enhanced(tmp_path, [(5.0, 1), (5.0, 2), (9.0, 1)], FrameOfReferenceUID="1.2.3")
    values = np.arange(3 * 1000).reshape(3, -1)[:, :1, None]
    shape = dcmread(path).pixel_array.shape
    facts = deriving(mr_facts, [path], np.broadcast_to(values, shape).copy())
    (result,) = written(facts)
    ds, frames = opened(result), load_frames([path])
    (tmp_path / "derived.dcm").write_bytes(result.content)
    assert (ds.SOPClassUID, ds.NumberOfFrames, ds.FrameOfReferenceUID) == (EnhancedMRImageStorage, 3, "1.2.3")
    for ours in load_frames([tmp_path / "derived.dcm"]):
        item = ds.PerFrameFunctionalGroupsSequence[ours.frame_index]
        named = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        n = next(i for i, frame in enumerate(frames) if frame.source.frame == named)
        assert Plane.of(ours) == Plane.of(frames[n])
        assert (values_of(ds)[ours.frame_index] == array_of(facts)[n]).all()


def test_frames_without_a_place_become_a_capture(mr_facts: RunFacts, tmp_path: Path, dciodvfy: Dciodvfy) -> None:
    path = write_enhanced(tmp_path, [(5.0, 1), (9.0, 1)], FrameOfReferenceUID="1.2.3")
    facts = replace(deriving(mr_facts, [path]), planes={})
    (result,) = written(facts)
    ds = opened(result)
    assert ds.SOPClassUID == MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    assert np.abs(values_of(ds) - array_of(facts)).max() <= 0.0005 + 1e-6
    assert dciodvfy(result.content) == []


@pytest.mark.parametrize("syntax", ["rle", "jpeg-ls"])
def test_lossless_transfer_syntaxes_keep_every_value(syntax: str, mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts = deriving(mr_facts, mr_paths)
    plain, packed = (opened(written(facts, Flavour(transfer_syntax=s))[0]) for s in ("explicit", syntax))
    assert packed.file_meta.TransferSyntaxUID != plain.file_meta.TransferSyntaxUID
    assert (packed.pixel_array == plain.pixel_array).all()


def test_a_replay_gives_the_same_bytes(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts = deriving(mr_facts, mr_paths)
    assert written(facts) == written(facts)


@pytest.mark.parametrize(
    ("low", "high", "unsigned", "rescaled", "step"),
    [
        (0.0, 4000.0, False, False, 1.0),  # viewers show the value itself
        (0.0, 4000.0, False, True, 0.1),
        (0.0, 0.003, False, False, 1e-7),
        (-1024.0, 3071.0, False, True, 0.1),
        (-3.5, 12.5, True, False, 0.001),
        (0.0, 1e7, False, False, 1000.0),
        (0.0, 0.0, False, False, 1.0),
    ],
)
def test_steps_are_the_finest_power_of_ten_that_fits(
    low: float, high: float, unsigned: bool, rescaled: bool, step: float
) -> None:
    steps = steps_for(low, high, unsigned, rescaled)
    assert steps.step == step
    values = np.linspace(low, high, 997)
    again = steps.stored(values) * steps.step + steps.offset
    assert np.abs(again - values).max() <= steps.step * 0.5000001
    assert steps.signed is (low < 0 and not unsigned)


def test_what_is_no_number_is_no_image(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    values = np.full((12, 128, 128), np.nan)
    with pytest.raises(CannotBuild, match="not finite"):
        written(deriving(mr_facts, mr_paths, values))
