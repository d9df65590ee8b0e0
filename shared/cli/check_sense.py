"""`isocenter check` on settings that are right by themselves and make no sense together."""

from shared.keeping.rules import Retention
from shared.settings import Config, Core, Section
from shared.toml_lines import line_of

_URLS = {
    "database_url": (("postgresql+psycopg://", "sqlite:///"), "postgresql+psycopg://USER:PASSWORD@HOST:5432/NAME"),
    "broker_url": (("amqp://", "amqps://", "folder://"), "amqp://USER:PASSWORD@HOST:5672//"),
}
_LISTENING = (("collect", "port"), ("collect", "tls_port"), ("admit", "port"), ("status", "port"))


def sense_problems(config: Config, known: dict[str, type[Section]], text: str, source: str) -> list[str]:
    """What would not start, or would never do what it says."""
    collect = config.section(known["collect"]).model_dump()
    retention = config.section(Retention)
    problems: list[str] = []
    if collect["port"] and collect["port"] == collect["tls_port"]:
        words = "is the port for what is not encrypted, too: give each its own"
        problems.append(f"{_where(text, source, 'collect', 'tls_port')}: {words}")
    if 0 < retention.when_free_below_bytes <= collect["least_free_bytes"]:
        words = f"images are refused below collect.least_free_bytes ({collect['least_free_bytes']}): write a larger one"
        problems.append(f"{_where(text, source, 'retention', 'when_free_below_bytes')}: {words}")
    return problems + _urls(config, text, source) + _thresholds(config, text, source)


def sense_notes(config: Config, known: dict[str, type[Section]], text: str, source: str) -> list[str]:
    """What does nothing as it stands, and what only separate hosts or containers can do."""
    collect, retention = config.section(known["collect"]), config.section(Retention)
    early = [rule.name for rule in retention.rules if rule.early_after_days]
    notes: list[str] = []
    if collect.model_dump()["tls_port"] is None:
        for name in ("tls_certificate", "tls_key", "tls_client_authorities"):
            if collect.model_dump()[name]:
                words = "note: nothing is encrypted without tls_port"
                notes.append(f"{_where(text, source, 'collect', name)}: {words}")
    if retention.when_free_below_bytes and not early:
        words = "note: does nothing: no rule has early_after_days"
        notes.append(f"{_where(text, source, 'retention', 'when_free_below_bytes')}: {words}")
    if early and not retention.when_free_below_bytes:
        where = f"{source}:{line_of(text, ('retention', 'rules')) or '?'}: retention.rules"
        notes.append(
            f"{where}: note: early_after_days of {', '.join(early)} does nothing without when_free_below_bytes"
        )
    return notes + _shared_ports(config, known, text, source)


def _urls(config: Config, text: str, source: str) -> list[str]:
    """The value itself is not shown: a password stands in it."""
    core = config.section(Core).model_dump()
    return [
        f"{_where(text, source, 'isocenter', name)}: does not begin as it must: write {model}, or leave it out"
        for name, (beginnings, model) in _URLS.items()
        if not core[name].startswith(beginnings)
    ]


def _thresholds(config: Config, text: str, source: str) -> list[str]:
    words = "what is below it is held already (hold_below): write a warn_below above hold_below"
    return [
        f"{source}:{line_of(text, ('gates', name, 'warn_below')) or '?'}: gates.{name}.warn_below: {words}"
        for name, gate in config.gates.items()
        if gate.warn_below is not None and gate.hold_below is not None and gate.warn_below < gate.hold_below
    ]


def _shared_ports(config: Config, known: dict[str, type[Section]], text: str, source: str) -> list[str]:
    notes, taken = [], dict[int, str]()
    for table, name in _LISTENING:
        port = config.section(known[table]).model_dump()[name]
        if port and taken.setdefault(port, table) != table:
            words = f"note: {taken[port]} listens on {port} too: on one host, only one of them can start"
            notes.append(f"{_where(text, source, table, name)}: {words}")
    return notes


def _where(text: str, source: str, table: str, name: str) -> str:
    line = line_of(text, (table, name))
    return f"{source}:{line}: {table}.{name}" if line else f"{source}: {table}.{name}"
