"""Wires admit: HL7 orders in, the book's orders out."""

import asyncio
import logging
import signal

from services.admit.desk import Desk
from services.admit.mllp_listener import listener
from services.admit.quarantine import Hl7Quarantine
from services.admit.settings import Settings
from shared.service import start_service
from shared.store.patience import Patient

log = logging.getLogger(__name__)

# A database that hangs: the RIS hears so, and knows that it has to repeat, before it gives up waiting for an answer.
_LONGEST_SILENCE = 8.0


async def serve(desk: Desk, settings: Settings) -> None:
    """Listens until SIGTERM or SIGINT; the answers in hand still go out."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = listener(desk, settings)
    port = await server.start(settings.host, settings.port)
    log.info("ready mllp=%s:%d", settings.host, port)
    await stop.wait()
    await server.stop()


def main() -> None:
    """Runs until told to stop."""
    service = start_service("admit")
    Patient.longest_silence = _LONGEST_SILENCE
    settings = service.config.section(Settings)
    desk = Desk(service.book, Hl7Quarantine(service.book, service.core.quarantine_dir), settings)
    asyncio.run(serve(desk, settings))
