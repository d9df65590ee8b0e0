"""A study in the book with its files in the store, and the real packages on a real Triton."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from sqlmodel import select

from shared.packages.installed import Installed
from shared.serving import Models, open_models
from shared.serving.triton_server import TritonServer
from shared.store import Book, Instance, Run, Study
from shared.store.moves import enter, move
from shared.study import StudyEvent
from shared.uids import derived_uuid

ROOT = Path(__file__).parents[1]
REPOSITORY = ROOT / "model_repository"


def packages() -> Installed:
    """The packages of this checkout, by name and version."""
    return Installed(REPOSITORY)


@contextmanager
def triton(folder: Path, environment: Path) -> Iterator[Models]:
    """The packages of this checkout on a Triton of this test's own."""
    with TritonServer(REPOSITORY, folder / "triton.log", environment=environment) as server:
        models = open_models(server.url, REPOSITORY)
        try:
            yield models
        finally:
            models.close()


def gating(book: Book, store_dir: Path, paths: Sequence[Path], chosen: Sequence[tuple[str, str]]) -> str:
    """Puts the files into the store and a study in GATING into the book, with runs of `chosen` (package, kind)."""
    with book.write() as session:
        instances = [_store(store_dir, path) for path in paths]
        uid = instances[0].study_instance_uid
        study = Study(study_instance_uid=uid)
        session.add(study)
        session.add_all(instances)
        series = sorted({i.series_instance_uid for i in instances})
        session.flush()
        versions = dict(list(packages()))  # by name
        for package, kind in chosen:
            key = str(derived_uuid(uid, package))
            enter(session, Run(
                id=key, study_instance_uid=uid, revision=1, package=package, kind=kind, series=series,
                version=versions.get(package, "1.0.0"),
            ))  # fmt: skip
        move(session, study, StudyEvent.COMPLETED)
        move(session, study, StudyEvent.CHOSEN)
    return uid


def _store(store_dir: Path, path: Path) -> Instance:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    relative = Path(ds.StudyInstanceUID) / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"
    (store_dir / relative).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, store_dir / relative)
    return Instance(
        study_instance_uid=ds.StudyInstanceUID, sop_instance_uid=ds.SOPInstanceUID,
        series_instance_uid=ds.SeriesInstanceUID, sop_class_uid=ds.SOPClassUID,
        transfer_syntax_uid=ds.file_meta.TransferSyntaxUID, path=str(relative), size=path.stat().st_size,
        digest="0" * 64,
    )  # fmt: skip


def run_of(book: Book, package: str, study_instance_uid: str = "") -> Run:
    """The run of that package, on that study where there are several."""
    query = select(Run).where(Run.package == package)
    if study_instance_uid:
        query = query.where(Run.study_instance_uid == study_instance_uid)
    with book.read() as session:
        return session.exec(query).one()
