"""A lease while work goes on: renewed from a thread, but not for ever, and asked before what can't be taken back."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

log = logging.getLogger(__name__)

_in_hand = threading.local()


class LeaseLost(Exception):
    """Another worker has the row by now: what was worked out here is dropped."""


def check_lease() -> None:
    """For work that is about to do what can't be taken back: asks the book, and renews.

    A process that was stopped and goes on knows nothing of who has taken over meanwhile. Outside `kept_lease` it does
    nothing.

    Raises:
        LeaseLost: another worker has the row.
    """
    renew: Callable[[], bool] | None = getattr(_in_hand, "renew", None)
    if renew is not None and not renew():
        raise LeaseLost


@contextmanager
def kept_lease(
    renew: Callable[[], bool], lease: timedelta, longest: timedelta, overdue: Callable[[], None]
) -> Iterator[None]:
    """Renews at each third of `lease` while the block runs; after `longest` never again, and `overdue` is called.

    `renew` says whether the row is still ours. Should the whole process hang, the lease runs out by itself.
    """
    done, step, until = threading.Event(), lease.total_seconds() / 3, time.monotonic() + longest.total_seconds()

    def keep() -> None:
        said = False
        while not done.wait(max(0.0, min(step, until - time.monotonic()))):
            if time.monotonic() >= until:
                overdue()
                return
            try:
                if not renew():
                    return
                said = False
            except Exception as error:
                if not said:
                    log.warning("lease not renewed cause=%s", type(error).__name__)
                said = True

    _in_hand.renew = renew
    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _in_hand.renew = None
        done.set()
        thread.join(timeout=5)
