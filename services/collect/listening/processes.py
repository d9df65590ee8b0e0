"""The listener processes: started, watched, started again when they die or hang, and stopped."""

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from prometheus_client import multiprocess

from services.collect.listening.heart import SILENT_SECONDS
from services.collect.listening.register import Owner, Register
from services.collect.store.mending import Mending
from shared.metrics_folder import METRICS_FOLDER

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0
_LONG_LIFE = 60.0
_COMMAND = [sys.executable, "-m", "services.collect.listening.process"]
_GRACE_SECONDS = 30.0  # beyond the associations' own: rows are written


class Processes:
    """Each has a thread that starts it, answers its questions to the register, and waits for its end."""

    def __init__(
        self, count: int, sockets: list[socket.socket], register: Register, mend: Callable[[Owner], None]
    ) -> None:
        self._sockets, self._register = sockets, register
        self._mending = Mending(mend, register.forget)
        self._owners = itertools.count(1)  # one a life: what the last one held stays held while the next one works
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._threads = [
            threading.Thread(target=self._keep_running, args=(number,), name=f"listener-{number}", daemon=True)
            for number in range(1, count + 1)
        ]

    def start(self) -> None:
        self._mending.start()
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Tells all of them to stop; those that take longer than `seconds` and their grace are killed."""
        deadline = time.monotonic() + seconds + _GRACE_SECONDS
        with self._lock:
            self._stopping.set()
            running = list(self._running.values())
        for process in running:
            process.terminate()
        for one in self._sockets:  # at once, also for a process that has the socket and does not listen yet
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("listener process killed at stop pid=%d", process.pid)
                process.kill()
        for thread in self._threads:
            thread.join(timeout=10)
        self._mending.stop()

    def pids(self) -> list[int]:
        """The processes that run now."""
        with self._lock:
            return [process.pid for process in self._running.values()]

    def _keep_running(self, number: int) -> None:
        deaths = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._run_one(number)
            except Exception as error:  # no memory, no process: the others go on
                log.error("listener process not started number=%d cause=%s", number, error)
            deaths = 1 if time.monotonic() - began > _LONG_LIFE else deaths + 1
            self._stopping.wait(min(0.1 * 2**deaths, _LONGEST_PAUSE))

    def _run_one(self, number: int) -> None:
        """One life of a process. This thread lasts as long: the kernel ends the process with the thread that started
        it (prctl(2), PR_SET_PDEATHSIG)."""
        ours, theirs = socket.socketpair()
        owner = next(self._owners)
        with ours:
            with theirs:
                process = self._spawn(theirs)
            if process is None:
                return
            log.info("listener process started number=%d pid=%d", number, process.pid)
            if not self._register.serve(owner, ours, SILENT_SECONDS):
                log.error("listener process hangs, killed number=%d pid=%d", number, process.pid)
                process.kill()
                self._register.hang_up(owner)
            code = process.wait()
        with self._lock:
            self._running.pop(number, None)
        if not self._stopping.is_set():
            log.error("listener process died number=%d pid=%d code=%d", number, process.pid, code)
        if METRICS_FOLDER in os.environ:
            multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        self._mending.left(owner)

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes] | None:
        passed = [theirs, *self._sockets]
        numbers = [str(one.fileno()) for one in passed]
        command = [*_COMMAND, str(os.getpid()), *numbers]
        with self._lock:
            if self._stopping.is_set():
                return None
            process = subprocess.Popen(command, pass_fds=[one.fileno() for one in passed], stdin=subprocess.DEVNULL)
            self._running[int(threading.current_thread().name.rpartition("-")[2])] = process
            return process
