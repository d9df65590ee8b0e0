"""An MLLP server on asyncio: each connection's frames are answered in order, and no peer waits for another."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.hl7.mllp import MOST_BYTES, Decoder, Frame, frame

log = logging.getLogger(__name__)

_CHUNK = 1 << 16

Answer = Callable[[Frame, str], Awaitable[bytes | None]]


@dataclass(frozen=True)
class Limits:
    """What a server lets its peers take."""

    most_bytes: int = MOST_BYTES  # of one frame
    most_connections: int = 64
    idle_seconds: float = 600.0  # a connection on which nothing comes for so long is closed
    frame_seconds: float = 30.0  # longest time from a frame's first byte to its last, and for a peer to take an answer


class MllpServer:
    """Answers frames.

    `answer` gets a frame and the peer's address, and returns the message to send back, or None for none. What it
    raises ends that connection only. After bytes outside a frame the connection is closed: what follows can't be told.
    """

    def __init__(self, answer: Answer, limits: Limits = Limits()) -> None:
        self._answer, self._limits = answer, limits
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port (a free one where 0 was asked for).

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._connected, host, port, limit=_CHUNK)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Takes no more connections, lets the answers in hand go out, and closes."""
        self._stopping = True
        if self._server:
            self._server.close()
        for task in self._connections - self._answering:
            task.cancel()
        if self._connections:
            _, late = await asyncio.wait(set(self._connections), timeout=grace_seconds)
            for task in late:
                task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._stopping or len(self._connections) >= self._limits.most_connections:
            log.warning("connection refused: %d are open", len(self._connections))
            writer.close()
            return
        self._connections.add(task)
        peer = str((writer.get_extra_info("peername") or ("?",))[0])
        try:
            await self._serve(reader, writer, peer, task)
        except (ConnectionError, TimeoutError) as error:
            log.info("connection lost peer=%s cause=%s", peer, type(error).__name__)
        except asyncio.CancelledError:
            log.debug("connection closed by us peer=%s", peer)
        except Exception:
            log.exception("connection ended by a fault peer=%s", peer)
        finally:
            self._connections.discard(task)
            self._answering.discard(task)
            writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str, task: asyncio.Task[None]
    ) -> None:
        decoder = Decoder(self._limits.most_bytes)
        begun = 0.0
        while not self._stopping:
            data = await self._read(reader, decoder, begun)
            if not data:
                break
            for received in decoder.feed(data):
                self._answering.add(task)
                await self._reply(received, writer, peer)
                self._answering.discard(task)
                begun = 0.0
                if received.fault == "outside":
                    return
            begun = (begun or time.monotonic()) if decoder.inside else 0.0
        if cut := decoder.close():
            await self._answer(cut, peer)

    async def _read(self, reader: asyncio.StreamReader, decoder: Decoder, begun: float) -> bytes:
        """What comes next; nothing when the peer has closed, or has used up its time."""
        left = self._limits.idle_seconds
        if decoder.inside:
            left = self._limits.frame_seconds - (time.monotonic() - begun)
        try:
            return await asyncio.wait_for(reader.read(_CHUNK), max(left, 0.001))
        except TimeoutError:
            return b""

    async def _reply(self, received: Frame, writer: asyncio.StreamWriter, peer: str) -> None:
        answer = await self._answer(received, peer)
        if answer is not None:
            writer.write(frame(answer))
            await asyncio.wait_for(writer.drain(), self._limits.frame_seconds)
