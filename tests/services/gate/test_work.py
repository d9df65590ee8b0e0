"""A study is gated as a whole: real packages on a real Triton, results in the book, runs on their way."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from services.gate.settings import Settings
from services.gate.work import Gates
from shared.findings import QualityScore, load_findings
from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import Patient, Visit, dx_image, mr_series
from shared.phantoms.motion import corrupt
from shared.serving import Models, open_models
from shared.settings import GateThresholds
from shared.stage import Retry, Stage, run_next
from shared.store import Book, GateResult, Run, Study
from shared.store.moves import move
from shared.study import RunEvent, RunState, StudyEvent, StudyState
from tests.images import write_slices
from tests.served import REPOSITORY, gating, packages, run_of, triton
from tests.servers import listens

MOTION, CHEST, SAGE = ("motion_ssim", "gate"), ("chest_opacity", "reader"), ("sage_chest_opacity", "gate")
PLAIN = ("not_installed", "reader")  # held to the plain gates alone


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path) -> Iterator[Models]:
    with triton(tmp_path_factory.mktemp("triton"), triton_environment) as served:
        yield served


@pytest.fixture
def away() -> Iterator[Models]:
    """A Triton that is not there."""
    port = next(port for port in itertools.count(46000) if not listens(port))
    models = open_models(f"127.0.0.1:{port}", REPOSITORY)
    yield models
    models.close()


def gates(book: Book, store: Path, models: Models, **thresholds: GateThresholds) -> Gates:
    return Gates(book, store, packages(), models, 20.0, Settings(), thresholds)


def work(book: Book, made: Gates, **patience: int) -> None:
    stage = Stage("gate", Study, (StudyState.GATING,), made.work, **patience)
    assert run_next(book, stage)


def results(book: Book, uid: str = "") -> dict[str, GateResult]:
    with book.read() as session:
        found = [r for r in session.exec(select(GateResult)).all() if uid in ("", r.study_instance_uid)]
    assert len({r.name for r in found}) == len(found)
    return {result.name: result for result in found}


def state(book: Book, uid: str) -> tuple[str, str]:
    with book.read() as session:
        study = session.get(Study, uid)
        assert study
        return study.state, study.reason


def head(folder: Path, severity: float) -> list[Path]:
    volume = brain_volume(1, slices=8, spacing_mm=(12.0, 0.9))
    rng = np.random.default_rng(5)
    moved = np.stack([corrupt(one, severity, rng) if severity else one for one in volume])
    folder.mkdir(exist_ok=True)
    paths = []
    for ds in mr_series(moved, Visit(Patient("TEST^NOBODY", "X1"), folder.name), spacing_mm=(12.0, 0.9)):
        paths.append(folder / f"{ds.InstanceNumber}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.mark.triton
def test_a_moved_head_scores_lower_than_the_same_head_at_rest(tmp_path: Path, book: Book, models: Models) -> None:
    made = gates(book, tmp_path / "store", models)
    scores = []
    for name, severity in (("still", 0.0), ("moved", 0.9)):
        uid = gating(book, tmp_path / "store", head(tmp_path / name, severity), [MOTION])
        work(book, made)
        result, run = results(book, uid)["motion_ssim"], run_of(book, "motion_ssim", uid)
        assert (state(book, uid)[0], run.state, run.verdict) == (StudyState.RUNNING, RunState.READ, result.verdict)
        (finding,) = load_findings(run.findings)
        assert isinstance(finding, QualityScore)
        assert finding.value == result.score
        assert [i["score"] for i in result.instances] == [i.score for i in finding.instances]
        assert len(result.instances) == 8
        scores.append(finding)
    still, moved = scores
    assert moved.value < still.value - 0.05
    assert moved.verdict in ("warn", "hold")


@pytest.mark.triton
def test_a_reader_goes_on_or_is_held_with_the_reason(tmp_path: Path, book: Book, models: Models) -> None:
    paths = write_slices(tmp_path, [float(n) for n in range(20)])
    gating(book, tmp_path / "store", [*paths[:5], *paths[10:]], [CHEST])
    work(book, gates(book, tmp_path / "store", models))
    run = run_of(book, "chest_opacity")
    assert (run.state, run.verdict) == (RunState.HOLDING, "hold")
    assert run.reason.startswith("completeness: 15 slices: 5 missing")
    assert results(book)["geometry"].verdict == "pass"


@pytest.mark.triton
def test_the_hospital_lets_a_gate_only_warn(tmp_path: Path, book: Book, models: Models) -> None:
    paths = write_slices(tmp_path, [float(n) for n in range(20)])
    gating(book, tmp_path / "store", [*paths[:5], *paths[10:]], [SAGE, CHEST])
    work(book, gates(book, tmp_path / "store", models, completeness=GateThresholds(verdict="warn")))
    run = run_of(book, "chest_opacity")
    assert (run.state, run.verdict) == (RunState.READY, "warn")


@pytest.mark.triton
def test_a_gate_scores_only_the_views_that_its_selector_names(tmp_path: Path, book: Book, models: Models) -> None:
    pixels, paths = chest_radiograph(300, 0, (512, 512)), [tmp_path / "pa.dcm", tmp_path / "ll.dcm"]
    for number, (path, view) in enumerate(zip(paths, ("PA", "LL"), strict=True), 1):
        visit = Visit(Patient("TEST^NOBODY", "X1"), "views")
        ds = dx_image(pixels.pixels, visit, spacing_mm=pixels.spacing_mm, instance_number=number)
        ds.ViewPosition = view
        ds.save_as(path, enforce_file_format=True)
    uid = gating(book, tmp_path / "store", paths, [SAGE, CHEST])
    work(book, gates(book, tmp_path / "store", models))
    result = results(book, uid)["sage_chest_opacity"]
    assert (result.verdict, len(result.instances)) == ("pass", 1)
    assert run_of(book, "chest_opacity").state == RunState.READY


@pytest.mark.triton
def test_pixels_that_cannot_be_decoded_hold_the_gates_own_run(tmp_path: Path, book: Book, models: Models) -> None:
    paths = write_slices(tmp_path, [0, 1, 2])
    paths[1].write_bytes(paths[1].read_bytes()[:-80])
    uid = gating(book, tmp_path / "store", paths, [MOTION])
    work(book, gates(book, tmp_path / "store", models))
    found = results(book)
    assert found["completeness"].verdict == "hold"
    assert found["motion_ssim"].verdict == "warn", "the manifest's on_failure"
    assert found["motion_ssim"].reason.startswith("the gate could not judge: ")
    run = run_of(book, "motion_ssim")
    assert (run.state, run.findings) == (RunState.HOLDING, [])
    assert "could not judge" in run.reason
    assert state(book, uid)[0] == StudyState.RUNNING


@pytest.mark.triton
def test_a_header_that_cannot_be_read_is_told_and_moves_the_study_on(
    tmp_path: Path, book: Book, models: Models
) -> None:
    uid = gating(book, tmp_path / "store", write_slices(tmp_path, [0, 1], Rows=9000), [MOTION, CHEST])
    work(book, gates(book, tmp_path / "store", models))
    assert "claims" in results(book)["completeness"].reason
    assert run_of(book, "chest_opacity").state == RunState.HOLDING
    assert state(book, uid)[0] == StudyState.RUNNING


def test_without_triton_the_study_waits_and_nothing_is_written(tmp_path: Path, book: Book, away: Models) -> None:
    uid = gating(book, tmp_path / "store", write_slices(tmp_path, [0, 1]), [MOTION])
    made = gates(book, tmp_path / "store", away)
    with pytest.raises(Retry, match="does not answer"):
        made.work(uid)
    work(book, made)
    assert results(book) == {}
    assert state(book, uid)[0] == StudyState.GATING
    assert "motion_ssim does not answer" in state(book, uid)[1]


def test_a_second_attempt_replaces_what_the_first_wrote(tmp_path: Path, book: Book, away: Models) -> None:
    uid = gating(book, tmp_path / "store", write_slices(tmp_path, [0, 1]), [PLAIN])
    with book.write() as session:
        session.add(GateResult(study_instance_uid=uid, revision=1, name="completeness", verdict="hold", reason="old"))
    work(book, gates(book, tmp_path / "store", away))
    assert results(book)["completeness"].verdict == "pass"
    assert run_of(book, "not_installed").state == RunState.READY


def test_a_run_that_late_images_left_alone_keeps_its_gates_words(tmp_path: Path, book: Book, away: Models) -> None:
    """Results are shown beside the gates' words of the study's revision: a run that stands must not lose them."""
    uid = gating(book, tmp_path / "store", write_slices(tmp_path, [0, 1]), [PLAIN])
    work(book, gates(book, tmp_path / "store", away))
    with book.write() as session:
        study, run = session.get_one(Study, uid), session.exec(select(Run)).one()
        for event in (RunEvent.READ, RunEvent.REPORTED, RunEvent.DELIVERED):
            move(session, run, event)
        study.revision = run.revision = 2
        for change in (StudyEvent.INSTANCE_STORED, StudyEvent.COMPLETED, StudyEvent.CHOSEN):
            move(session, study, change)
    work(book, gates(book, tmp_path / "store", away))
    with book.read() as session:
        said = {r.name for r in session.exec(select(GateResult).where(GateResult.revision == 2))}
    assert said == {"completeness", "geometry"}
    assert run_of(book, "not_installed").state == RunState.DELIVERED
    assert state(book, uid)[0] == StudyState.DELIVERED


def test_a_package_that_is_gone_holds_its_run_with_the_reason(tmp_path: Path, book: Book, away: Models) -> None:
    gating(book, tmp_path / "store", write_slices(tmp_path, [0, 1]), [("motion_old", "gate")])
    work(book, gates(book, tmp_path / "store", away))
    run = run_of(book, "motion_old")
    assert run.state == RunState.HOLDING
    assert "version 1.0.0 of motion_old is not installed" in run.reason
