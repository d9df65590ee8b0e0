"""Every package over images of every sort, for every profile: other people's readers and validators find no error in
any object, and what is computed again agrees.

Objects lie in one folder for each kind of images, so that each validator starts once for many.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from services.report.facts import RunFacts
from services.report.handlers import images_to_draw, report
from services.report.planes import images_with_places, images_with_regions, read_planes
from services.report.result_files import write_results
from services.report.source_display import read_displays
from services.report.source_files import read_pictures
from services.report.source_header import spacing_of
from shared.arrays import write_array
from shared.cli.main import app
from shared.findings import DerivedImage
from shared.imaging.frames import Frame, load_frames
from shared.packages.folder import load_package
from shared.result_profiles import ProfileName
from shared.settings import Destination
from tests.services.report.findings_by_hand import Made, every_kind
from tests.services.report.findings_of_packages import findings_of

pytestmark = [pytest.mark.bench, pytest.mark.hospital, pytest.mark.timeout(900)]
PACKAGES = Path(__file__).parents[3] / "model_repository"
SOURCES = {
    "cr": "xray_2d/RG1_J2KI.dcm",
    "dx": "xray_2d/dx_image.dcm",
    "oblique_mr": "series/mr_brain_t1_philips_elition/1301_001*.dcm",
    "enhanced_mr": "enhanced_multiframe/MOVEKNEE.dcm",
    "gantry_tilt_ct": "series_irregular/ct_gantry_tilt_siemens/*",
    "big_endian_mr": "transfer_syntax/MR_small_bigendian.dcm",
    "japanese_cr": "charset/chrJapMulti.dcm",
}
DESTINATIONS = [
    *(
        Destination(name=profile, profile=profile, kind="dicom", host="h", port=104, ae_title="A")
        for profile in get_args(ProfileName)
    ),
    Destination(
        name="pixels",
        objects=["DERIVED", "SC"],
        derived_mark="words",
        sc_flavour="multi-frame",
        transfer_syntax="rle",
        kind="dicom",
        host="h",
        port=104,
        ae_title="A",
    ),
    Destination(name="ris", kind="mllp", host="h", port=2575),
]
# images that lie nowhere have no map, and those without pixels can't be drawn
NOWHERE = (
    "no PM: a parametric map lies in the patient",
    "no SC: none of the images",
    "no GSPS: a presentation state is of grey",
)
# its release knows the context group of before this code was added (PS3.16 CID 100)
NEWER_THAN_PIXELMED = 'Code (43468-8,LN,"XR unspecified body region") not found in context group 100'
PIXELMED = """
import sys, jpype
limits = [f"-Djdk.xml.xpath{name}=0" for name in ("ExprGrpLimit", "ExprOpLimit", "TotalOpLimit")]
jpype.startJVM(*limits, classpath=["/usr/share/java/pixelmed.jar"])
validator = jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
for path in sys.argv[1:]:
    report = jpype.JClass("com.pixelmed.dicom.AttributeList")()
    report.read(path)
    for line in str(validator.validate(report)).splitlines():
        print(path, line)
"""


@dataclass
class Images:
    """Images of one sort, and everything that is made of them: `results` has a folder for each package."""

    name: str
    paths: list[Path]
    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def objects(self) -> list[Path]:
        return sorted(self.results.rglob("*.dcm"))


@pytest.fixture(scope="module", params=SOURCES)
def images(
    request: pytest.FixtureRequest, bench: Path, build_facts: Callable[..., RunFacts],
    tmp_path_factory: pytest.TempPathFactory,
) -> Images:  # fmt: skip
    """What every package, and one that says every kind of finding, makes of the images for all profiles together."""
    paths = sorted(p for p in (bench / "data/dicom").glob(SOURCES[request.param]) if p.is_file())[:4]
    made = Images(request.param, paths, tmp_path_factory.mktemp(request.param))
    base, frames = build_facts(paths), load_frames(paths)
    for facts in runs_of(base, frames):
        done = report(facts, DESTINATIONS)
        assert all(reason.startswith(NOWHERE) for reason in done.missing), (made.name, facts.run.package, done.missing)
        write_results(made.results / facts.run.package, done.objects)
        keep_arrays(made.results / facts.run.package, facts)
    held = report(replace(base, outcome="held", findings=[], pictures={}), DESTINATIONS)
    assert {o.kind for o in held.objects} == {"NASR", "ORU"}
    write_results(made.results / "held", held.objects)
    (made.folder / "images").mkdir()
    for path in paths:
        shutil.copy(path, made.folder / "images")
    return made


def keep_arrays(folder: Path, facts: RunFacts) -> None:
    """The arrays of derived images lie beside the objects, as infer keeps them."""
    for n, finding in enumerate((f for f in facts.findings if isinstance(f, DerivedImage)), start=1):
        write_array(folder.parent, folder, f"{finding.name}_{n}", facts.read(finding.placed.array))


def runs_of(base: RunFacts, frames: list[Frame]) -> Iterator[RunFacts]:
    spacing = (spacing_of(base.sources[0]) or ("", None))[1]
    yield run_of(base, frames, every_kind(frames, spacing), "by_hand", "Every kind of finding")
    for folder in sorted(p for p in PACKAGES.iterdir() if (p / "package.toml").is_file()):
        manifest, made = load_package(folder).manifest, Made([])
        findings_of(manifest, made, frames, spacing)
        yield run_of(base, frames, made, manifest.package.name, manifest.package.title)


def run_of(base: RunFacts, frames: list[Frame], made: Made, package: str, title: str) -> RunFacts:
    files = {f.source.sop_instance_uid: f.path for f in frames}
    run = base.run.model_copy(update={"id": f"{package} of {base.study.study_instance_uid}", "package": package})
    return replace(
        base, run=run, title=title, findings=made.findings, read=made.read,
        pictures=read_pictures(images_to_draw(made.findings, made.read, DESTINATIONS), files)[0],
        planes=read_planes(images_with_places(made.findings), files),
        displays=read_displays(images_with_regions(made.findings), files),
    )  # fmt: skip


def test_others_find_no_error_and_what_is_computed_again_agrees(
    images: Images, bench: Path, hospital_home: Path, tmp_path: Path
) -> None:
    """In one test: making what is looked at takes longer than looking, and tests of a module may be spread."""
    the_hospitals_check_finds_no_error(images, bench, hospital_home, tmp_path)
    dciodvfy_finds_no_error_in_derived_images(images)
    verify_results_agrees(images)
    dcmtk_reads_every_report(images)


def the_hospitals_check_finds_no_error(images: Images, bench: Path, hospital_home: Path, tmp_path: Path) -> None:
    names = {f"{path.parent.name}-{path.name}" for path in images.objects if not path.name.startswith("DERIVED")}
    for path in images.objects:
        shutil.copy(path, tmp_path / f"{path.parent.name}-{path.name}")  # it says names without their folders
    command = [hospital_home / "venv/bin/python", bench / "hospital/check.py", tmp_path, images.folder / "images"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    wrong = [n for n, line in enumerate(said) if line.startswith("FAIL") and line.split()[-1] in names]
    assert not wrong, "\n".join(line for n in wrong for line in said[n : n + 8])
    valid = {line.split()[-1] for line in said if line.startswith("ok ")}
    assert valid >= names, done.stdout + done.stderr  # real sources have faults of their own


def dciodvfy_finds_no_error_in_derived_images(images: Images) -> None:
    """The hospital's check looks at what is no image of a scanner's kind; references are held by verify-results."""
    derived = [path for path in images.objects if path.name.startswith("DERIVED")]
    assert len(derived) >= 2, "in the pixels of two flavours: with the mark and without"
    for path in derived:
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        wrong = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert not wrong, f"{path.name}: {wrong}"


def dcmtk_reads_every_report(images: Images) -> None:
    if not shutil.which("dsrdump"):
        pytest.skip("dsrdump (dcmtk) is not installed")
    reports = [path for path in images.objects if path.name.startswith(("SR", "NASR", "KOS"))]
    assert {path.name.split("_")[0] for path in reports} == {"SR", "NASR", "KOS"}
    done = subprocess.run(["dsrdump", *reports], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if not line.startswith("W: ")]


def verify_results_agrees(images: Images) -> None:
    done = CliRunner().invoke(app, ["verify-results", str(images.results), "--images", str(images.folder / "images")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("images", ["oblique_mr", "dx"], indirect=True)
def test_pixelmed_recognises_the_template_and_finds_no_error(images: Images) -> None:
    """The report that says most, which takes ten seconds; of one sort of images also those of the other templates."""
    pytest.importorskip("jpype", reason="JPype, which starts PixelMed's validator, is not installed")
    if not Path("/usr/share/java/pixelmed.jar").exists():
        pytest.skip("PixelMed (Debian's pixelmed-apps) is not installed")
    reports = [next((images.results / "by_hand").glob("SR_SCOORD3D*.dcm"))]
    if images.name == "oblique_mr":
        reports += [images.results / "by_hand/SR_enhanced_1.dcm", images.results / "held/NASR_enhanced_1.dcm"]
    done = subprocess.run([sys.executable, "-c", PIXELMED, *reports], capture_output=True, text=True, check=False)
    assert done.stdout.count("Found Root Template TID_1500") == len(reports), done.stdout[-2000:] + done.stderr
    wrong = [line for line in done.stdout.splitlines() if "Error" in line and not line.endswith(NEWER_THAN_PIXELMED)]
    assert not wrong, "\n".join(wrong)
