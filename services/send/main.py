"""Wires send: deliveries that wait, out to PACS and RIS."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from services.send import commitment_scu, mllp_client, scu
from services.send.deliver import Courier, Wire, hasten
from services.send.doors import Doors
from services.send.pace import Turn, take_turn
from services.send.settings import Settings
from shared.service import start_service
from shared.settings import Destination
from shared.stage import Stage
from shared.store import Book, Delivery
from shared.study import DeliveryState
from shared.worker import run_worker

# The attempts that a delivery has are its destination's; the stage's own bound is for faults of ours.
_MOST_ATTEMPTS = 10_000


def send_stage(
    book: Book, data_dir: Path, destinations: list[Destination], settings: Settings, concurrency: int
) -> Stage:  # fmt: skip
    """The stage that takes deliveries out, with `concurrency` threads shared evenly among the destinations."""
    share = max(1, concurrency // max(1, len(destinations)))
    rates = {d.name: d.per_minute for d in destinations if d.per_minute}

    def turn(name: str) -> Turn:
        return take_turn(book, name, rates[name]) if name in rates else Turn(True, timedelta(0))

    rooms = {d.name: d.concurrency or share for d in destinations}
    doors = Doors(rooms, settings.away_seconds, turn=turn, returned=partial(hasten, book))
    wires: dict[str, Wire] = {"dicom": partial(_store, settings.ae_title), "mllp": mllp_client.send}
    ask = partial(commitment_scu.ask, ae_title=settings.ae_title)
    courier = Courier(book, data_dir, destinations, wires, doors, ask)
    return Stage(
        "send", Delivery, (DeliveryState.WAITING, DeliveryState.COMMITTING), courier.deliver,
        most_attempts=_MOST_ATTEMPTS, only=courier.only, opens_in=doors.opens_in, **settings.patience,
    )  # fmt: skip


def _store(ae_title: str, path: Path, destination: Destination) -> str:
    return scu.store(path, destination, ae_title)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("send")
    settings = service.config.section(Settings)
    destinations = service.config.destinations
    concurrency = max(settings.concurrency, sum(d.concurrency or 1 for d in destinations))
    stage = send_stage(service.book, service.core.data_dir, destinations, settings, concurrency)
    run_worker(service.book, service.app, stage, service.core, concurrency)
