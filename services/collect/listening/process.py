"""`python -m services.collect.listening.process`: one listener process; started by the service only."""

import ctypes
import os
import signal
import socket
import sys

from services.collect.lean import without_pixels
from services.collect.listening.heart import Heart
from services.collect.listening.register import RemoteDesk

STOPS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Linux: the kernel tells this process to stop when the thread that started it is gone, however it went (prctl(2)).

    Raises:
        SystemExit: it is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)


def main() -> None:
    """Listens on the sockets that the service hands over, until it is told to stop."""
    # Blocked before any thread starts (libraries start some when they are imported), so that none but sigwait takes
    # them: a handler that only sets an event runs late or never when another thread gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    die_with(int(sys.argv[1]))
    parent, *sockets = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[2:])
    desk = RemoteDesk(parent)
    heart = Heart(desk.beat)
    without_pixels()
    from services.collect.listening.station import run_station  # takes seconds: what is above must hold before

    if signal.sigpending() & set(STOPS):
        return
    run_station(desk, sockets, heart, until=lambda: signal.sigwait(STOPS))
    sys.stderr.flush()
    os._exit(0)  # all is written; taking the interpreter apart would take as long again


if __name__ == "__main__":
    main()
