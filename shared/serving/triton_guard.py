"""Stands between Isocenter and its Triton, so that no end of either, kill -9 included, leaves anything behind.

Run as a file with the standard library alone: `triton_guard.py GRACE_S SHARED_MEMORY_PREFIX COMMAND…`. The command runs
in a process group of its own until the guard's standard input closes (whoever started it stopped it, or died) or it
ends by itself; then what remains of the group is ended and its shared memory freed. The exit status is the command's.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
POLL_S = 0.1
SHARED_MEMORY = Path("/dev/shm")


def main(grace_s: float, prefix: str, command: list[str]) -> int:
    """Run the command, watch it, clear up behind it."""
    signal.signal(signal.SIGTERM, stop_on_signal)
    signal.signal(signal.SIGINT, stop_on_signal)
    libc = ctypes.CDLL(None)
    # What the server leaves behind becomes ours, so that we see it end.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)

    def die_with_the_guard() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_the_guard)
    try:
        with contextlib.suppress(InterruptedError):
            wait_for_the_end(server)
    finally:
        end_group(server, grace_s)
        free_shared_memory(prefix)
    return server.returncode


def stop_on_signal(_number: int, _frame: FrameType | None) -> None:
    """Leave the wait."""
    raise InterruptedError


def wait_for_the_end(server: "subprocess.Popen[bytes]") -> None:
    """Until the server has ended or nobody holds the other end of our standard input."""
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], POLL_S)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            return


def end_group(server: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Ask the server to end, give it time, then kill what is left: itself or the Python stubs that it started."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    deadline = time.monotonic() + 2.0
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-server.pid, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def free_shared_memory(prefix: str) -> None:
    """Remove the segments that Triton's Python backend makes for each instance."""
    for segment in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            segment.unlink()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
