"""`isocenter check` on storage commitment: can its answers arrive, theirs and ours?"""

from typing import Any

from shared.keeping.rules import Retention
from shared.settings import Config, Section
from shared.toml_lines import line_of


def commitment_problems(config: Config, known: dict[str, type[Section]], text: str, source: str) -> list[str]:
    """Destinations that are asked for storage commitment and whose answer we would turn away."""
    collect, send = _sections(config, known)
    problems: list[str] = []
    asked = [d for d in config.destinations if d.commitment]
    for destination in asked:
        if collect.calling_ae_titles and destination.ae_title.strip() not in collect.calling_ae_titles:
            where = _where(text, source, "calling_ae_titles")
            words = (
                f"{destination.ae_title} ({destination.name}, commitment = true) may not call with its answer: add it"
            )
            problems.append(f"{where}: collect.calling_ae_titles: {words}")
    if asked and collect.require_called_ae_title and send.ae_title.strip() != collect.ae_title:
        where = _where(text, source, "require_called_ae_title")
        words = f"answers to storage commitment are sent to {send.ae_title} ([send] ae_title), and would be rejected"
        problems.append(f"{where}: collect.require_called_ae_title: {words}: write the same ae_title in both tables")
    return problems


def commitment_notes(config: Config, known: dict[str, type[Section]], text: str, source: str) -> list[str]:
    """Senders that could not be told what is kept, if they ask for it and do not wait, and what is kept for a time
    only: that may be as intended."""
    collect, _ = _sections(config, known)
    if not collect.commitment:
        return []
    goes = [rule.name for rule in config.section(Retention).rules if rule.remove in ("images", "record")]
    line = line_of(text, ("retention", "rules"))
    note = (
        f"{source}:{line or '?'}: note: images go by {', '.join(goes)}, also those that a sender was told are kept "
        "(storage commitment), and that it may have deleted: [collect] commitment = false tells nobody so"
    )
    notes = [note] if goes else []
    unknown = [ae for ae in collect.calling_ae_titles if collect.address_of(ae, config.destinations) is None]
    return notes + [
        f"{_where(text, source, 'calling_ae_titles')}: note: nobody has said where {ae} listens: if it asks for "
        "storage commitment and closes its association, it can't be told what is kept; [[collect.peers]] says it"
        for ae in unknown
    ]


def _sections(config: Config, known: dict[str, type[Section]]) -> tuple[Any, Any]:
    return config.section(known["collect"]), config.section(known["send"])


def _where(text: str, source: str, key: str) -> str:
    line = line_of(text, ("collect", key))
    return f"{source}:{line}" if line else source
