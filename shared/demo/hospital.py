"""The demonstration's hospital: the real system on its embedded default, stand-ins beside it, and what is pushed."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.demo.made_up import DemoStudy, made_up_studies, studies_below
from shared.demo.modality import Refusal, push
from shared.demo.stand_in_pacs import StandInPacs
from shared.demo.stand_in_ris import StandInRis, send_order
from shared.serving.triton_environment import CHECKOUT
from shared.serving.triton_server import choose_ports
from shared.settings import Config, Core, load_config
from shared.store import Book, open_book
from shared.store.view_models import StudyView
from shared.store.views import studies_view
from shared.study import SETTLED
from shared.supervisor import System

log = logging.getLogger(__name__)

QUIET_SECONDS = 5
DOORS_SECONDS = 90.0  # longest wait for collect and admit to listen

CONFIGURATION = """\
# Written by `isocenter demo`; a real one looks the same: see docs/configuration.md.
[isocenter]
data_dir = {data_dir}

[collect]
host = "127.0.0.1"
port = {collect_port}
quiet_seconds = {quiet}

[admit]
host = "127.0.0.1"
port = {admit_port}

[status]
host = "127.0.0.1"
port = {status_port}

[triton]
model_repository = {model_repository}
environment = {environment}

[[destinations]]
name = "PACS"
kind = "dicom"
host = "127.0.0.1"
port = {pacs_port}
ae_title = "STANDINPACS"

[[destinations]]
name = "RIS"
kind = "mllp"
host = "127.0.0.1"
port = {ris_port}
receiving_application = "STANDINRIS"
"""


@dataclass
class Progress:
    """What the screen shows beside the book."""

    phase: str = "setting up"
    files: int = 0
    sent: int = 0
    skipped: int = 0
    refused: list[Refusal] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    made_up: dict[str, dict[str, Any]] = field(default_factory=dict)  # by study_instance_uid
    pushed: bool = False
    page: str = ""
    models: str = ""


class Hospital:
    """The stand-ins, the system, and what is pushed."""

    def __init__(self, data: Path | None, out: Path, work: Path, model_repository: Path | None = None) -> None:
        self.data, self.out = data, out
        self.pacs, self.ris = StandInPacs(out / "pacs"), StandInRis(out / "ris")
        ports = choose_ports("127.0.0.1", {"collect": 0, "admit": 0, "status": 0})
        self.collect_port, self.admit_port = ports["collect"], ports["admit"]
        self.config, path = _write_configuration(
            work, ports, self.pacs.port, self.ris.port, model_repository or CHECKOUT / "model_repository"
        )
        self.core = self.config.section(Core)
        self.system = System(self.config, path, logs=work / "logs")
        self.progress = Progress(page=f"http://127.0.0.1:{ports['status']}/")
        self.book: Book = open_book(self.core.database_url)
        self._stop = threading.Event()
        self.failure = ""

    def start(self) -> None:
        """Starts the system. From the main thread: the kernel ends a child with the thread that started it.

        Raises:
            EnvironmentMissing, TritonNotStarted: as `System.start`.
        """
        self.system.start(self._say)
        self.progress.models = self.system.models_description

    def run(self) -> None:
        """Pushes the studies; runs in a thread of its own beside the screen."""
        try:
            self._wait_for_doors()
            for study in self._studies():
                self._push(study)
            self.progress.phase, self.progress.pushed = "pushed; waiting for results", True
        except Exception as error:
            log.exception("the demonstration failed")
            self.failure = f"{type(error).__name__}: {error}"

    def _say(self, text: str) -> None:
        self.progress.phase = text

    def _studies(self) -> Iterable[DemoStudy]:
        if self.data is None:
            self._say("making studies up")
            return made_up_studies(self.core.data_dir.parent / "made-up")
        self._say("looking for DICOM files")
        studies, found = studies_below(self.data)
        self.progress.files = sum(len(study.files) for study in studies)
        self.progress.skipped, self.progress.refused = found.skipped, list(found.refused)
        return studies

    def _wait_for_doors(self) -> None:
        """Until collect and admit listen."""
        self._say("waiting for collect and admit to listen")
        deadline = time.monotonic() + DOORS_SECONDS
        while not (_listens(self.collect_port) and _listens(self.admit_port)):
            if time.monotonic() > deadline or self._stop.wait(0.2):
                raise TimeoutError(f"collect or admit does not listen: see {self.system.logs}")

    def _push(self, study: DemoStudy) -> None:
        if self._stop.is_set():
            return
        self._say(f"pushing {study.title}")
        self.progress.files = max(self.progress.files, self.progress.sent + len(study.files))
        if study.order:
            send_order("127.0.0.1", self.admit_port, study.order)
        refused = push(study.files, "127.0.0.1", self.collect_port, "ISOCENTER", sent=self._sent)
        self.progress.refused += refused
        uid = study.files[0].study_instance_uid
        if study.truth:
            self.progress.made_up[uid] = study.truth
        if len(refused) < len(study.files):
            self.progress.expected.add(uid)

    def _sent(self) -> None:
        self.progress.sent += 1

    def views(self) -> list[StudyView]:
        """Where every study is."""
        try:
            with self.book.read() as session:
                return studies_view(session)
        except Exception:  # the book is being made
            return []

    def settled(self, views: list[StudyView]) -> bool:
        """Whether every pushed study has ended."""
        ended = {v.study_instance_uid for v in views if v.state in SETTLED}
        return self.progress.pushed and self.progress.expected <= ended and all(v.state in SETTLED for v in views)

    def stop(self) -> None:
        """Ends everything that was started."""
        self._stop.set()
        self.system.stop()
        self.pacs.stop()
        self.ris.stop()
        self.book.close()


def _write_configuration(
    work: Path, ports: dict[str, int], pacs_port: int, ris_port: int, model_repository: Path
) -> tuple[Config, Path]:
    text = CONFIGURATION.format(
        data_dir=json.dumps(str(work / "data")), collect_port=ports["collect"], admit_port=ports["admit"],
        status_port=ports["status"], pacs_port=pacs_port, ris_port=ris_port, quiet=QUIET_SECONDS,
        model_repository=json.dumps(str(model_repository)), environment=json.dumps(str(CHECKOUT / ".venv-triton")),
    )  # fmt: skip
    path = work / "isocenter.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path), path


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
