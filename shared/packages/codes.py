"""Holds codes and units against the dictionaries that pydicom carries (PS3.16 and what it takes from terminologies).

A dictionary holds the part of a terminology that DICOM uses, so a code that it does not know may still be right; one
that it knows under other words is a slip.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from pydicom.sr._concepts_dict import concepts

from shared.findings import Code


def is_known(code: Code) -> bool:
    """Whether the dictionaries hold the code at all."""
    return code.value in _meanings(code.scheme)


def check_code(code: Code) -> None:
    """
    Raises:
        ValueError: the scheme is none that DICOM names and not private (99…), or the dictionary has the code under
            other words.
    """
    if code.scheme.startswith("99"):
        return
    if code.scheme not in concepts:
        raise ValueError(
            f"code.scheme {code.scheme!r} is not one of {', '.join(sorted(concepts))}, nor a private one (99…)"
        )
    known = _meanings(code.scheme).get(code.value)
    if known and code.meaning.casefold() not in known:
        raise ValueError(f"{code.scheme} {code.value} means {sorted(known)[0]!r}; the manifest says {code.meaning!r}")


def check_unit(unit: str) -> None:
    """
    Raises:
        ValueError: it is no UCUM expression: it has spaces or letters outside ASCII (UCUM §2).
    """
    if not unit or not unit.isascii() or any(letter.isspace() for letter in unit):
        raise ValueError(f"unit {unit!r} is not in UCUM: write 1 for none, mm, mm2, cm3, deg, %, [hnsf'U] …")


@lru_cache(maxsize=32)
def _meanings(scheme: str) -> Mapping[str, frozenset[str]]:
    """Every code of a scheme with the words for it, in small letters."""
    found: dict[str, set[str]] = {}
    for entry in concepts.get(scheme, {}).values():
        assert isinstance(entry, dict)
        for value, (meaning, _) in entry.items():
            found.setdefault(value, set()).add(meaning.casefold())
    return MappingProxyType({value: frozenset(words) for value, words in found.items()})
