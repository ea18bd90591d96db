"""What is left out of the requests that are made up from openapi.json: what proto3's JSON takes and the schemas do not repeat."""

import json
import pathlib

import schemathesis

DOCUMENT = json.loads((pathlib.Path(__file__).parents[2] / "openapi.json").read_text())
PROPERTIES = [pair for schema in DOCUMENT["components"]["schemas"].values() for pair in schema.get("properties", {}).items()]
# Numbers of 64 bits are strings in the schemas, as in answers; requests may also have numbers.
LONG = {name for name, field in PROPERTIES if field.get("format") == "int64"}


def is_taken_too(value, name=""):
    """Whether a JSON value, of the property of this name, holds a null, which stands for nothing in every message, or such a number."""
    if isinstance(value, dict):
        return any(is_taken_too(inner, key) for key, inner in value.items())
    if isinstance(value, list):
        return any(is_taken_too(inner, name) for inner in value)
    return value is None or (name in LONG and isinstance(value, (int, float)))


@schemathesis.hook
def filter_case(context, case):
    return not is_taken_too(case.body)
