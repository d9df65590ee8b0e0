"""Reads TOML that a person wrote, and tells where in it a wrong value stands: tomllib keeps no positions."""

import difflib
import re
import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError


def decode_page(content: bytes) -> str:
    """The text of a TOML file; the mark that some editors write before it is let be.

    Raises:
        ValueError: it is not UTF-8; the text says on which line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8: save the file in that encoding") from None


def parse_page(text: str) -> dict[str, Any]:
    """What the text says.

    Raises:
        ValueError: it is not TOML; the text says where, as far as that is known.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("a value is nested too deeply") from None
    except ValueError:  # Python's own, of a whole number with thousands of digits
        raise ValueError("a number has too many digits") from None


def line_of(text: str, location: tuple[int | str, ...]) -> int | None:
    """The 1-based line on which `location`, a path of keys and list indices, is written; its table's line when the
    key itself is missing; None when not even that is there."""
    keys = [str(part) for part in location if isinstance(part, str)]
    nth = next((part for part in location if isinstance(part, int)), 0)
    best: int | None = None
    table = ""
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?", line)
        if header and "=" not in line.split("#")[0].split("]")[0]:
            table = header.group(1)
            seen[table] = seen.get(table, -1) + 1
            if keys and table == ".".join(keys[: len(table.split("."))]) and _is_nth(line, seen[table], nth):
                best = number
            continue
        key = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
        if key is None:
            continue
        path = [*table.split("."), key.group(1)] if table else [key.group(1)]
        if keys[: len(path)] == path and (seen.get(table, 0) == nth or not _is_list(text, table)):
            best = number
    return best


def _is_list(text: str, table: str) -> bool:
    return bool(re.search(rf"^\s*\[\[\s*{re.escape(table)}\s*\]\]", text, re.MULTILINE))


def _is_nth(line: str, count: int, nth: int) -> bool:
    return not line.lstrip().startswith("[[") or count == nth


def describe_errors(
    error: ValidationError, text: str, source: str, prefix: tuple[str, ...] = (), names: Iterable[str] = ()
) -> list[str]:
    """One sentence an error: file, line, field, what is wrong and what was found. `names` are those that there are."""
    return [_sentence(item, text, source, prefix, list(names)) for item in error.errors()]


def _sentence(item: Any, text: str, source: str, prefix: tuple[str, ...], names: list[str]) -> str:
    place, message = _placed(item["loc"], item["msg"].removeprefix("Value error, "))
    location = (*prefix, *place)
    line = line_of(text, location)
    field = ".".join(str(part) for part in location) or "the file"
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(location[-1]), names, n=1)
        message = (
            f"there is no such setting; {f'did you mean {close[0]}?' if close else 'remove it or correct its name'}"
        )
    elif item["type"] == "missing":
        message = "is required: add it"
    elif item["type"] == "list_type" and isinstance(item["input"], str):
        message = f'is a list: write ["{item["input"][:200]}"]'
    elif not isinstance(item["input"], dict | list) and item["input"] is not None:
        message = f"{message}; found {_shown(item['input'])}"
    return f"{source}:{line if line else '?'}: {field}: {message}"


def _placed(location: tuple[int | str, ...], message: str) -> tuple[tuple[int | str, ...], str]:
    """Where it is wrong, and what: an error of the whole page, which looks at several tables, names its place before a
    colon."""
    named = None if location else re.match(r"([a-z_]+(?:\.(?:[a-z_]+|\d+))+|[a-z_]+): (.*)", message, re.DOTALL)
    if not named:
        return location, message
    return tuple(int(part) if part.isdigit() else part for part in named[1].split(".")), named[2]


def _shown(value: Any) -> str:
    try:
        return repr(value)[:200]
    except ValueError:
        return "a number of thousands of digits"
