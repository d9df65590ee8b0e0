"""What a listener process left that died: one whose files can't be read keeps no other from being mended."""

import socket
import threading
import time

from services.collect.listening.register import Register
from services.collect.store.mending import Mending


def test_an_owner_that_can_not_be_mended_keeps_no_other_waiting() -> None:
    forgotten: list[int] = []

    def mend(owner: int) -> None:
        if owner == 1:
            raise OSError("files of these studies can't be read")

    mending = Mending(mend, forgotten.append)
    for owner in (1, 2, 3):
        mending.left(owner)
    mending.start()
    until = time.monotonic() + 10
    while forgotten != [2, 3] and time.monotonic() < until:
        time.sleep(0.01)
    mending.stop()
    assert forgotten == [2, 3]


def test_a_process_that_dies_within_a_line_leaves_its_places() -> None:
    register = Register(most_associations=1, most_associations_per_ae=1)
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=register.serve, args=(1, ours, 10))
    serving.start()
    theirs.sendall(b'["admit", "PACS1"]\n')
    assert theirs.makefile().readline() == '""\n'
    theirs.sendall(b'["hold", "1.2')
    theirs.shutdown(socket.SHUT_WR)
    serving.join(10)
    assert register.admit(2, "PACS1") == ""
