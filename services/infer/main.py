"""Wires infer: a run that may be read in, its findings out."""

import logging

from services.infer.settings import Settings
from services.infer.shadow import start_shadows
from services.infer.work import Reader
from shared.guard.rooms import READERS, Rooms
from shared.guard.settings import Guard
from shared.packages.installed import Installed
from shared.service import start_service
from shared.serving import open_models
from shared.serving.triton_door import TritonDoor
from shared.settings import Triton
from shared.stage import Stage
from shared.store import Run
from shared.study import RunState
from shared.versions.loading import VersionLoader
from shared.worker import run_worker

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("infer")
    settings, triton = service.config.section(Settings), service.config.section(Triton)
    installed = Installed(triton.model_repository, service.config.packages)
    models = open_models(triton.url, triton.model_repository, shared_memory=triton.shared_memory)
    log.info("models are served by: %s", models.description)
    loader = VersionLoader(models, service.book, installed, gates=False)
    reader = Reader(
        book=service.book, core=service.core, packages=installed,
        models=models, timeout_s=triton.timeout_seconds, awaits=loader.awaits, guard=service.config.section(Guard),
    )  # fmt: skip
    door = TritonDoor(models)
    rooms = Rooms(READERS, settings.patience["lease"], installed)
    stage = Stage(
        "infer", Run, (RunState.READY,), reader.work, most_attempts_of=reader.most_attempts_of,
        only=door.only, within=rooms.within, **settings.patience,
    )  # fmt: skip
    shadows = start_shadows(reader, door.only, settings)
    loader.start()
    try:
        run_worker(service.book, service.app, stage, service.core, settings.concurrency)
    finally:
        shadows.set()
        loader.stop()
        models.close()
