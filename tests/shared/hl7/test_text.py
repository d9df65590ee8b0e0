"""Characters and escapes: what a peer wrote is what we read, and what can't be read is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hl7.text import Hl7Error, Separators, codec_of, decode, escape, unescape

NAME = "Zörb^山田"


@pytest.mark.parametrize(
    ("character_set", "codec", "text"),
    [
        ("UNICODE UTF-8", "utf-8", NAME),
        ("unicode utf-8", "utf-8", NAME),
        ("8859/1", "latin-1", "Zörb"),
        ("8859/15", "iso8859-15", "10 €"),
        ("~ISO IR87", "iso2022_jp", "Yamada^Tarou~山田^太郎"),
        ("ISO IR6~ISO IR87", "iso2022_jp", "山田^太郎"),
        ("GB 18030-2000", "gb18030", "张伟"),
        ("", "utf-8", NAME),
    ],
)
def test_reads_what_the_character_set_says(character_set: str, codec: str, text: str) -> None:
    assert decode(text.encode(codec), character_set) == text


def test_japanese_bytes_that_look_like_separators_are_no_separators() -> None:
    content = "PID|1||1||^^^~山田^太郎".encode("iso2022_jp")
    assert decode(content, "~ISO IR87").split("|")[5] == "^^^~山田^太郎"


@pytest.mark.parametrize(
    ("content", "character_set", "code"),
    [(b"Z\xf6rb", "UNICODE UTF-8", 102), (b"Z\xf6rb", "ASCII", 102), (b"Z\xf6rb", "", 102), (b"x", "ISO IR 999", 103)],
)
def test_bytes_of_another_set_are_refused(content: bytes, character_set: str, code: int) -> None:
    with pytest.raises(Hl7Error) as caught:
        decode(content, character_set)
    assert caught.value.code == code
    assert caught.value.answer == "AE"
    assert "MSH-18" in caught.value.text


def test_undeclared_is_a_setting() -> None:
    assert decode(b"Z\xf6rb", "", undeclared="8859/1") == "Zörb"


def test_every_codec_exists() -> None:
    for name in ("ISO IR14", "ISO IR159", "KS X 1001", "BIG-5", *(f"8859/{n}" for n in range(1, 10))):
        b"abc".decode(codec_of(name))


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r"Smith\F\Jones", "Smith|Jones"),
        (r"a\S\b\T\c\R\d\E\e", r"a^b&c~d\e"),
        (r"one\.br\two", "one\ntwo"),
        (r"a\X0D\b", "a\rb"),
        (r"\H\bold\N\ not", "bold not"),
        (r"\Zown\ stays", r"\Zown\ stays"),
        ("lone\\ escape", "lone\\ escape"),
    ],
)
def test_unescape(escaped: str, plain: str) -> None:
    assert unescape(escaped) == plain


def test_other_separators() -> None:
    own = Separators("@", "~", "&", "#", "\\")
    assert unescape("a#F#b#S#c", own) == "a@b~c"
    assert escape("a@b~c|d", own) == "a#F#b#S#c|d"


@given(st.text(alphabet=st.characters(min_codepoint=0x20, exclude_categories=["Cs"])))
def test_what_is_escaped_reads_the_same_and_holds_no_separator(text: str) -> None:
    written = escape(text)
    assert not set(written) & set("|^~&\r\n")
    assert unescape(written) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_nothing_escapes_into_the_frame(text: str) -> None:
    assert not set(escape(text)) & set("\r\n\x0b\x1c\x00|^~&")
