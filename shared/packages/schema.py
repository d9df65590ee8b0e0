"""The JSON Schema of `package.toml`, for editors and for tools that make packages."""

import json

from shared.packages.manifest import Manifest


def json_schema() -> str:
    """The schema as JSON (draft 2020-12), with a line feed at its end."""
    page = Manifest.model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **page}, indent=2) + "\n"
