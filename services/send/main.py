"""Wires send: deliveries that wait, out to PACS and RIS."""

from functools import partial
from pathlib import Path

from services.send import mllp_client, scu
from services.send.deliver import Courier, Wire
from services.send.doors import Doors
from services.send.settings import Settings
from shared.service import start_service
from shared.settings import Destination
from shared.stage import Stage
from shared.store import Book, Delivery
from shared.study import DeliveryState
from shared.worker import run_worker

# The attempts that a delivery has are its destination's; the stage's own bound is for faults of ours.
_MOST_ATTEMPTS = 100


def send_stage(
    book: Book, data_dir: Path, destinations: list[Destination], settings: Settings, concurrency: int
) -> Stage:  # fmt: skip
    """The stage that takes deliveries out, with `concurrency` threads shared evenly among the destinations."""
    room = max(1, concurrency // max(1, len(destinations)))
    doors = Doors([d.name for d in destinations], room, settings.away_seconds)
    wires: dict[str, Wire] = {"dicom": partial(_store, settings.ae_title), "mllp": mllp_client.send}
    courier = Courier(book, data_dir, destinations, wires, doors)
    return Stage(
        "send", Delivery, (DeliveryState.WAITING,), courier.deliver,
        most_attempts=_MOST_ATTEMPTS, only=courier.only, **settings.patience,
    )  # fmt: skip


def _store(ae_title: str, path: Path, destination: Destination) -> str:
    return scu.store(path, destination, ae_title)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("send")
    settings = service.config.section(Settings)
    destinations = service.config.destinations
    concurrency = max(settings.concurrency, len(destinations))
    stage = send_stage(service.book, service.core.data_dir, destinations, settings, concurrency)
    run_worker(service.book, service.app, stage, service.core, concurrency)
