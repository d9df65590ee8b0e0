"""Wires gate: a study with its runs in, the gates' words and the runs' turns out."""

import logging

from services.gate.settings import Settings
from services.gate.work import Gates
from shared.guard.rooms import GATES, Rooms
from shared.guard.settings import Guard
from shared.packages.installed import Installed
from shared.service import start_service
from shared.serving import open_models
from shared.serving.triton_door import TritonDoor
from shared.settings import Triton
from shared.stage import Stage
from shared.store import Study
from shared.study import StudyState
from shared.versions.loading import VersionLoader
from shared.worker import run_worker

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("gate")
    settings, triton = service.config.section(Settings), service.config.section(Triton)
    installed = Installed(triton.model_repository, service.config.packages)
    models = open_models(triton.url, triton.model_repository, shared_memory=triton.shared_memory)
    log.info("models are served by: %s", models.description)
    loader = VersionLoader(models, service.book, installed, gates=True)
    gates = Gates(
        book=service.book, store_dir=service.core.store_dir, packages=installed,
        models=models, timeout_s=triton.timeout_seconds, settings=settings, thresholds=service.config.gates,
        awaits=loader.awaits, guard=service.config.section(Guard),
    )  # fmt: skip
    rooms = Rooms(GATES, settings.patience["lease"], installed)
    stage = Stage(
        "gate", Study, (StudyState.GATING,), gates.work,
        only=TritonDoor(models).only, within=rooms.within, **settings.patience,
    )  # fmt: skip
    loader.start()
    try:
        run_worker(service.book, service.app, stage, service.core, settings.concurrency)
    finally:
        loader.stop()
        models.close()
