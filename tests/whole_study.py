"""Studies of several series from decide to report, on one book, with a package that reads them whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from sqlmodel import col, select

from services.decide.main import work as decide
from services.decide.settings import Rule
from services.decide.settings import Settings as Rules
from services.gate.settings import Settings as Judging
from services.gate.work import Gates
from services.infer.work import Reader
from services.report.main import Reporter
from services.report.settings import Settings as Reporting
from shared.dicom.header import read_header
from shared.packages.folder import Package
from shared.packages.installed import Installed
from shared.phantoms.dicom import CHEST_PATIENT, Visit, dx_image
from shared.serving import Models, open_models
from shared.settings import Core
from shared.stage import Stage, run_next
from shared.store import Instance, Journal, Order, Run, Study, open_book
from shared.store.moves import move
from shared.study import RunState, StudyEvent, StudyState
from tests.at_work import DESTINATIONS, tiny_package
from tests.networks import FLOAT, constant, network, node, tensor_info

VISIT = Visit(CHEST_PATIENT, "ACC-CHEST")
UID = VISIT.study_instance_uid
VIEWS: dict[str, Any] = {
    "selector": {"modality": ["DX", "CR"], "body_part": ["CHEST"]},
    "grouping": {"by": "study", "optional": ["lateral"], "series": [
        {"name": "pa", "view_position": ["PA", "AP"]}, {"name": "lateral", "view_position": ["LL", "RL"]},
    ]},
    "gates": {"required": ["completeness"]},
    "preprocess": [{"step": "modality_lut"}, {"step": "scale_range", "low": 0.0, "high": 100.0, "series": ["lateral"]}],
    "inputs": [
        {"name": "pa", "shape": [1, 32, 24], "series": "pa"},
        {"name": "lateral", "shape": [1, 32, 24], "series": "lateral"},
        {"name": "there", "shape": [2], "source": "present"},
    ],
}  # fmt: skip
SAID = {"name": "number", "tensor": "number", "kind": "regression", "unit": "mm"}


def two_views(folder: Path, *outputs: dict[str, Any], **more: Any) -> Package:
    """A package that says of a chest from two sides: the mean of pa + the mean of lateral, in hundredths, + 1000 where
    pa is there + 5000 where lateral is; and of `about`, where the manifest has it, the one number that it holds."""
    features = [one["name"] for one in more.get("inputs", ()) if one.get("source") == "features"]
    nodes = [
        *(node("GlobalAveragePool", [name], [f"{name}_pool"]) for name in ("pa", "lateral")),
        *(node("Flatten", [f"{name}_pool"], [f"{name}_mean"]) for name in ("pa", "lateral")),
        node("MatMul", ["there", "worth"], ["presence"]),
        node("Sum", ["pa_mean", "lateral_mean", "presence", *features], ["number"]),
    ]
    given = [tensor_info(name, FLOAT, ["n", 1, 32, 24]) for name in ("pa", "lateral")]
    given += [tensor_info("there", FLOAT, ["n", 2]), *(tensor_info(name, FLOAT, ["n", 1]) for name in features)]
    made = network(nodes, given, [tensor_info("number", FLOAT, ["n", 1])], [constant("worth", [2, 1], [1000, 5000])])
    return tiny_package(folder / "packages", made, {"number": [1]}, outputs or [SAID], **VIEWS | more)


def film(view: str, grey: int, number: int = 1, instance: int = 1, visit: Visit = VISIT) -> Dataset:
    """A radiograph of one grey, but for a corner: a gate sees a picture in it."""
    pixels = np.full((32, 24), grey, np.uint16)
    pixels[0, 0], pixels[0, 1] = grey - 5, grey + 5
    ds = dx_image(pixels, visit, spacing_mm=1.0, series_number=number, instance_number=instance)
    ds.ViewPosition = view
    return ds


@dataclass
class Hospital:
    """One book; `package` and whatever else lies beside it."""

    home: Path
    package: Package
    models: Models | None = None
    rules: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        self.core = Core(data_dir=self.home / "data")
        self.book = open_book(f"sqlite:///{self.home}/isocenter.db")
        self.book.migrate()
        self.packages = Installed(self.package.folder.parent)
        self.models = self.models or open_models("", self.package.folder.parent, in_process=True)

    def order(self, **segments: str) -> None:
        """The order for the study, which stands before it."""
        with self.book.write() as session:
            session.add(Order(
                accession_number=VISIT.accession_number, patient_id=CHEST_PATIENT.patient_id, segments=segments,
                scheduled_at=VISIT.started.astimezone(), priority=2,
            ))  # fmt: skip

    def arrive(self, *images: Dataset) -> None:
        """Images come, late ones too, and the study is complete."""
        with self.book.write() as session:
            study = session.get(Study, UID)
            if study is None:
                session.add(study := Study(study_instance_uid=UID, accession_number=VISIT.accession_number))
                session.flush()
            else:
                study.revision += 1
                move(session, study, StudyEvent.INSTANCE_STORED)
            session.add_all([self._stored(ds) for ds in images])
            move(session, study, StudyEvent.COMPLETED)

    def _stored(self, ds: Dataset) -> Instance:
        relative = Path(ds.SeriesInstanceUID) / f"{ds.SOPInstanceUID}.dcm"
        path = self.core.store_dir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        return Instance(
            study_instance_uid=UID, sop_instance_uid=ds.SOPInstanceUID, series_instance_uid=ds.SeriesInstanceUID,
            sop_class_uid=ds.SOPClassUID, transfer_syntax_uid=ds.file_meta.TransferSyntaxUID, path=str(relative),
            size=path.stat().st_size, digest="sha256:" + ds.SOPInstanceUID, header=read_header(path).attributes,
        )  # fmt: skip

    def decide(self) -> Study:
        settings = Rules(rules=list(self.rules))
        assert run_next(
            self.book, Stage("decide", Study, (StudyState.WAITING,), lambda _: decide(self.packages, settings))
        )
        return self.study()

    def gate(self) -> Run:
        gates = Gates(self.book, self.core.store_dir, self.packages, self.models, 20.0, Judging(), {})
        assert run_next(self.book, Stage("gate", Study, (StudyState.GATING,), gates.work))
        return self.run()

    def read(self) -> Run:
        """Decide, gate, and infer where the gates let it."""
        self.decide()
        run = self.gate()
        return self.infer() if run.state == RunState.READY else run

    def infer(self) -> Run:
        reader = Reader(self.book, self.core, self.packages, self.models, 20.0)
        assert run_next(self.book, Stage("infer", Run, (RunState.READY,), reader.work))
        return self.run()

    def report(self) -> Path:
        """The folder with the newest run's objects."""
        reporter = Reporter(self.book, self.core, Reporting(), DESTINATIONS, self.packages)
        waits = (RunState.READ, RunState.HOLDING, RunState.FAILING)
        assert run_next(self.book, Stage("report", Run, waits, reporter.work))
        run = self.run()
        return self.core.results_dir / run.study_instance_uid / run.id

    def run(self) -> Run:
        """The newest."""
        with self.book.read() as session:
            return session.exec(select(Run).order_by(col(Run.created_at).desc())).first()

    def runs(self) -> list[str]:
        """The states of all, the oldest first."""
        with self.book.read() as session:
            return [run.state for run in session.exec(select(Run).order_by(col(Run.created_at))).all()]

    def study(self) -> Study:
        with self.book.read() as session:
            return session.get(Study, UID)

    def told(self) -> str:
        """What the journal last says of the package."""
        query = select(Journal).where(Journal.subject == f"package tiny {self.package.version}")
        with self.book.read() as session:
            return session.exec(query.order_by(col(Journal.id).desc())).first().reason
