"""What happens in one run, worked out from its seed alone: which studies are pushed how, and which faults come when."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["DX", "MR", "CT", "US"]
IMAGES: dict[Kind, int] = {"DX": 1, "MR": 6, "CT": 8, "US": 2}
OUTCOMES: dict[Kind, frozenset[str]] = {
    "DX": frozenset({"delivered", "held"}), "MR": frozenset({"delivered", "held"}),
    "CT": frozenset({"refused"}), "US": frozenset({"refused"}),
}  # fmt: skip
"""How a study of the kind may end: the packages that ship read chest radiographs and brain MR, nothing else."""

SERVICES = ("collect", "admit", "decide", "gate", "infer", "report", "send", "status", "triton")
_FIRST_FAULT = 4.0  # seconds after the doors are open


@dataclass(frozen=True)
class StudyPlan:
    """One study and how its modality behaves."""

    number: int
    kind: Kind
    starts: float  # seconds after the doors are open
    sender: Literal["storescu", "pynetdicom"]
    priority: Literal["S", "R", ""]  # of its order; none without
    aborted: bool  # the first association is aborted in the middle, and everything is sent again
    twice: bool  # everything is sent a second time
    other_bytes: bool  # one image comes again with other bytes under its UID
    late: float  # so many seconds after the rest one more image comes; 0: none


@dataclass(frozen=True)
class Fault:
    """One fault; `seconds` is how long it lasts, 0 for one that has no length."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.target}"


@dataclass(frozen=True)
class Plan:
    """A seed's studies and faults."""

    seed: int
    store: Literal["embedded", "servers"]
    seconds: float
    studies: list[StudyPlan] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def make_plan(seed: int, store: Literal["embedded", "servers"], studies: int, seconds: float) -> Plan:
    """The plan of a seed: studies begin within `seconds`, and so do the faults."""
    dice = random.Random(f"{seed} {store}")
    plan = Plan(seed, store, seconds)
    plan.studies.extend(_study(dice, number, seconds) for number in range(studies))
    lanes = (_process_faults(dice), _wire_faults(dice, store))
    for lane in lanes:
        plan.faults.extend(_lane(dice, lane, seconds))
    plan.faults.sort(key=lambda fault: fault.at)
    return plan


def _study(dice: random.Random, number: int, seconds: float) -> StudyPlan:
    kind: Kind = dice.choices(("DX", "MR", "CT", "US"), (35, 25, 25, 15))[0]
    return StudyPlan(
        number, kind, starts=dice.uniform(0, seconds), sender=dice.choice(("storescu", "pynetdicom")),
        priority=dice.choices(("S", "R", ""), (25, 50, 25))[0], aborted=dice.random() < 0.2,
        twice=dice.random() < 0.15, other_bytes=dice.random() < 0.1,
        late=dice.uniform(4, 15) if dice.random() < 0.15 else 0.0,
    )  # fmt: skip


def _process_faults(dice: random.Random) -> list[tuple[str, str, float]]:
    faults = [("kill", name, 0.0) for name in SERVICES]
    faults += [("stop", name, dice.uniform(1, 6)) for name in SERVICES]
    faults += [("kill", "collect worker", 0.0), ("stop", "collect worker", dice.uniform(1, 6))]
    faults += [("kill", "all", 0.0), ("restart", "all", 0.0), ("power cut", "all", 0.0)]
    return faults


def _wire_faults(dice: random.Random, store: str) -> list[tuple[str, str, float]]:
    def a_while() -> float:
        return dice.uniform(1.5, 6)

    faults = [(kind, "PACS", a_while()) for kind in ("kill", "stop", "blackhole", "delay", "full")]
    faults += [(kind, "ARCHIVE", a_while()) for kind in ("kill", "stop", "blackhole")]
    faults += [(kind, "RIS", a_while()) for kind in ("kill", "slow", "late", "silent")]
    faults += [("cut", "PACS", 0.0), ("cut", "RIS", 0.0), ("replay", "a person", 0.0)]
    faults += [(kind, "disk", a_while()) for kind in ("full", "watermark")]
    if store == "embedded":
        return [*faults, ("lose bells", "broker", a_while()), ("lock", "database", a_while())]
    for target in ("broker", "database"):
        faults += [("cut", target, 0.0), *((kind, target, a_while()) for kind in ("refuse", "delay", "blackhole"))]
    return [*faults, ("terminate", "database", 0.0)]


def _lane(dice: random.Random, faults: list[tuple[str, str, float]], seconds: float) -> Iterator[Fault]:
    """Each fault once in a random order, then again, one after the other."""
    at, waiting = _FIRST_FAULT, list[tuple[str, str, float]]()
    while at < seconds:
        if not waiting:
            waiting = dice.sample(faults, len(faults))
        kind, target, lasts = waiting.pop()
        yield Fault(at, kind, target, lasts)
        at += lasts + dice.uniform(1, 4)
