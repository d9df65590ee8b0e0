"""Many short associations: of one instance each, some at a time, over and over. None may fail, none may stall."""

import statistics
from dataclasses import replace
from pathlib import Path

from benchmarks.ingest.images import KINDS, Sent, write_images
from benchmarks.ingest.receivers import FAILURES, Receiver, new_receiver
from benchmarks.ingest.runs import send_dicom

_ROUNDS, _ASSOCIATIONS, _AT_A_TIME = 20, 200, 4
_STALL_SECONDS = 5.0  # a healthy one takes a tenth of a second


def short_associations(receivers: list[str], folder: Path) -> int:
    """20 rounds of 200 associations of one MR image, 4 at a time, for each DICOM receiver; 1 when one failed."""
    sent, failed = write_images(replace(KINDS["mr"], studies=_ASSOCIATIONS, instances=1), folder / "short"), 0
    for name in receivers:
        receiver = new_receiver(name, folder / "receivers")
        if not receiver.is_dicom:
            continue
        try:
            with receiver.running():
                failed += _rounds(receiver, sent)
        except FAILURES as error:
            print(f"FAILED {name}: {error}", flush=True)
            failed += 1
    return 1 if failed else 0


def _rounds(receiver: Receiver, sent: Sent) -> int:
    """Each round sends the same images again: the first makes the rows, the others find them known."""
    slowest, typical, stalled = 0.0, 0.0, 0
    send_dicom(receiver, [sent.first], 1)
    for n in range(_ROUNDS):
        seconds = send_dicom(receiver, sent.folders, _AT_A_TIME)
        slowest, typical = max(slowest, *seconds), statistics.median(seconds)
        stalled += sum(one > _STALL_SECONDS for one in seconds)
        print(f"{receiver.name} round {n + 1}/{_ROUNDS}: slowest {max(seconds):.2f} s", flush=True)
    receiver.wait_until_there(sent)
    receiver.check(sent)
    print(
        f"{receiver.name}: {_ROUNDS * _ASSOCIATIONS} associations, {_AT_A_TIME} at a time, none failed, "
        f"{stalled} took over {_STALL_SECONDS:g} s; median {typical:.2f} s, slowest {slowest:.2f} s", flush=True,
    )  # fmt: skip
    return stalled
