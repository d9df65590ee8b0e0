"""Segments that are planted in the patient, sent to a real PACS and pulled back lie where they were planted, voxel by
voxel: for highdicom, and for dcmqi with SimpleITK.

What was planted is reckoned from the images' headers alone. Slices under a tilted gantry make no grid at right angles,
of which highdicom lays out no volume and dcmqi writes no file: there each frame's own position counts.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from scipy.spatial import cKDTree

from services.report.facts import ResultObject, RunFacts
from services.report.handlers import report
from services.report.planes import read_planes
from services.report.source_files import read_sources
from services.send.main import send_stage
from services.send.settings import Settings
from shared.findings import Placed, Segment, Segmentation
from shared.imaging.frames import load_frames
from shared.settings import Destination
from shared.store import open_book
from tests.orthanc import Orthanc
from tests.services.report.findings_by_hand import MADE_BY, Made, code
from tests.services.report.lies import LIES, SPACING, write_series
from tests.services.send.stand_ins import Post, free_port

pytestmark = pytest.mark.hospital
RADIUS = 18.0  # mm
ARMS = (22.0, 14.0, 30.0)  # of the marker, to the patient's left, back and head: no turn or mirror image fits another
SEGIMAGE = Path(sys.executable).with_name("segimage2itkimage")
Points = NDArray[np.float64]  # (n, 3), patient coordinates in mm


@dataclass
class Images:
    """A series, and of each image the patient coordinates of its pixels' centres (rows, columns, 3)."""

    paths: list[Path]
    at_right_angles: bool
    places: dict[str, Points]

    @property
    def middle(self) -> Points:
        return np.asarray(np.concatenate([p.reshape(-1, 3) for p in self.places.values()]).mean(axis=0))

    def planted(self, number: int) -> Points:
        """The voxels of the sphere (1) or of the marker (2)."""
        return np.concatenate([p[labels_at(p, self.middle) == number] for p in self.places.values()])


def labels_at(places: Points, middle: Points) -> NDArray[np.uint8]:
    """1 in a sphere off the middle, 2 in three arms that leave a corner to the left, the back and the head."""
    away = places - middle
    sphere = np.linalg.norm(away - (-14.2, 5.3, 8.1), axis=-1) < RADIUS
    away = away - (10.0, -20.0, -24.0)
    inside = (away > -3.5) & (away < 3.5)
    arms = [inside | ((np.arange(3) == axis) & (away > 0) & (away < length)) for axis, length in enumerate(ARMS)]
    marker = np.any([arm.all(axis=-1) for arm in arms], axis=0)
    return np.where(sphere, 1, np.where(marker, 2, 0)).astype(np.uint8)


def centres(ds: Dataset) -> Points:
    """PS3.3 C.7.6.2.1.1, of the header's own numbers."""
    row, column = np.reshape(np.array(ds.ImageOrientationPatient, float), (2, 3))
    down, across = (float(v) for v in ds.PixelSpacing)
    rows, columns = np.mgrid[: ds.Rows, : ds.Columns]
    return (
        np.array(ds.ImagePositionPatient, float) + columns[..., None] * across * row + rows[..., None] * down * column
    )


@pytest.fixture(params=LIES)
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Images:
    (tmp_path / "images").mkdir()
    paths = write_series(tmp_path / "images", LIES[request.param])
    upright = request.param != "tilted"
    return Images(paths, upright, {str(ds.SOPInstanceUID): centres(ds) for ds in map(dcmread, paths)})


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    running = Orthanc(tmp_path / "pacs", free_port())
    yield running
    running.stop()


def findings_of(images: Images, made: Made) -> list[Segmentation]:
    """Labels of both, and probabilities whose half is the sphere's surface."""
    frames = load_frames(images.paths)
    labels = np.stack([labels_at(images.places[f.source.sop_instance_uid], images.middle) for f in frames])
    faint = np.select([labels == 1, np.roll(labels, 2, axis=2) == 1], [0.75, 0.25], 0.0).astype(np.float32)
    sources = tuple(f.source for f in frames)

    def found(name: str, array: NDArray[Any], *segments: Segment, fractional: bool = False) -> Segmentation:
        return Segmentation(
            name=name, code=code("49755003", "Morphologically abnormal structure"), segments=segments, sources=sources,
            placed=Placed(array=made.put(name, array), images=sources), fractional=fractional, **MADE_BY,
        )  # fmt: skip

    sphere = Segment(number=1, name="sphere", code=code("4147007", "Mass"), colour="#ee6e32")
    marker = Segment(number=2, name="marker", code=code("441457006", "Cyst"), colour="#56b4e9")
    return [found("parts", labels, sphere, marker), found("faint", faint, sphere, fractional=True)]


def sent_and_pulled(objects: list[ResultObject], ways: list[Destination], folder: Path, pacs: Orthanc) -> list[Path]:
    """By send to the PACS and back: what the PACS gives for each object."""
    book = open_book(f"sqlite:///{folder}/isocenter.db")
    book.migrate()
    post = Post(book, folder)
    for made in objects:
        (folder / made.file_name).write_bytes(made.content)
        for destination in made.destinations:
            post.put(destination, made.kind, made.identifier, made.file_name)
    assert post.run(send_stage(book, folder, ways, Settings(), 2)) == len(objects)
    assert post.study().state == "delivered", post.study().reason
    book.close()
    (folder / "back").mkdir()
    back = {path.stem: path for path in pacs.pull(folder / "back")}
    assert set(back) == {made.identifier for made in objects}
    return [back[made.identifier] for made in objects]


def by_highdicom(path: Path) -> dict[int, Points]:
    """Each segment's voxels, by the positions of the frames."""
    seg = hd.seg.segread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    plane = Dataset()
    plane.Rows, plane.Columns = seg.Rows, seg.Columns
    plane.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
    plane.ImageOrientationPatient = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    found: dict[int, list[Points]] = {n: [] for n in seg.segment_numbers}
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, item in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        plane.ImagePositionPatient = item.PlanePositionSequence[0].ImagePositionPatient
        for number in found:
            found[number].append(centres(plane)[_covered(seg, frame, item, number)])
    return {number: np.concatenate(points) for number, points in found.items()}


def _covered(seg: hd.seg.Segmentation, frame: NDArray[Any], item: Dataset, number: int) -> NDArray[np.bool_]:
    if seg.SegmentationType == "LABELMAP":
        return frame == number
    if "SegmentIdentificationSequence" not in item:  # one segment for all of them
        item = seg.SharedFunctionalGroupsSequence[0]
    if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
        return np.zeros(frame.shape, bool)
    return frame >= (seg.MaximumFractionalValue / 2 if seg.SegmentationType == "FRACTIONAL" else 1)


def by_highdicoms_volume(path: Path) -> dict[int, Points]:
    """The same as highdicom itself lays it out."""
    seg = hd.seg.segread(path)
    found = {}
    for number in seg.segment_numbers:
        volume = seg.get_volume(segment_numbers=[number])
        index = np.argwhere(volume.array[..., 0] >= 0.5)
        found[number] = volume.map_indices_to_reference(index)
    return found


def by_dcmqi(path: Path, folder: Path, fractional: bool) -> dict[int, Points]:
    """dcmqi turns each segment into a file of its own with the segment's number, and a label map into one file with
    them all; of probabilities it gives the stored values. SimpleITK reads the files."""
    folder.mkdir()
    command = [SEGIMAGE, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for image in map(SimpleITK.ReadImage, folder.glob("*.nrrd")):
        array = SimpleITK.GetArrayFromImage(image)
        labels = (array >= 128).astype(int) if fractional else array
        matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        for number in set(labels.flat) - {0}:
            index = np.argwhere(labels == number)[:, ::-1]
            found[int(number)] = np.asarray(image.GetOrigin()) + index @ matrix.T
    return found


def is_planted(found: Points, planted: Points) -> None:
    """The same voxels: as many, so the same volume, and each in the place of one of its own."""
    assert len(found) == len(planted)
    away, nearest = cKDTree(planted).query(found)
    assert away.max() < 0.01 * min(SPACING)
    assert len(set(nearest)) == len(planted)
    assert np.abs(found.mean(axis=0) - planted.mean(axis=0)).max() < 0.1 * min(SPACING)


def everything_reported(facts: RunFacts, images: Images, ways: list[Destination]) -> list[ResultObject]:
    made = Made([])
    findings = findings_of(images, made)
    files = {frame.source.sop_instance_uid: frame.path for frame in load_frames(images.paths)}
    facts = replace(
        facts, findings=findings, sources=read_sources(images.paths), read=made.read, kinds=frozenset({"SEG"}),
        planes=read_planes(list(findings[0].sources), files),
    )  # fmt: skip
    done = report(facts, ways)
    assert not done.missing
    return done.objects


def test_a_sphere_and_a_marker_come_back(images: Images, pacs: Orthanc, mr_facts: RunFacts, tmp_path: Path) -> None:
    if not SEGIMAGE.exists():
        pytest.skip("dcmqi is not installed: pip install dcmqi")
    way = {"kind": "dicom", "host": "127.0.0.1", "port": pacs.port, "ae_title": "ORTHANC", "objects": ["SEG"]}
    ways = [
        Destination(name="masks", **way),
        Destination(name="thresholded", **way, seg_probabilities="thresholded"),
        Destination(name="maps", **way, seg_flavour="label-map", seg_probabilities="thresholded"),
    ]
    objects = everything_reported(mr_facts, images, ways)
    paths = sent_and_pulled(objects, ways, tmp_path, pacs)
    kinds = [str(dcmread(path).SegmentationType) for path in paths]
    assert kinds == ["BINARY", "FRACTIONAL", "BINARY", "BINARY", "LABELMAP", "LABELMAP"]
    for path, kind, segments in zip(paths, kinds, [{1, 2}, {1}] * 3, strict=True):
        read = [by_highdicom(path)]
        if images.at_right_angles:
            read += [by_highdicoms_volume(path), by_dcmqi(path, tmp_path / path.stem, kind == "FRACTIONAL")]
        for found in read:
            assert set(found) == segments
            for number, points in found.items():
                is_planted(points, images.planted(number))
