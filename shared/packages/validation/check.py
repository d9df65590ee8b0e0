"""What one check of a package says."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "wrong", "unknown"]


@dataclass(frozen=True)
class Check:
    """One line of a validation: what was looked at, how it stands, and in words what was seen or what to do.

    `unknown` is what could not be looked at here: it blocks nothing, and the words say why.
    """

    name: str
    state: State
    said: str


def ok(name: str, said: str) -> Check:
    return Check(name, "ok", said)


def wrong(name: str, said: str) -> Check:
    return Check(name, "wrong", said)


def unknown(name: str, said: str) -> Check:
    return Check(name, "unknown", said)
