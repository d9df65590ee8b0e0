"""Wires decide: a complete study in, its runs out."""

import logging

from sqlmodel import Session

from services.decide.handlers import choose
from services.decide.plan import find_order, instances_of, not_whole, save_decision, study_facts
from services.decide.settings import Settings
from shared.packages.folder import Package, usable_packages
from shared.service import start_service
from shared.settings import Triton
from shared.stage import Save, Stage
from shared.store import Study
from shared.store.moves import Row, move
from shared.study import StudyEvent, StudyState
from shared.worker import run_worker

log = logging.getLogger(__name__)


def work(packages: list[Package], settings: Settings) -> Save:
    """Decides on one study.

    Everything is read in the transaction that saves: it takes milliseconds, and late images can't slip in between.
    """

    def save(session: Session, row: Row) -> None:
        assert isinstance(row, Study)
        if gone := not_whole(session, row):
            move(session, row, StudyEvent.REFUSED, gone)
            return
        order = find_order(session, row)
        instances = instances_of(session, row.study_instance_uid)
        choices = choose(study_facts(row, order, instances), packages, settings.rules)
        save_decision(session, row, order, instances, choices)

    return save


def main() -> None:
    """Runs until told to stop."""
    service = start_service("decide")
    settings = service.config.section(Settings)
    packages = usable_packages(service.config.section(Triton).model_repository)
    log.info("packages %s", " ".join(f"{p.name}={p.version}" for p in packages) or "none")

    def decide(_study_instance_uid: str) -> Save:
        return work(packages, settings)

    stage = Stage("decide", Study, (StudyState.WAITING,), decide, **settings.patience)
    run_worker(service.book, service.app, stage, service.core, settings.concurrency)
