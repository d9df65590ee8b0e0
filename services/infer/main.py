"""Wires infer: a run that may be read in, its findings out."""

import logging

from services.infer.settings import Settings
from services.infer.work import Reader
from shared.packages.folder import usable_packages
from shared.service import start_service
from shared.serving import open_models
from shared.serving.triton_door import TritonDoor
from shared.settings import Triton
from shared.stage import Stage
from shared.store import Run
from shared.study import RunState
from shared.worker import run_worker

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("infer")
    settings, triton = service.config.section(Settings), service.config.section(Triton)
    packages = usable_packages(triton.model_repository)
    models = open_models(triton.url, triton.model_repository, shared_memory=triton.shared_memory)
    log.info("models are served by: %s", models.description)
    reader = Reader(
        book=service.book, store_dir=service.core.store_dir, packages={(p.name, p.version): p for p in packages},
        models=models, timeout_s=triton.timeout_seconds,
    )  # fmt: skip
    stage = Stage(
        "infer", Run, (RunState.READY,), reader.work,
        only=TritonDoor(models).only, **settings.patience,
    )  # fmt: skip
    try:
        run_worker(service.book, service.app, stage, service.core, settings.concurrency)
    finally:
        models.close()
