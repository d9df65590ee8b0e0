"""`python -m services.collect.doctor [--mend]`: examines the store, and writes what it found as JSON lines.

`isocenter doctor` runs it as a process of its own: the store's rules are collect's, and shared imports no service.
"""

import sys

from services.collect.quiet import quiet_pydicom
from services.collect.settings import Settings
from services.collect.store.folder import StoreFolder
from services.collect.store.reconcile import Reconciler
from services.collect.store.study_files import Reconciled, StudyFiles
from shared.keeping.findings import Finding
from shared.logs import start_logging
from shared.settings import Core, load_config
from shared.store import open_book


def findings(found: Reconciled, mended: bool) -> list[Finding]:
    """What a look through the whole store found, in words."""
    said = [
        Finding(
            kind="files without rows", count=found.indexed, words=f"{found.indexed} stored images are not in the book",
            do="--mend writes their rows: their studies are collected, and read, as with late images", mended=mended,
        ),
        Finding(
            kind="rows without files", count=found.missing, words=f"{found.missing} images of the book are not stored",
            do="have the PACS send these studies again; the journal of each says how many are missing",
        ),
        Finding(
            kind="strange files", count=found.strange, words=f"{found.strange} files in the store are no images of it",
            do="look at them and take them away by hand; the log of collect names each",
        ),
        Finding(
            kind="unreadable files", count=found.unreadable,
            words=f"the disk does not let {found.unreadable} files or studies be read",
            do="look at the disk and at the rights of the store; the log of collect names each",
        ),
        Finding(
            kind="half-received files", count=found.stale, words=f"{found.stale} files were received in part",
            do="--mend removes them: none was acknowledged", mended=mended,
        ),
    ]  # fmt: skip
    return [finding for finding in said if finding.count]


def main() -> None:
    """Examines the store of the configuration; with `--mend`, mends what can be."""
    mend, config = "--mend" in sys.argv[1:], load_config()
    core, settings = config.section(Core), config.section(Settings)
    start_logging("doctor", core.log_level)
    quiet_pydicom()
    book = open_book(core.database_url)
    folder = StoreFolder(core.store_dir, durable=settings.durability == "instance")
    files = StudyFiles(book, folder, settings.duplicates, mend, since=0.0)
    reconciler = Reconciler(files, settings.stale_seconds)
    for finding in findings(reconciler.run(whole=True), mend):
        print(finding.model_dump_json())
    book.close()


if __name__ == "__main__":
    main()
