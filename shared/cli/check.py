"""`isocenter check`: what is wrong with a configuration, line by line, and what to write instead."""

import difflib
import importlib
import pkgutil
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from shared.cli.check_commitment import commitment_notes, commitment_problems
from shared.cli.check_sense import sense_notes, sense_problems
from shared.guard.settings import Guard
from shared.keeping.rules import Retention
from shared.packages.folder import load_packages
from shared.settings import Config, Core, GateThresholds, Section, Shared, Triton
from shared.toml_lines import decode_page, describe_errors, line_of, parse_page


def sections() -> dict[str, type[Section]]:
    """Every table of the page: the shared ones, and each service's own.

    The services are looked up by name, since shared imports none of them.
    """
    found: dict[str, type[Section]] = {s.name: s for s in (Core, Triton, Guard, Retention)}
    for module in pkgutil.iter_modules(importlib.import_module("services").__path__):
        settings = importlib.import_module(f"services.{module.name}.settings").Settings
        found[settings.name] = settings
    return found


def plain_gates() -> set[str]:
    """The names of the gates that are no packages; looked up by name, since shared imports no service."""
    return set(importlib.import_module("services.gate.handlers").PLAIN_GATES)


def check_page(text: str, source: str, packages: bool = True) -> list[str]:
    """What is wrong with the page; empty when nothing is. `packages` looks at the folder of packages too."""
    try:
        page = parse_page(text)
    except ValueError as error:
        return [f"{source}: not TOML: {error}"]
    known = sections()
    problems = [
        _unknown_table(name, text, source, known) for name in page if name not in {*known, *Shared.model_fields}
    ]
    for name, model in known.items():
        problems += _check_table(model, page.get(name, {}), text, source, (name,))
    shared = {key: value for key, value in page.items() if key in Shared.model_fields}
    problems += _check_table(Shared, shared, text, source, ())
    if not problems:
        problems = [
            say for ask in (commitment_problems, sense_problems) for say in ask(Config(page), known, text, source)
        ]
    return problems or (_check_meaning(Config(page), text, source) if packages else [])


def notes_on(path: Path) -> list[str]:
    """What is not wrong on a good page, and worth knowing.

    Raises:
        OSError: it can't be read.
    """
    text = decode_page(path.read_bytes())
    config, known = Config(parse_page(text)), sections()
    return [note for ask in (commitment_notes, sense_notes) for note in ask(config, known, text, str(path))]


def check_file(path: Path, packages: bool = True) -> list[str]:
    """What is wrong with the page at `path`.

    Raises:
        OSError: it can't be read.
    """
    try:
        text = decode_page(path.read_bytes())
    except ValueError as error:
        return [f"{path}: {error}"]
    return check_page(text, str(path), packages)


def _check_table(model: Any, table: Any, text: str, source: str, prefix: tuple[str, ...]) -> list[str]:
    if not isinstance(table, dict):
        return [
            f"{source}:{line_of(text, prefix)}: {'.'.join(prefix)}: is a table: write [{'.'.join(prefix)}] above it"
        ]
    try:
        model.of(table) if issubclass(model, Section) else model(**table)
    except ValidationError as error:
        return describe_errors(error, text, source, prefix, _names_in(model))
    except SettingsError as error:  # a list or a table in the environment
        return [f"environment: {error}: write it as JSON"]
    return []


def _names_in(model: type[BaseModel]) -> set[str]:
    """The settings of a table, and of the tables in it."""
    inner = [one for info in model.model_fields.values() for one in get_args(info.annotation)]
    tables = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
    return {name for one in (model, *tables) for name in one.model_fields}


def _unknown_table(name: str, text: str, source: str, known: dict[str, type[Section]]) -> str:
    close = difflib.get_close_matches(name, [*known, *Shared.model_fields], n=1)
    hint = f"did you mean [{close[0]}]?" if close else f"there are {', '.join([*known, *Shared.model_fields])}"
    return f"{source}:{line_of(text, (name,)) or '?'}: {name}: there is no such table; {hint}"


def _check_meaning(config: Config, text: str, source: str) -> list[str]:
    """What only the whole page tells: folders, packages and thresholds that are not there."""
    triton = config.section(Triton)
    packages, problems = load_packages(triton.model_repository)
    if not triton.model_repository.is_dir():
        line = line_of(text, ("triton", "model_repository"))
        where = f"{source}:{line}" if line else source
        problems.append(f"{where}: triton.model_repository: there is no folder {triton.model_repository}")
    plain = plain_gates()
    for gate in config.gates:
        if gate not in plain | {p.name for p in packages if p.is_gate}:
            line = line_of(text, ("gates", gate))
            problems.append(f"{source}:{line or '?'}: gates.{gate}: there is no gate of that name")
    for name in sorted(config.packages.keys() - {p.name for p in packages}):
        line = line_of(text, ("packages", name))
        close = difflib.get_close_matches(name, [p.name for p in packages], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        problems.append(f"{source}:{line or '?'}: packages.{name}: there is no package of that name{hint}")
    geometry = config.gates.get("geometry", GateThresholds())
    for key in ("warn_below", "hold_below"):
        if getattr(geometry, key) is not None:
            line = line_of(text, ("gates", "geometry", key))
            words = "would do nothing: of its score, in mm, less is better; write [gate] uneven_tolerance"
            problems.append(f"{source}:{line or '?'}: gates.geometry.{key}: {words}")
    return problems
