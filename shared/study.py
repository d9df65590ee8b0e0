"""Where a study, a run and a delivery can be, and what moves them: the path of a study as data.

Five small tables of transitions: `(state, event) -> state`. An absent pair raises `ImpossibleMove`.
A *study* is what the PACS sent; a *run* is one package (version) on one study; a *delivery* is one result
object on its way to one destination; a *commitment* is a sender's question whether its images are kept; a *shadow* is
a version that reads beside a run, to be compared. `BELLS` says which stage is rung when a row enters a state.
"""

from enum import StrEnum


class _Named(StrEnum):
    """A name equal to its text and to itself, not to the same name in another table: a held study is no held run."""

    def __eq__(self, other: object) -> bool:
        return self is other if isinstance(other, _Named) else str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class StudyState(_Named):
    """Where a study is."""

    COLLECTING = "collecting"  # instances are arriving
    WAITING = "waiting"  # complete; decide has not chosen packages yet
    GATING = "gating"  # packages are chosen; gates look whether the study is fit to be read
    RUNNING = "running"  # runs and deliveries are under way
    DELIVERED = "delivered"  # every result has been accepted by every destination
    HELD = "held"  # a gate held it, or a package was not sure; the reason has been delivered
    REFUSED = "refused"  # no package reads this study, on purpose
    CANCELLED = "cancelled"  # a person stopped it
    DEAD = "dead"  # given up after the last attempt; replay is the button


class StudyEvent(_Named):
    """What moves a study."""

    INSTANCE_STORED = "instance_stored"
    COMPLETED = "completed"
    CHOSEN = "chosen"
    REFUSED = "refused"
    GATED = "gated"
    DELIVERED = "delivered"
    HELD = "held"
    GAVE_UP = "gave_up"
    REPLAYED = "replayed"
    RELEASED = "released"
    RESUMED = "resumed"  # a run or a delivery of a settled study is replayed
    CANCELLED = "cancelled"


class RunState(_Named):
    """Where a run is."""

    WAITING = "waiting"  # the gates have not spoken yet
    READY = "ready"  # fit to be read
    READ = "read"  # findings are there; result objects are not
    HOLDING = "holding"  # a gate said hold, or the package is not sure; the reason is not on its way yet
    FAILING = "failing"  # given up before there was a result; nobody has been told yet
    SENDING = "sending"  # result objects are on their way
    DELIVERED = "delivered"
    HELD = "held"
    SUPERSEDED = "superseded"  # late images made a newer run
    CANCELLED = "cancelled"
    DEAD = "dead"


class RunEvent(_Named):
    """What moves a run."""

    PASSED = "passed"
    SCORED = "scored"  # a gate package's own run: its score is the finding
    HELD = "held"
    READ = "read"
    REPORTED = "reported"
    REASON_REPORTED = "reason_reported"  # of a run that was held, or that failed
    DELIVERED = "delivered"
    GAVE_UP = "gave_up"
    REPLAYED = "replayed"
    RELEASED = "released"
    RESENT = "resent"  # a delivery of an ended run is replayed
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


class Failure(StrEnum):
    """Why a run was given up, in classes: its own words may hold anything, and are for the book alone.

    The notice of each has a number of its own, by this order: new ones go to the end.
    """

    AWAY = "away"  # what it needs did not answer, to the last attempt
    UNDECODABLE = "undecodable"  # an image can't be decoded
    UNREADABLE = "unreadable"  # the package has no usable answer for these images
    NO_PACKAGE = "no-package"  # the version is not installed
    TOO_LONG = "too-long"
    BROKE_OFF = "broke-off"  # an error that nobody foresaw, or its worker ended in the middle


class DeliveryState(_Named):
    """Where a result object is on its way to one destination."""

    WAITING = "waiting"
    COMMITTING = "committing"  # stored; the PACS has not yet said that it keeps it
    DELIVERED = "delivered"
    REPLACED = "replaced"  # the destination does not take its kind: the pictures go there instead
    SPARE = "spare"  # a picture that only goes if another object is not taken
    CANCELLED = "cancelled"
    DEAD = "dead"


class DeliveryEvent(_Named):
    """What moves a delivery."""

    ACCEPTED = "accepted"
    STORED = "stored"  # accepted, where the destination is also asked for storage commitment
    COMMITTED = "committed"
    NOT_COMMITTED = "not_committed"
    REPLACED = "replaced"
    STEPPED_IN = "stepped_in"  # of a spare picture: another object was not taken
    SPARED = "spared"  # of a picture, when its run is reported again: it waits whether it is needed
    GAVE_UP = "gave_up"
    REPLAYED = "replayed"
    CANCELLED = "cancelled"


class CommitmentState(_Named):
    """Where a sender's storage commitment request is (PS3.4 Annex J)."""

    ASKED = "asked"  # taken; the sender has not yet been told what is kept
    REPORTED = "reported"
    DEAD = "dead"  # the sender could not be told; it may ask again


class CommitmentEvent(_Named):
    """What moves a storage commitment request."""

    REPORTED = "reported"
    ASKED_AGAIN = "asked_again"
    GAVE_UP = "gave_up"


class ShadowState(_Named):
    """Where a shadow is: a version that reads beside a run, only to be compared with it."""

    WAITING = "waiting"  # until no run waits to be read
    READ = "read"
    DEAD = "dead"  # its run and its study know nothing of it


class ShadowEvent(_Named):
    """What moves a shadow."""

    READ = "read"
    GAVE_UP = "gave_up"


State = StudyState | RunState | DeliveryState | CommitmentState | ShadowState
Event = StudyEvent | RunEvent | DeliveryEvent | CommitmentEvent | ShadowEvent

_S, _SE = StudyState, StudyEvent
_R, _RE = RunState, RunEvent
_D, _DE = DeliveryState, DeliveryEvent
_C, _CE = CommitmentState, CommitmentEvent
_W, _WE = ShadowState, ShadowEvent

TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.COLLECTING, _SE.INSTANCE_STORED): _S.COLLECTING,
    (_S.COLLECTING, _SE.COMPLETED): _S.WAITING,
    (_S.WAITING, _SE.CHOSEN): _S.GATING,
    (_S.WAITING, _SE.REFUSED): _S.REFUSED,
    (_S.GATING, _SE.GATED): _S.RUNNING,
    (_S.RUNNING, _SE.DELIVERED): _S.DELIVERED,
    (_S.RUNNING, _SE.HELD): _S.HELD,
    # late images reopen the study wherever it is
    **{(s, _SE.INSTANCE_STORED): _S.COLLECTING for s in _S if s is not _S.COLLECTING},
    **{(s, _SE.GAVE_UP): _S.DEAD for s in (_S.COLLECTING, _S.WAITING, _S.GATING, _S.RUNNING)},
    **{(s, _SE.REPLAYED): _S.WAITING for s in (_S.DELIVERED, _S.HELD, _S.REFUSED, _S.CANCELLED, _S.DEAD)},
    **{(s, _SE.CANCELLED): _S.CANCELLED for s in (_S.COLLECTING, _S.WAITING, _S.GATING, _S.RUNNING, _S.HELD, _S.DEAD)},
    (_S.HELD, _SE.RELEASED): _S.RUNNING,
    **{(s, _SE.RESUMED): _S.RUNNING for s in (_S.DELIVERED, _S.HELD, _S.CANCELLED, _S.DEAD)},
    (_R.WAITING, _RE.PASSED): _R.READY,
    (_R.WAITING, _RE.SCORED): _R.READ,
    (_R.WAITING, _RE.HELD): _R.HOLDING,
    (_R.READY, _RE.READ): _R.READ,
    (_R.READY, _RE.HELD): _R.HOLDING,  # the package is not sure enough of anything to say it
    (_R.READ, _RE.REPORTED): _R.SENDING,
    (_R.HOLDING, _RE.REASON_REPORTED): _R.HELD,
    (_R.FAILING, _RE.REASON_REPORTED): _R.DEAD,
    (_R.SENDING, _RE.DELIVERED): _R.DELIVERED,
    (_R.HELD, _RE.RELEASED): _R.READY,
    **{(s, _RE.GAVE_UP): _R.FAILING for s in (_R.WAITING, _R.READY, _R.READ)},
    **{(s, _RE.GAVE_UP): _R.DEAD for s in (_R.HOLDING, _R.FAILING, _R.SENDING)},
    # a superseded run comes back when its input or its package version does
    **{(s, _RE.REPLAYED): _R.WAITING for s in (_R.DELIVERED, _R.HELD, _R.SUPERSEDED, _R.CANCELLED, _R.DEAD)},
    **{(s, _RE.RESENT): _R.SENDING for s in (_R.DELIVERED, _R.CANCELLED, _R.DEAD)},
    **{(s, _RE.SUPERSEDED): _R.SUPERSEDED for s in _R if s is not _R.SUPERSEDED},
    **{(s, _RE.CANCELLED): _R.CANCELLED for s in (_R.WAITING, _R.READY, _R.READ, _R.HOLDING, _R.FAILING, _R.SENDING)},
    (_D.WAITING, _DE.ACCEPTED): _D.DELIVERED,
    (_D.WAITING, _DE.STORED): _D.COMMITTING,
    (_D.COMMITTING, _DE.COMMITTED): _D.DELIVERED,
    (_D.COMMITTING, _DE.NOT_COMMITTED): _D.WAITING,  # it is stored again
    (_D.WAITING, _DE.REPLACED): _D.REPLACED,
    (_D.SPARE, _DE.STEPPED_IN): _D.WAITING,
    **{(s, _DE.SPARED): _D.SPARE for s in _D if s is not _D.WAITING},
    **{(s, _DE.GAVE_UP): _D.DEAD for s in (_D.WAITING, _D.COMMITTING)},
    **{(s, _DE.CANCELLED): _D.CANCELLED for s in (_D.WAITING, _D.COMMITTING, _D.DEAD)},
    **{(s, _DE.REPLAYED): _D.WAITING for s in _D},  # one that waits is tried at once
    (_C.ASKED, _CE.REPORTED): _C.REPORTED,
    (_C.ASKED, _CE.GAVE_UP): _C.DEAD,
    **{(s, _CE.ASKED_AGAIN): _C.ASKED for s in _C},
    (_W.WAITING, _WE.READ): _W.READ,
    (_W.WAITING, _WE.GAVE_UP): _W.DEAD,
}

# The queue that is rung when a row enters a state (the state waits for that stage).
BELLS: dict[State, str] = {
    _S.WAITING: "decide",
    _S.GATING: "gate",
    _R.READY: "infer",
    _R.READ: "report",
    _R.HOLDING: "report",
    _R.FAILING: "report",
    _D.WAITING: "send",
    _D.COMMITTING: "send",
}

SETTLED: frozenset[State] = frozenset({_S.DELIVERED, _S.HELD, _S.REFUSED, _S.CANCELLED, _S.DEAD})
RUN_ENDED: frozenset[State] = frozenset({_R.DELIVERED, _R.HELD, _R.SUPERSEDED, _R.CANCELLED, _R.DEAD})
DELIVERY_ENDED: frozenset[State] = frozenset({_D.DELIVERED, _D.REPLACED, _D.SPARE, _D.CANCELLED, _D.DEAD})


class ImpossibleMove(ValueError):
    """The event is not possible in this state."""


def next_state(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        ImpossibleMove: the table has no such pair.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleMove(f"{type(state).__name__} {state} has no move for {event}") from None
