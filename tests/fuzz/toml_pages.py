"""Pages of configuration and manifests of packages: made of what there is, and of what nobody should write."""

import random
from pathlib import Path

from tests.fuzz.driver import ROOT

_VALUES = [
    '""',
    '"x"',
    '"\\u0000"',
    '"\\n"',
    "0",
    "-1",
    "1",
    "3.5",
    "1e400",
    "nan",
    "inf",
    "true",
    "[]",
    "{}",
    "[[]]",
    '["x", 1]',
    "{ a = 1 }",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "9" * 5000,
    "0x" + "f" * 5000,
    '"' + "x" * 10_000 + '"',
    '"~nobody/x"',
    '"../../x"',
    '"\\ud800"',
    "[" * 2000 + "]" * 2000,
    "{a=" * 500 + "1" + "}" * 500,
    "'''\n'''",
    '"é"',
    '"²"',
    '["", ""]',
    '"/proc/self/mem"',
    '"/dev/zero"',
    '"postgresql://x:y@h/d"',
    '"no://url"',
    "65536",
    "2575",
    '"127.0.0.1"',
    "_",
    "=",
    "",
]
_KEYS = [
    "data_dir",
    "database_url",
    "broker_url",
    "log_level",
    "port",
    "host",
    "ae_title",
    "calling_ae_titles",
    "quiet_seconds",
    "name",
    "kind",
    "objects",
    "timeout_seconds",
    "warn_below",
    "verdict",
    "model_repository",
    "environment",
    "concurrency",
    "_env_file",
    "_secrets_dir",
    "_cli_parse_args",
    "_case_sensitive",
    "__pydantic_self__",
    "self",
    "model_config",
    '""',
    '"a.b"',
    "a.b.c",
    "é",
    "private_sop_classes",
    "accession_number_from",
    "quiet_seconds_by_ae",
    "rules",
    "schema",
    "_cli_settings_source",
    "_env_prefix",
    "_env_nested_delimiter",
    "_init_kwargs",
    "values",
    '"\\u0000"',
]
_TABLES = [
    "[isocenter]",
    "[collect]",
    "[admit]",
    "[decide]",
    "[[decide.rules]]",
    "[gate]",
    "[infer]",
    "[report]",
    "[send]",
    "[status]",
    "[triton]",
    "[[destinations]]",
    "[destinations]",
    "[gates]",
    "[gates.completeness]",
    "[gates.geometry]",
    "[[gates]]",
    "[collect.x]",
    "[nobody]",
    "[a.b.c]",
    "[]",
    "[[",
    "[collect]]",
    "[package]",
    "[selector]",
    "[[tensors.inputs]]",
    "[[outputs]]",
    "[gate.x]",
    "[[preprocess]]",
    "[results]",
]


def page(rng: random.Random) -> bytes:
    """A page of tables with any keys and any values."""
    lines = []
    for _ in range(rng.randrange(6)):
        lines.append(rng.choice(_TABLES))
        lines += [f"{rng.choice(_KEYS)} = {rng.choice(_VALUES)}" for _ in range(rng.randrange(5))]
    return _spoiled("\n".join(lines).encode("utf-8", "surrogatepass"), rng)


def manifest(rng: random.Random) -> bytes:
    """A package's manifest with some of its lines changed."""
    path: Path = rng.choice(sorted(ROOT.glob("model_repository/*/package.toml")))
    lines = path.read_text().splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        key, found, _ = lines[at].partition("=")
        lines[at] = rng.choice(
            (
                "",
                f"{key}= {rng.choice(_VALUES)}" if found else rng.choice(_TABLES),
                f"{rng.choice(_KEYS)} = {rng.choice(_VALUES)}",
            )
        )
    return _spoiled("\n".join(lines).encode("utf-8", "surrogatepass"), rng)


def _spoiled(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return content[: rng.randrange(len(content) + 1)] + rng.randbytes(rng.randrange(20))
    return rng.choice((b"", b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe")) + content
