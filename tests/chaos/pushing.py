"""The modalities and the RIS: each goes on until everything was answered 0x0000, as a modality's own queue does."""

import hashlib
import logging
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pynetdicom import AE, _config
from pynetdicom.presentation import build_context

from tests.chaos.made_up import Image, MadeUpStudy
from tests.chaos.processes import MARK

_STORESCU = shutil.which("storescu")
_TIMEOUT = 15
_NOT_NOW = {0xA700, 0x0110, 0x0122}  # a modality tries again; any other refusal of these files is a fault
_ABORT_SECONDS = (0.05, 0.6)


@dataclass
class Answers:
    """What was answered, to count by at the end. Thread-safe by the interpreter's own lock."""

    stored: dict[tuple[str, str], Image] = field(default_factory=dict)  # (SOP instance, digest) answered 0x0000
    successes: int = 0
    tries: int = 0
    refused: list[str] = field(default_factory=list)  # what no modality would understand
    orders: dict[str, str] = field(default_factory=dict)  # accession number → priority, answered AA
    pushed: set[int] = field(default_factory=set)  # studies of which everything was answered

    def success(self, image: Image) -> None:
        self.stored[image.sop_instance_uid, image.digest] = image
        self.successes += 1


class Modality(threading.Thread):
    """Pushes one study as its plan says; ends when all of it was answered 0x0000, or it is told to stop."""

    def __init__(
        self, study: MadeUpStudy, ports: dict[str, int], answers: Answers, begin: float, mark: str
    ) -> None:  # fmt: skip
        super().__init__(name=f"modality {study.plan.number}", daemon=True)
        self.study, self.plan, self.dicom_port, self.hl7_port = study, study.plan, ports["collect"], ports["admit"]
        self.answers, self.begin, self.mark, self.stopping = answers, begin, mark, threading.Event()
        self._dice = random.Random(study.plan.number)

    def run(self) -> None:
        self._wait_until(self.begin + self.plan.starts)
        if self.plan.priority:
            self._until_done(self._order)
        if self.plan.aborted:
            self._aborted()
        self._push(self.study.images)
        if self.plan.twice:
            self._push(self.study.images)
        self._push(self.study.others)
        if self.study.late:
            self.stopping.wait(self.plan.late)
            self._push(self.study.late)
        if not self.stopping.is_set():
            self.answers.pushed.add(self.plan.number)

    def _wait_until(self, moment: float) -> None:
        self.stopping.wait(max(0.0, moment - time.monotonic()))

    def _until_done(self, attempt: object) -> None:
        while not self.stopping.is_set() and not attempt():  # type: ignore[operator]
            self.stopping.wait(self._dice.uniform(0.5, 2))

    def _push(self, images: Sequence[Image]) -> None:
        """Sends all; then again what was not answered 0x0000."""
        left = list(images)

        def attempt() -> bool:
            self.answers.tries += 1
            for image in self._send(left):
                self.answers.success(image)
                left.remove(image)
            return not left

        if left:
            self._until_done(attempt)

    def _send(self, images: Sequence[Image]) -> list[Image]:
        """One association; returns what was answered 0x0000."""
        if self.plan.sender == "storescu" and _STORESCU:
            return self._storescu(images)
        return self._pynetdicom(images)

    def _storescu(self, images: Sequence[Image], longest: float = 60.0) -> list[Image]:
        command = [_STORESCU, "-v", "-nh", "-aet", self._ae_title, "-aec", "ISOCENTER", "-to", "5"]
        command += [word for option in ("-ts", "-ta", "-td") for word in (option, str(_TIMEOUT))]
        command += ["127.0.0.1", str(self.dicom_port)]
        process = subprocess.Popen(
            [str(word) for word in command] + [str(image.path) for image in images],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, MARK: self.mark},
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        return self._read(said, {str(image.path): image for image in images})

    def _read(self, said: str, by_path: dict[str, Image]) -> list[Image]:
        """storescu sends one after the other: each answer belongs to the file that was named before it."""
        stored: list[Image] = []
        current: Image | None = None
        for line in said.splitlines():
            if match := re.search(r"Sending file: (.+)$", line):
                current = by_path.get(match[1].strip())
            elif match := re.search(r"Received Store Response \((.+)\)", line):
                if match[1] == "Success" and current is not None:
                    stored.append(current)
                elif "OutOfResources" not in match[1].replace(" ", ""):
                    self.answers.refused.append(f"{self.plan.kind}: {match[1]}")
                current = None
        return stored

    def _pynetdicom(self, images: Sequence[Image], abort_after: int | None = None) -> list[Image]:
        _config.STORE_SEND_CHUNKED_DATASET = True  # the bytes go as they lie in the file
        entity = AE(ae_title=self._ae_title)
        entity.connection_timeout = 5
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT
        contexts = [build_context(images[0].sop_class_uid, "1.2.840.10008.1.2.1")]
        association = entity.associate("127.0.0.1", self.dicom_port, contexts=contexts, ae_title="ISOCENTER")
        stored: list[Image] = []
        for number, image in enumerate(images):
            if not association.is_established or number == abort_after:
                break
            status = self._store(association, image)
            if status == 0x0000:
                stored.append(image)
        if association.is_established:
            association.abort() if abort_after is not None else association.release()
        return stored

    def _store(self, association: object, image: Image) -> int | None:
        try:
            status = association.send_c_store(image.path)  # type: ignore[attr-defined]
        except (RuntimeError, ValueError):  # the association ended in this moment
            return None
        if "Status" not in status:
            return None
        if status.Status not in _NOT_NOW | {0x0000}:
            self.answers.refused.append(f"{self.plan.kind}: 0x{status.Status:04X} {status.get('ErrorComment', '')}")
        return int(status.Status)

    def _aborted(self) -> None:
        """One association that ends in the middle; what it was answered counts all the same."""
        self.answers.tries += 1
        if self.plan.sender == "storescu" and _STORESCU:
            stored = self._storescu(self.study.images, longest=self._dice.uniform(*_ABORT_SECONDS))
        else:
            stored = self._pynetdicom(self.study.images, abort_after=len(self.study.images) // 2)
        for image in stored:
            self.answers.success(image)

    @property
    def _ae_title(self) -> str:
        return f"CHAOS{self.plan.number % 4}"

    def _order(self) -> bool:
        """Sends the order; True once it was answered AA."""
        message = order_message(self.study)
        try:
            with socket.create_connection(("127.0.0.1", self.hl7_port), timeout=5) as connection:
                connection.sendall(b"\x0b" + message.encode() + b"\x1c\x0d")
                answer = b""
                while b"\x1c" not in answer and (chunk := connection.recv(4096)):
                    answer += chunk
        except OSError:
            return False
        accepted = b"MSA|AA|" in answer
        if accepted:
            self.answers.orders[self.study.accession_number] = self.plan.priority
        return accepted


def order_message(study: MadeUpStudy) -> str:
    """An ORM^O01 for the study (HL7 v2.5.1 4.4.1)."""
    plan, number = study.plan, study.accession_number
    control_id = hashlib.sha256(number.encode()).hexdigest()[:20]
    timing = f"^^^20260302080000^^{plan.priority}"
    obr = ["OBR", "1", f"P{number}", number, f"{plan.kind}^{plan.kind} study^99CHAOS", *[""] * 13, number]
    return "\r".join([
        f"MSH|^~\\&|CHAOSRIS|CHAOS|ISOCENTER|ISOCENTER|20260302080000||ORM^O01^ORM_O01|{control_id}|P|2.5.1",
        f"PID|1||CHAOS-{plan.number:05d}^^^CHAOS^MR||CHAOS^{plan.number:05d}||19700101|O",
        "PV1|1|O", f"ORC|NW|P{number}|{number}||SC||{timing}||20260302080000", "|".join(obr), "",
    ])  # fmt: skip


logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
