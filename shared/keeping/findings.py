"""What an examination found: how many of what, what it means, and what to do."""

from pydantic import BaseModel


class Finding(BaseModel):
    """One kind of thing that is not as it should be."""

    kind: str
    count: int
    words: str  # what was found
    do: str = ""  # what a person can do
    mended: bool = False
    examples: list[str] = []  # UIDs, ids or paths below the data folder
