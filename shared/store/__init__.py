"""The book: tables, sessions, moves and leases. The database is the truth; the broker is only its doorbell."""

from shared.store.book import Book, open_book
from shared.store.circuits import Circuit
from shared.store.tables import (
    Commitment,
    CommitmentAsked,
    Delivery,
    Duplicate,
    GateResult,
    Instance,
    Journal,
    Order,
    Outbox,
    Pace,
    Quarantine,
    Reconciliation,
    Removal,
    Run,
    Study,
    utc_now,
)
from shared.store.version_tables import PackageChoice, ShadowRun

__all__ = [
    "Book",
    "Circuit",
    "Commitment",
    "CommitmentAsked",
    "Delivery",
    "Duplicate",
    "GateResult",
    "Instance",
    "Journal",
    "Order",
    "Outbox",
    "Pace",
    "PackageChoice",
    "Quarantine",
    "Reconciliation",
    "Removal",
    "Run",
    "ShadowRun",
    "Study",
    "open_book",
    "utc_now",
]
