"""A power cut, played on a folder: what was never forced to the disk is gone.

`kill -9` alone loses nothing of what the operating system holds for the disk, so it can't show that fsync is needed.
Here each process of the system writes down every fsync that has returned (mutants `ledger`): of a file its inode and
size, of a folder its entries. After all of them were killed, `cut` removes every entry that no fsync of its folder has
seen, and shortens every file to what an fsync of it has covered. That is the worst that POSIX allows; a real file
system often keeps more. Not played: bytes overwritten in place, and entries that come back after an unsynced unlink.
"""

import json
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Durable:
    """What the ledger says is on the disk."""

    sizes: dict[int, int] = field(default_factory=dict)  # of files, by inode
    entries: dict[int, set[tuple[str, int]]] = field(default_factory=dict)  # of folders, by inode: name and inode


@dataclass
class Damage:
    """What the cut took."""

    removed: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)


def note(descriptor: int) -> bytes:
    """The ledger's line for an open file or folder."""
    found = os.fstat(descriptor)
    line: dict[str, object] = {"inode": found.st_ino}
    if stat.S_ISDIR(found.st_mode):
        line["entries"] = [(entry.name, entry.inode()) for entry in os.scandir(descriptor)]
    else:
        line["size"] = found.st_size
    return json.dumps(line).encode() + b"\n"


def read_ledger(path: Path) -> Durable:
    """Everything that was ever forced to the disk."""
    durable = Durable()
    for line in path.read_text().splitlines() if path.exists() else []:
        said = json.loads(line)
        if "entries" in said:
            durable.entries[said["inode"]] = {(name, inode) for name, inode in said["entries"]}
        else:
            durable.sizes[said["inode"]] = max(said["size"], durable.sizes.get(said["inode"], 0))
    return durable


def cut(root: Path, ledger: Path, damage: Damage) -> None:
    """Takes from `root`, which itself is there for long, what a power cut would. Who writes there must be dead."""
    _cut_folder(root, read_ledger(ledger), damage)


def _cut_folder(folder: Path, durable: Durable, damage: Damage) -> None:
    known = durable.entries.get(folder.stat().st_ino, set())
    for entry in sorted(folder.iterdir()):
        found = entry.lstat()
        if stat.S_ISDIR(found.st_mode):
            if (entry.name, found.st_ino) in known:
                _cut_folder(entry, durable, damage)
            else:
                _remove(entry, damage)
        elif (entry.name, found.st_ino) not in known:
            _remove(entry, damage)
        elif found.st_size > (size := durable.sizes.get(found.st_ino, 0)):
            os.truncate(entry, size)
            damage.shortened.append(entry.name)


def _remove(path: Path, damage: Damage) -> None:
    """A folder goes with all that lies in it."""
    if path.is_dir():
        damage.removed += [below.name for below in path.rglob("*") if below.is_file()]
        shutil.rmtree(path)
    else:
        damage.removed.append(path.name)
        path.unlink()
