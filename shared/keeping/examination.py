"""Examines the book and the folders, apart from the store itself, which collect knows (services.collect.doctor)."""

from shared.keeping.book_checks import examine_book
from shared.keeping.findings import Finding
from shared.keeping.folder_checks import examine_folders
from shared.settings import Core
from shared.store import Book


def examine(book: Book, core: Core, mend: bool = False) -> list[Finding]:
    """What is not as it should be; with `mend`, what can be mended safely is, beside a running system too."""
    return [*examine_book(book, core, mend), *examine_folders(book, core, mend)]
