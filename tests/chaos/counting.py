"""Counts afterwards what was lost, what is stuck and what came twice. Asks the disk, the database and the peers."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from sqlalchemy import create_engine, text

from tests.chaos.made_up import MadeUpStudy, as_the_book_says_it, data_set_digest
from tests.chaos.peers import Peers
from tests.chaos.plan import OUTCOMES
from tests.chaos.pushing import Answers

SETTLED = ("delivered", "held", "refused", "cancelled", "dead")


@dataclass
class Count:
    """What was found; every entry of `violations` is a promise broken, in words."""

    studies: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)  # harmless: the same again

    @property
    def violations(self) -> list[str]:
        """Everything that must not be."""
        named = (("lost", self.lost), ("stuck", self.stuck), ("dead", self.dead), ("missing", self.missing),
                 ("duplicate", self.duplicates), ("other", self.other))  # fmt: skip
        return [f"{name}: {what}" for name, found in named for what in found]


class Book:
    """The rows of one system, by plain SQL: what the count looks at."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)

    def rows(self, query: str, **values: object) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values))

    def unsettled(self) -> list[str]:
        """What is under way, in words."""
        query = "select study_instance_uid, state, reason, attempts from study order by 1"
        return [f"study {uid} is {state} ({attempts} attempts; {reason})"
                for uid, state, reason, attempts in self.rows(query) if state not in SETTLED]  # fmt: skip

    def close(self) -> None:
        self.engine.dispose()


def count_all(
    book: Book, data: Path, peers: Peers, studies: list[MadeUpStudy], answers: Answers
) -> Count:  # fmt: skip
    """Everything, when all is settled or was waited for long enough."""
    found = Count(studies=len(studies), acknowledged=len(answers.stored))
    found.other += [f"refused at the door: {words} ({n} times)" for words, n in Counter(answers.refused).items()]
    found.other += [f"study {s.plan.number} was never taken whole" for s in studies
                    if s.plan.number not in answers.pushed]  # fmt: skip
    count_instances(book, data / "store", answers, found)
    _count_orders(book, answers, found)
    _count_studies(book, studies, found)
    objects = _count_pacs(book, peers.folders["PACS"], found)
    _count_archive(book, peers, objects, found)
    _count_coverage(book, objects, studies, found)
    _count_ris(book, peers.folders["RIS"], found)
    return found


def count_instances(book: Book, store: Path, answers: Answers, found: Count) -> None:
    """Every instance that got 0x0000 is on disk as it was sent, and indexed."""
    query = "select study_instance_uid, sop_instance_uid, digest, path, conflicts from instance"
    rows = {row.sop_instance_uid: row for row in book.rows(query)}
    for (uid, digest), image in answers.stored.items():
        row = rows.get(uid)
        folder = store / image.study_instance_uid / image.series_instance_uid
        if digest not in {data_set_digest(p.read_bytes()) for p in folder.glob(f"{uid}*")}:
            found.lost.append(f"{image.path.name}: not on the disk as it was sent (in the book: {row is not None})")
        elif row is None:
            found.lost.append(f"{image.path.name}: on the disk, not in the book")
        elif not (store / row.path).is_file():
            found.lost.append(f"{image.path.name}: the book names a file that is not there")
        elif as_the_book_says_it(content := (store / row.path).read_bytes(), row.digest) != row.digest:
            found.lost.append(f"{image.path.name}: the book's digest is not that of the file that it names")
        elif data_set_digest(content) != digest and not row.conflicts:
            found.lost.append(f"{image.path.name}: other bytes under a known UID, and the book does not say so")


def _count_orders(book: Book, answers: Answers, found: Count) -> None:
    known = {row[0] for row in book.rows("select accession_number from orders")}
    found.lost += [f"order {number}: answered AA, not in the book" for number in answers.orders if number not in known]


def _count_studies(book: Book, studies: list[MadeUpStudy], found: Count) -> None:
    found.stuck += book.unsettled()
    query = "select study_instance_uid, state, reason from study"
    rows = {row.study_instance_uid: row for row in book.rows(query)}
    for study in studies:
        row = rows.get(study.study_instance_uid)
        if row is None:
            found.other.append(f"study {study.plan.number} is not in the book")
            continue
        found.states[row.state] += 1
        if row.state == "dead":
            found.dead.append(f"study {study.plan.number} ({study.plan.kind}): {row.reason}")
        elif row.state in SETTLED and row.state not in OUTCOMES[study.plan.kind]:
            found.other.append(f"study {study.plan.number} ({study.plan.kind}) is {row.state}: {row.reason}")


def _count_pacs(book: Book, folder: Path, found: Count) -> dict[str, pydicom.Dataset]:
    """Each object that the book calls delivered is there, and nothing else; repeats say the same. Returns them."""
    lines = defaultdict(list)
    for line in ledger(folder):
        lines[line["sop_instance_uid"]].append(line)
    deliveries = book.rows("select identifier, state from delivery where destination = 'PACS'")
    known = {row.identifier for row in deliveries}
    delivered = {row.identifier for row in deliveries if row.state == "delivered"}
    found.missing += [f"PACS: {uid} is delivered by the book, and not there" for uid in delivered - set(lines)]
    found.duplicates += [f"PACS: {uid} is there, and not in the book" for uid in set(lines) - known]
    objects = {}
    for uid, same in lines.items():
        found.repeats["PACS"] += len(same) - 1
        if len({line["digest"] for line in same}) > 1:
            found.duplicates.append(f"PACS: {uid} came with differing content: {[line['file'] for line in same]}")
        objects[uid] = pydicom.dcmread(folder / same[-1]["file"])
    return objects


def _count_archive(book: Book, peers: Peers, objects: dict[str, pydicom.Dataset], found: Count) -> None:
    """The real PACS holds each object that it accepted, and nothing else; it says the same as the stand-in's."""
    if "ARCHIVE" not in peers.names:
        return
    held = peers.archived()
    deliveries = book.rows("select identifier, state from delivery where destination = 'ARCHIVE'")
    delivered = {row.identifier for row in deliveries if row.state == "delivered"}
    found.missing += [f"ARCHIVE: {uid} is delivered by the book, and not there" for uid in delivered - set(held)]
    unknown = set(held) - {row.identifier for row in deliveries}
    found.duplicates += [f"ARCHIVE: {uid} is there, and not in the book" for uid in unknown]
    for uid, content in held.items():
        if uid in objects and pydicom.dcmread(BytesIO(content)) != objects[uid]:
            found.duplicates.append(f"ARCHIVE: {uid} differs from what the PACS has")


def _count_coverage(book: Book, objects: dict[str, pydicom.Dataset], studies: list[MadeUpStudy], found: Count) -> None:
    """Of every study that was read, the PACS holds one report of all its images, and no two of the same images."""
    states = {row[0]: row[1] for row in book.rows("select study_instance_uid, state from study")}
    for study in studies:
        if states.get(study.study_instance_uid) not in ("delivered", "held"):
            continue
        of_study = [ds for ds in objects.values() if ds.StudyInstanceUID == study.study_instance_uid]
        reports = Counter((str(ds.ManufacturerModelName), images_of(ds)) for ds in of_study if ds.Modality == "SR")
        what = f"study {study.plan.number} ({study.plan.kind})"
        found.duplicates += [f"PACS: {what} has {n} reports of the same images" for n in reports.values() if n > 1]
        wanted = frozenset(i.sop_instance_uid for i in study.images + study.late)
        reads_nothing = not of_study and states[study.study_instance_uid] == "held"  # a plain gate's hold has no report
        if wanted not in {images for _, images in reports} and not reads_nothing:
            found.missing.append(f"PACS: {what} has no report of all its {len(wanted)} images")


def images_of(ds: pydicom.Dataset) -> frozenset[str]:
    """The instances that a report rests on (PS3.3 C.17.2, Current Requested Procedure Evidence Sequence)."""
    series = [
        s for study in ds.get("CurrentRequestedProcedureEvidenceSequence", []) for s in study.ReferencedSeriesSequence
    ]
    return frozenset(str(item.ReferencedSOPInstanceUID) for s in series for item in s.ReferencedSOPSequence)


def _count_ris(book: Book, folder: Path, found: Count) -> None:
    """Each message that the book calls delivered was accepted; repeats carry the same control ID and content."""
    digests = defaultdict(list)
    for line in ledger(folder):
        digests[line["control_id"]].append(line["digest"])
    deliveries = book.rows("select identifier, state from delivery where destination = 'RIS'")
    known = {row.identifier for row in deliveries}
    delivered = {row.identifier for row in deliveries if row.state == "delivered"}
    found.missing += [f"RIS: {uid} is delivered by the book, and never came" for uid in delivered - set(digests)]
    found.duplicates += [f"RIS: {uid} came, and is not in the book" for uid in set(digests) - known]
    for control_id, same in digests.items():
        found.repeats["RIS"] += len(same) - 1
        if len(set(same)) > 1:
            found.duplicates.append(f"RIS: {control_id} came with differing content")


_MOVES = ("instance_stored", "completed", "chosen", "refused", "gated", "delivered", "held", "gave_up", "replayed")


def count_events(book: Book, heard: list[dict[str, Any]], found: Count) -> None:
    """Every move of a study was told to who listens outside, at least once."""
    told = {(event["study_instance_uid"], event["event"], event["state"]) for event in heard}
    moves = book.rows("select distinct study_instance_uid, event, state from journal where subject = 'study'")
    found.missing += [f"event: study.{event} of {uid} was never told" for uid, event, state in moves
                      if event in _MOVES and (uid, event, state) not in told]  # fmt: skip


def ledger(folder: Path) -> Iterator[dict[str, Any]]:
    """What a stand-in has recorded; a line that a crash cut off was never answered."""
    path = folder / "accepted.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            continue
