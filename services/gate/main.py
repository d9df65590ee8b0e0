"""Wires gate: a study with its runs in, the gates' words and the runs' turns out."""

import logging

from services.gate.settings import Settings
from services.gate.work import Gates
from shared.guard.rooms import GATES, Rooms, bounds
from shared.packages.folder import usable_packages
from shared.packages.resources import as_set_here
from shared.service import start_service
from shared.serving import open_models
from shared.serving.triton_door import TritonDoor
from shared.settings import Triton
from shared.stage import Stage
from shared.store import Study
from shared.study import StudyState
from shared.worker import run_worker

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("gate")
    settings, triton = service.config.section(Settings), service.config.section(Triton)
    usable = as_set_here(usable_packages(triton.model_repository), service.config.packages)
    packages = {(p.name, p.version): p for p in usable}
    models = open_models(triton.url, triton.model_repository, shared_memory=triton.shared_memory)
    log.info("models are served by: %s", models.description)
    gates = Gates(
        book=service.book, store_dir=service.core.store_dir, packages=packages,
        models=models, timeout_s=triton.timeout_seconds, settings=settings, thresholds=service.config.gates,
    )  # fmt: skip
    rooms = Rooms(GATES, settings.patience["lease"], bounds(packages))
    stage = Stage(
        "gate", Study, (StudyState.GATING,), gates.work,
        only=TritonDoor(models).only, within=rooms.within, **settings.patience,
    )  # fmt: skip
    try:
        run_worker(service.book, service.app, stage, service.core, settings.concurrency)
    finally:
        models.close()
