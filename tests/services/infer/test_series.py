"""A whole CT series is read: one finding, the weights of its slices, and the slices to look at."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from services.infer.work import Reader
from shared.findings import Classification, KeyImage, load_findings
from shared.phantoms.chest_ct import ChestCt, chest_ct
from shared.phantoms.dicom import CHEST_PATIENT, Visit, ct_series
from shared.serving import Models
from shared.settings import Core
from shared.stage import Stage, run_next
from shared.store import Book, Run
from shared.store.moves import move
from shared.study import RunEvent, RunState
from tests.served import gating, packages, run_of, triton


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path) -> Iterator[Models]:
    with triton(tmp_path_factory.mktemp("triton"), triton_environment) as served:
        yield served


def stored(folder: Path, scan: ChestCt) -> tuple[list[Path], list[str]]:
    """The series as files whose names say nothing of their order, and the SOP Instance UIDs from the feet up."""
    series = ct_series(scan.volume, Visit(CHEST_PATIENT, "CT1"), spacing_mm=scan.spacing_mm)
    names = random.Random(5).sample(range(len(series)), len(series))
    paths = [folder / f"{name:03d}.dcm" for name in names]
    for ds, path in zip(series, paths, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return sorted(paths), [ds.SOPInstanceUID for ds in series]


@pytest.mark.triton
@pytest.mark.parametrize("count", [14, 27])
def test_the_key_images_of_a_series_show_what_was_planted(
    tmp_path: Path, book: Book, models: Models, count: int
) -> None:
    scan = chest_ct(311, 2, slices=count, size=128)
    paths, uids = stored(tmp_path, scan)
    gating(book, tmp_path / "store", paths, [("slice_transformer", "reader")])
    with book.write() as session:
        move(session, session.merge(run_of(book, "slice_transformer")), RunEvent.PASSED, "")
    reader = Reader(book, Core(data_dir=tmp_path), packages(), models, 20.0)
    assert run_next(book, Stage("infer", Run, (RunState.READY,), reader.work))
    with book.read() as session:
        run = session.exec(select(Run)).one()
    assert run.state == RunState.READ, run.reason
    findings = load_findings(run.findings)
    (answer,) = (finding for finding in findings if isinstance(finding, Classification))
    assert answer.present
    assert answer.slice_weights is not None
    weights = [(weight.image.sop_instance_uid, weight.weight) for weight in answer.slice_weights.weights]
    assert [uid for uid, _ in weights] == uids
    assert sum(weight for _, weight in weights) == pytest.approx(1, abs=1e-4)
    shown = {uid for uid, shows in zip(uids, scan.shows, strict=True) if shows}
    keys = [finding.image.sop_instance_uid for finding in findings if isinstance(finding, KeyImage)]
    assert keys
    assert keys[0] == max(weights, key=lambda pair: pair[1])[0]
    assert set(keys) <= shown
