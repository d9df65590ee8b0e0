"""A PostgreSQL connection that waits for an answer, but not for ever."""

import time
from collections.abc import Generator
from typing import Any

import psycopg

LONGEST_SILENCE = 30.0  # seconds


class Patient(psycopg.Connection[Any]):
    """Given up after `longest_silence` seconds without a word: a server that hangs, or is behind a network that drops
    packets, would hold a thread until the kernel gives up, a quarter of an hour later or never. None waits for ever."""

    longest_silence: float | None = LONGEST_SILENCE

    def wait(self, gen: Any, *args: Any, **named: Any) -> Any:
        """See psycopg.Connection.wait: all that waits for the server comes through here.

        Raises:
            psycopg.OperationalError: the server was silent for too long; the connection is closed.
        """
        if self.longest_silence is None:
            return super().wait(gen, *args, **named)
        try:
            return super().wait(_bounded(gen, self.longest_silence), *args, **named)
        except _Silence:
            self.pgconn.finish()
            words = f"the database has not answered for {self.longest_silence:g} s"
            raise psycopg.OperationalError(words) from None


class _Silence(Exception):
    """Nothing came for too long."""


def _bounded(gen: Any, seconds: float) -> Generator[Any, Any, Any]:
    """`gen`, which is sent 0 at intervals in which its socket was not ready."""
    until = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                until = time.monotonic() + seconds
            elif time.monotonic() >= until:
                raise _Silence
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
