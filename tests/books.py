"""Books for tests: one on SQLite, one on PostgreSQL, and made-up studies in every state to fill them with."""

import atexit
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, SQLModel

from shared.findings import (
    Classification,
    Code,
    InstanceScore,
    PatchMap,
    QualityScore,
    Region,
    SourceImage,
    dump_findings,
)
from shared.store import Book, Delivery, GateResult, Instance, Order, Run, Study, open_book, utc_now
from shared.store.moves import enter, move, settle
from shared.study import DeliveryEvent, Event, RunEvent, StudyEvent
from shared.uids import derived_uid, derived_uuid

POSTGRES = os.environ.get("ISOCENTER_TEST_POSTGRES", "postgresql+psycopg:///postgres")
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]

MR, CT, DX = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"


@contextmanager
def new_book(kind: str, folder: Path) -> Iterator[Book]:
    """An empty book at its newest schema; skips where there is no PostgreSQL."""
    if kind == "sqlite":
        book = open_book(f"sqlite:///{folder}/isocenter.db")
        book.migrate()
        yield book
        book.close()
        return
    book = open_book(_migrated_database())
    try:
        yield book
    finally:
        tables = ", ".join(SQLModel.metadata.tables)
        with book.write() as session:
            session.execute(text(f"truncate {tables} restart identity cascade"))
        book.close()


@cache
def _migrated_database() -> str:
    """The URL of this test process's own database, emptied after each test and dropped at the end."""
    name = _new_database()
    atexit.register(_drop_database, name)
    url = make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    book = open_book(url)
    book.migrate()
    book.close()
    return url


def _new_database() -> str:
    name = f"isocenter_test_{uuid.uuid4().hex[:12]}"
    try:
        _as_admin(f"create database {name}")
    except OperationalError:
        pytest.skip("no PostgreSQL here: set ISOCENTER_TEST_POSTGRES to a URL that may create databases")
    return name


def _drop_database(name: str) -> None:
    _as_admin(f"drop database {name} with (force)")


def _as_admin(statement: str) -> None:
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()


class Maker:
    """Writes made-up studies into a book by the same moves that the services make."""

    def __init__(self, session: Session, data_dir: Path | None = None) -> None:
        self.session, self.data_dir = session, data_dir

    def study(
        self, name: str, modality: str = "MR", images: int = 4, accession: str = "", ago: float = 60,
        series: int = 1, order: bool = True, spread: float = 8,
    ) -> Study:  # fmt: skip
        """A study in COLLECTING whose last image came `ago` seconds ago."""
        last = utc_now() - timedelta(seconds=ago)
        accession = accession or f"A{abs(hash(name)) % 10**7:07d}"
        study = Study(
            study_instance_uid=derived_uid("study", name), accession_number=accession, patient_id="P0",
            study_date="20261122", calling_ae_title="MODALITY", last_instance_at=last, active_at=last,
            first_instance_at=last - timedelta(seconds=spread), waiting_since=last,
        )  # fmt: skip
        if order:
            row = Order(accession_number=accession, patient_id="P0", study_instance_uid=study.study_instance_uid)
            self.session.add(row)
            self.session.flush()
            study.order_id = row.id
        self.session.add(study)
        for s in range(series):
            for i in range(images):
                self.session.add(self._instance(study, modality, s, i))
        self.session.flush()
        return study

    def _instance(self, study: Study, modality: str, s: int, i: int) -> Instance:
        series = self.series(study, s)
        sop = derived_uid(series, str(i))
        return Instance(
            study_instance_uid=study.study_instance_uid, sop_instance_uid=sop, series_instance_uid=series,
            sop_class_uid={"MR": MR, "CT": CT}.get(modality, DX), transfer_syntax_uid=ExplicitVRLittleEndian,
            path=f"{study.study_instance_uid}/{series}/{sop}.dcm", size=1, digest="0" * 64,
            received_at=study.last_instance_at, header={"modality": modality, "instance_number": i + 1},
        )  # fmt: skip

    @staticmethod
    def series(study: Study, s: int = 0) -> str:
        return derived_uid(study.study_instance_uid, "series", str(s))

    def image(self, study: Study, i: int = 0) -> SourceImage:
        series = self.series(study)
        return SourceImage(series_instance_uid=series, sop_instance_uid=derived_uid(series, str(i)), sop_class_uid=MR)

    def moves(self, row: Study | Run | Delivery, *events: Event, reason: str = "") -> None:
        for event in events:
            move(self.session, row, event, reason)

    def run(self, study: Study, package: str, kind: str = "reader", **facts: object) -> Run:
        key = str(derived_uuid(study.study_instance_uid, package, str(study.revision)))
        run = Run(
            id=key, study_instance_uid=study.study_instance_uid, revision=study.revision, package=package,
            version="1.0.0", kind=kind, series=[self.series(study)], **facts,
        )  # fmt: skip
        enter(self.session, run)
        self.session.flush()
        return run

    def gate(
        self, study: Study, name: str, verdict: str, score: float | None = None, reason: str = "", **more: object
    ) -> None:
        facts = {"unit": "1", "instances": [], **more}
        self.session.add(GateResult(
            study_instance_uid=study.study_instance_uid, revision=study.revision, name=name, version="1.0.0",
            series_instance_uid=self.series(study), score=score, verdict=verdict, reason=reason, **facts,
        ))  # fmt: skip

    def plain_gates(self, study: Study, missing: str = "") -> None:
        self.gate(study, "completeness", "hold" if missing else "pass", 0.94 if missing else 1.0, missing)
        self.gate(study, "geometry", "pass", 0.0, "", unit="mm")

    def slice_scores(
        self, study: Study, scores: list[float], verdict: str, reason: str = ""
    ) -> list[dict[str, object]]:
        """Writes the motion gate's word; returns its finding."""
        rows = [{"sop_instance_uid": self.image(study, i).sop_instance_uid, "score": s} for i, s in enumerate(scores)]
        value = float(np.percentile(scores, 10))
        self.gate(study, "motion_ssim", verdict, value, reason, instances=rows)
        finding = QualityScore(
            name="ssim", code=Code(value="motion-ssim", scheme="99ISO", meaning="Predicted SSIM"),
            package="motion_ssim", version="1.0.0", series_instance_uid=self.series(study), value=value, unit="1",
            range=(0, 1), verdict=verdict, warn_below=0.9, hold_below=0.8,
            instances=tuple(InstanceScore(image=self.image(study, i), score=s) for i, s in enumerate(scores)),
        )  # fmt: skip
        return dump_findings([finding])

    def opacity(self, study: Study, probability: float) -> list[dict[str, object]]:
        image, here = self.image(study), probability >= 0.5
        square = ((64.0, 64.0), (128.0, 64.0), (128.0, 128.0), (64.0, 128.0), (64.0, 64.0))
        finding = Classification(
            name="opacity", code=Code(value="50497-7", scheme="99ISO", meaning="Pulmonary opacity"),
            package="chest_opacity", version="1.0.0", present=here, probability=probability, threshold=0.5,
            regions=(Region(image=image, graphic_type="POLYLINE", points=square),) if here else (),
            patch_map=PatchMap(image=image, logits=((-1.0, 2.0), (-1.0, 0.5)), box=(0, 0, 256, 256)),
        )  # fmt: skip
        return dump_findings([finding])

    def deliveries(self, run: Run) -> dict[str, Delivery]:
        """SR and SC for the PACS, an ORU for the RIS."""
        made: dict[str, Delivery] = {}
        for kind, destination in (("SR", "PACS"), ("SC", "PACS"), ("ORU", "RIS")):
            identifier = derived_uid(run.id, kind) if kind != "ORU" else uuid.uuid5(uuid.NAMESPACE_OID, run.id).hex[:20]
            folder = f"results/{run.study_instance_uid}/{run.id}"
            delivery = Delivery(
                id=str(derived_uuid(run.id, destination, identifier)), run_id=run.id, destination=destination,
                study_instance_uid=run.study_instance_uid, kind=kind, identifier=identifier,
                path=f"{folder}/{kind}.{'hl7' if kind == 'ORU' else 'dcm'}",
            )  # fmt: skip
            enter(self.session, delivery)
            made[kind] = delivery
            if kind == "SC" and self.data_dir:
                write_secondary_capture(self.data_dir / delivery.path, identifier)
        self.session.flush()
        return made

    def accept(self, *deliveries: Delivery, attempts: int = 1) -> None:
        for delivery in deliveries:
            delivery.attempts = attempts
            move(self.session, delivery, DeliveryEvent.ACCEPTED)
            settle(self.session, delivery.study_instance_uid)

    def settled_after(self, study: Study, seconds: float) -> None:
        """Sets the clock of a settled study's end."""
        study.completed_at = study.last_instance_at + timedelta(seconds=5)
        if study.settled_at:
            study.settled_at = study.last_instance_at + timedelta(seconds=seconds)
        self.session.add(study)


def write_secondary_capture(path: Path, sop_instance_uid: str) -> None:
    """An RGB Secondary Capture of 96 × 128 pixels: a ramp with a box."""
    rows, columns = 96, 128
    pixels = np.zeros((rows, columns, 3), np.uint8)
    pixels[...] = np.linspace(0, 200, columns, dtype=np.uint8)[None, :, None]
    pixels[30:60, 40:80] = (230, 159, 0)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = SecondaryCaptureImageStorage, sop_instance_uid, "OT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PlanarConfiguration = rows, columns, 3, 0
    ds.PhotometricInterpretation, ds.PixelRepresentation = "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelData = 7, pixels.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, sop_instance_uid
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def gated(make: Maker, name: str, package: str, **facts: object) -> tuple[Study, Run]:
    """A study in GATING with one run of a reader, its plain gates passed."""
    study = make.study(name, **facts)
    make.moves(study, StudyEvent.COMPLETED)
    run = make.run(study, package)
    make.moves(study, StudyEvent.CHOSEN, reason=package)
    make.plain_gates(study)
    return study, run


def reading(make: Maker, name: str, **facts: object) -> tuple[Study, Run]:
    """A chest radiograph in RUNNING whose run is READY."""
    study, run = gated(make, name, "chest_opacity", modality="DX", images=1, **facts)
    run.verdict = "pass"
    make.moves(run, RunEvent.PASSED)
    make.moves(study, StudyEvent.GATED)
    return study, run


def sending(
    make: Maker, name: str, probability: float = 0.93, **facts: object
) -> tuple[Study, Run, dict[str, Delivery]]:
    """A chest radiograph in RUNNING whose results are on their way."""
    study, run = reading(make, name, **facts)
    run.findings = make.opacity(study, probability)
    make.moves(run, RunEvent.READ, RunEvent.REPORTED)
    return study, run, make.deliveries(run)


def held_reader(make: Maker, name: str, **facts: object) -> tuple[Study, Run]:
    """A chest radiograph HELD by the completeness gate, the reason delivered to the RIS."""
    study = make.study(name, modality="DX", images=1, **facts)
    reason = "1 of 2 views of the order is missing"
    make.moves(study, StudyEvent.COMPLETED)
    run = make.run(study, "chest_opacity")
    make.moves(study, StudyEvent.CHOSEN)
    make.plain_gates(study, missing=reason)
    run.verdict = "hold"
    make.moves(run, RunEvent.HELD, reason=f"completeness: {reason}")
    make.moves(study, StudyEvent.GATED)
    make.moves(run, RunEvent.REASON_REPORTED, reason=run.reason)
    delivery = make.deliveries(run)
    for kind in ("SR", "SC"):
        make.session.delete(delivery.pop(kind))
    make.session.flush()
    make.accept(delivery["ORU"])
    return study, run


def motion(make: Maker, name: str, scores: list[float], verdict: str, reason: str = "", **facts: object) -> Study:
    """A brain MR that only the motion gate reads, settled."""
    study = make.study(name, images=len(scores), **facts)
    make.moves(study, StudyEvent.COMPLETED)
    run = make.run(study, "motion_ssim", kind="gate")
    make.moves(study, StudyEvent.CHOSEN, reason="motion_ssim")
    make.plain_gates(study)
    run.findings, run.verdict = make.slice_scores(study, scores, verdict, reason), verdict
    make.moves(run, RunEvent.SCORED, reason=reason)
    make.moves(study, StudyEvent.GATED)
    make.moves(run, RunEvent.REPORTED, reason=reason)
    make.accept(*make.deliveries(run).values())
    return study


def fill(book: Book, data_dir: Path) -> None:
    """Made-up studies in every state, as a page of a working day."""
    rng = np.random.default_rng(7)
    with book.write() as session:
        make = Maker(session, data_dir)
        make.study("arriving", images=83, ago=0.5, accession="MR-24817", spread=31)
        waiting = make.study("waiting", modality="CT", images=64, ago=9, accession="CT-10442")
        make.moves(waiting, StudyEvent.COMPLETED)
        gating = make.study("gating", images=170, ago=12, accession="MR-24816", spread=44)
        make.moves(gating, StudyEvent.COMPLETED)
        make.run(gating, "motion_ssim", kind="gate")
        make.moves(gating, StudyEvent.CHOSEN)
        gating.lease_until, gating.attempts = utc_now() + timedelta(hours=6), 1
        reading(make, "reading", ago=16, accession="DX-88125")
        _, _, sent = sending(make, "retrying", ago=95, accession="DX-88121")
        make.accept(sent["SR"], sent["ORU"])
        sent["SC"].attempts, sent["SC"].next_at = 3, utc_now() + timedelta(seconds=40)
        sent["SC"].reason = "PACS answered 0xA700 (out of resources)"
        clean = (0.955 + 0.02 * np.sin(np.arange(24) / 4) + rng.normal(0, 0.004, 24)).round(4).tolist()
        make.settled_after(motion(make, "clean", clean, "pass", ago=240, accession="MR-24811", spread=40), 14.2)
        moved = np.clip(0.9 - 0.32 * np.exp(-((np.arange(24) - 15) ** 2) / 30) + rng.normal(0, 0.01, 24), 0, 1)
        why = "motion: the predicted SSIM of the worst tenth of the slices is 0.595, below 0.80"
        make.settled_after(
            motion(make, "moved", moved.round(4).tolist(), "hold", why, ago=300, accession="MR-24809", spread=41), 16.8
        )
        slight = np.clip(0.92 - 0.08 * np.exp(-((np.arange(24) - 8) ** 2) / 20) + rng.normal(0, 0.006, 24), 0, 1)
        why = "motion: the predicted SSIM of the worst tenth of the slices is 0.85, below 0.90"
        make.settled_after(
            motion(make, "slight", slight.round(4).tolist(), "warn", why, ago=420, accession="MR-24802", spread=40),
            15.1,
        )
        for name, probability, ago in (("opacity", 0.93, 520), ("no opacity", 0.07, 610)):
            study, _, sent = sending(make, name, probability, ago=ago, accession=f"DX-{88100 - int(ago / 10)}")
            make.accept(*sent.values())
            make.settled_after(study, 7.4)
        study, _ = held_reader(make, "held", ago=700, accession="DX-88020")
        make.settled_after(study, 8.9)
        refused = make.study("refused", modality="US", images=12, ago=900, accession="US-00391", order=False)
        make.moves(refused, StudyEvent.COMPLETED)
        reason = "no package reads this study: chest_opacity: reads DX CR, not US; motion_ssim: reads MR, not US"
        make.moves(refused, StudyEvent.REFUSED, reason=reason)
        make.settled_after(refused, 5.2)
        dead, _, sent = sending(make, "dead", ago=4000, accession="DX-87991")
        make.accept(sent["SR"], sent["SC"])
        sent["ORU"].attempts = 12
        make.moves(sent["ORU"], DeliveryEvent.GAVE_UP, reason="RIS answered AR: unknown patient identifier domain")
        settle(session, dead.study_instance_uid)
        make.settled_after(dead, 3600)
        cancelled = make.study("cancelled", ago=5000, accession="MR-24750", images=3)
        make.moves(cancelled, StudyEvent.CANCELLED, reason="phantom scan of the morning check")
        make.settled_after(cancelled, 70)
        late, run, sent = sending(make, "late", ago=30, accession="DX-88077")
        make.accept(*sent.values())
        late.revision += 1
        make.moves(late, StudyEvent.INSTANCE_STORED, StudyEvent.COMPLETED)
        make.moves(run, RunEvent.SUPERSEDED, reason="the study's images or the packages have changed since")
        make.run(late, "chest_opacity")
        make.moves(late, StudyEvent.CHOSEN)
        late.attempts, late.reason = 2, "Triton is away: no answer on 127.0.0.1:8001"
