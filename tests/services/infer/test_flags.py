"""A reader reads what its gate flagged, and nothing else; where nothing is flagged it is held, with that reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from services.infer.work import Reader
from shared.findings import InstanceScore, QualityScore, SourceImage, dump_findings, load_findings
from shared.imaging.frames import load_frames
from shared.packages.folder import PackageError
from shared.packages.installed import Installed
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import CHEST_PATIENT, Visit, dx_image
from shared.serving import open_models
from shared.settings import Core
from shared.stage import Stage, run_next
from shared.store import Book, Run
from shared.store.moves import move
from shared.study import RunEvent, RunState
from tests.at_work import CODE, tiny_package
from tests.networks import of_mean
from tests.served import gating

GATES = {"grouping": {"flagged_by": "flagger"}, "gates": {"required": ["flagger"]}}


def films(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n}.dcm" for n in range(count)]
    for n, path in enumerate(paths):
        chest = chest_radiograph(n, opacities=0, size=(96, 80))
        image = dx_image(
            chest.pixels, Visit(CHEST_PATIENT, "ACC"), spacing_mm=chest.spacing_mm, instance_number=n + 1
        )  # fmt: skip
        image.save_as(path, enforce_file_format=True)
    return paths


def said_by_the_gate(images: Sequence[SourceImage], scores: Sequence[float]) -> list[dict[str, Any]]:
    return dump_findings([
        QualityScore(
            name="lesion", code=CODE, package="flagger", version="1.0.0", value=max(scores), unit="1", verdict="pass",
            series_instance_uid=images[0].series_instance_uid, flag_above=0.5,
            instances=tuple(InstanceScore(image=i, score=s) for i, s in zip(images, scores, strict=True)),
        )
    ])  # fmt: skip


def read(folder: Path, book: Book, scores: Sequence[float], revision: int = 1) -> tuple[Run, list[SourceImage]]:
    paths = films(folder, len(scores))
    images = [frame.source for path in paths for frame in load_frames([path])]
    tiny_package(
        folder / "packages", of_mean(["brightness"], [1.0], [0.0]), {"brightness": [1]},
        [{"name": "brightness", "tensor": "brightness", "kind": "regression"}], **GATES,
    )  # fmt: skip
    gating(book, folder / "store", paths, [("flagger", "gate"), ("tiny", "reader")])
    with book.write() as session:
        gate, reader = (session.exec(select(Run).where(Run.package == name)).one() for name in ("flagger", "tiny"))
        gate.findings, gate.revision = said_by_the_gate(images, scores), revision
        move(session, reader, RunEvent.PASSED)
    models = open_models("", folder / "packages", in_process=True)
    reader_of = Reader(book, Core(data_dir=folder), Installed(folder / "packages"), models, 20.0)
    assert run_next(book, Stage("infer", Run, (RunState.READY,), reader_of.work))
    with book.read() as session:
        return session.exec(select(Run).where(Run.package == "tiny")).one(), images


def test_only_what_is_flagged_is_read(tmp_path: Path, book: Book) -> None:
    run, images = read(tmp_path, book, [0.9, 0.1, 0.5, 0.4])
    assert run.state == RunState.READ, run.reason
    assert {finding.sources for finding in load_findings(run.findings)} == {(images[0],), (images[2],)}


@pytest.mark.parametrize(
    ("scores", "revision", "said"),
    [
        ([0.1, 0.4], 1, "flagger flagged no image: there is nothing to read"),
        ([0.9, 0.9], 2, "flagger could not score these images, so none is known to be worth reading"),
    ],
    ids=["none", "another revision"],
)
def test_nothing_flagged_is_held_with_that_reason(
    tmp_path: Path, book: Book, scores: list[float], revision: int, said: str
) -> None:
    run, _ = read(tmp_path, book, scores, revision)
    assert (run.state, run.verdict) == (RunState.HOLDING, "hold")
    assert run.reason == said
    assert not run.is_unsure, "it was not for want of confidence"


def test_the_gate_that_flags_must_be_required(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match='add "flagger" to gates.required'):
        tiny_package(
            tmp_path, b"", {}, [{"name": "a", "tensor": "a", "kind": "regression"}], grouping=GATES["grouping"]
        )
