"""admit's wire: the only code that accepts HL7 on a socket."""

import asyncio

from services.admit.desk import Desk
from services.admit.settings import Settings
from shared.hl7.mllp import Frame
from shared.hl7.mllp_server import Limits, MllpServer


def listener(desk: Desk, settings: Settings) -> MllpServer:
    """A server for `desk`, not yet listening. Reading and writing go on in threads, so that peers don't wait."""

    async def answer(frame: Frame, peer: str) -> bytes | None:
        return await asyncio.to_thread(desk.answer, frame, peer)

    limits = Limits(
        most_bytes=settings.most_bytes, most_connections=settings.most_connections,
        idle_seconds=settings.idle_seconds, frame_seconds=settings.frame_seconds,
    )  # fmt: skip
    return MllpServer(answer, limits)
