"""Whether what people read says what the report says: pictures and pages."""

import re
from collections.abc import Iterator

from shared.verify.folder import Run
from shared.verify.outcome import Outcome
from shared.verify.said import Said, plain


def check_texts(name: str, said: Said, run: Run, outcome: Outcome) -> None:
    """Pictures say nothing else than the report; the page says that and all of it."""
    pages = {path: _joined(text, said) for path, text in run.pages.items()}
    texts = {path: text for path, text in run.pictures.items() if text is not None} | pages
    for path, text in texts.items():
        outcome.compared += 1
        outcome.differs += [f"{path.name}: {token} is not in {name}" for token in said.unexplained(text)]
        outcome.differs += [f"{path.name}: {site} is not in {name}" for site in _other_sites(text, said)]
    for path, text in pages.items():
        for number in said.not_in(text):
            what = f"{number.meaning} {number.value:g}"
            outcome.differs.append(f"{path.name}: {what} of {name} is not on the page in {number.unit}")
    printed = plain(" ".join(texts.values()))
    for words in (plain(words) for words in said.site_words if texts):
        if words not in printed:
            outcome.differs.append(f"{name}: {words} is on no picture or page")


def _joined(text: str, said: Said) -> str:
    """A page's text with UIDs that were broken over lines joined again."""
    for uid in (dotted for dotted in said.dotted if len(dotted) > 20):
        text = re.sub(r"\s*".join(map(re.escape, uid)), f" {uid} ", text)
    return text


def _other_sites(text: str, said: Said) -> Iterator[str]:
    """Places in the body, with their side, that are not the report's."""
    known = sorted(map(plain, said.site_words), key=len, reverse=True)
    for rest in plain(text).split("site: ")[1:]:
        if not any(rest.startswith(words) for words in known):
            yield f"site {rest[:40].split(' confidence')[0]}"
