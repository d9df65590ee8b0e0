"""Wires decide: a complete study in, its runs out."""

import logging

from sqlmodel import Session

from services.decide.handlers import choose
from services.decide.plan import find_order, instances_of, not_whole, save_decision, study_facts
from services.decide.settings import Settings
from shared.packages.installed import Installed
from shared.service import start_service
from shared.settings import Triton
from shared.stage import Save, Stage
from shared.store import Study
from shared.store.moves import Row, move
from shared.study import StudyEvent, StudyState
from shared.versions.choice import packages_for, reads
from shared.worker import run_worker

log = logging.getLogger(__name__)


def work(installed: Installed, settings: Settings) -> Save:
    """Decides on one study.

    Everything is read in the transaction that saves: it takes milliseconds, and late images can't slip in between.
    """
    installed.names()  # looks into the folder now: weights that have changed are not read in the transaction

    def save(session: Session, row: Row) -> None:
        assert isinstance(row, Study)
        if gone := not_whole(session, row):
            move(session, row, StudyEvent.REFUSED, gone)
            return
        order = find_order(session, row)
        instances = instances_of(session, row.study_instance_uid)
        packages = packages_for(session, installed, row.study_instance_uid)
        choices = choose(study_facts(row, order, instances), [one.package for one in packages], settings.rules)
        choices = [choice.in_version(one.why, one.barred) for choice, one in zip(choices, packages, strict=True)]
        save_decision(session, row, order, instances, choices)
        for choice in choices:
            if choice.runs:
                reads(session, installed, choice.package)

    return save


def main() -> None:
    """Runs until told to stop."""
    service = start_service("decide")
    settings = service.config.section(Settings)
    installed = Installed(service.config.section(Triton).model_repository, service.config.packages)
    log.info("packages %s", " ".join(f"{name}={version}" for name, version in installed) or "none")

    def decide(_study_instance_uid: str) -> Save:
        return work(installed, settings)

    stage = Stage("decide", Study, (StudyState.WAITING,), decide, **settings.patience)
    run_worker(service.book, service.app, stage, service.core, settings.concurrency)
