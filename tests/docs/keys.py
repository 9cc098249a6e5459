#!/usr/bin/env python3
"""The tables of keys in docs/pipeline-toml.md, made from schema/pipeline.schema.json.

A table stands between `<!-- keys: NAME -->` and `<!-- /keys -->`, where NAME is a definition of the schema, or `Spec`
for the file as a whole.

Usage: keys.py --write      (the test in test_readme.py says when that is needed)
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = ROOT / "schema" / "pipeline.schema.json"
DOCUMENT = ROOT / "docs" / "pipeline-toml.md"
PLACE = re.compile(r"(<!-- keys: (\w+) -->\n)(.*?)(<!-- /keys -->)", re.DOTALL)


def objects(schema: dict) -> dict[str, dict]:
    """What has keys, by the name that a place gives it. Environments repeat the others, so they are left out."""
    found = {"Spec": schema}
    for name, definition in schema["$defs"].items():
        if name.startswith("Partial"):
            continue
        for variant in definition.get("oneOf", []):
            if "properties" in variant:
                found[f"{name}_{variant['properties']['type']['const']}"] = variant
        if "properties" in definition:
            found[name] = definition
    return found


def kind(key: dict, schema: dict) -> str:
    if "$ref" in key:
        key = schema["$defs"][key["$ref"].rsplit("/", 1)[1]]
    if words := [variant["const"] for variant in key.get("oneOf", []) if "const" in variant]:
        return " or ".join(f"`{word}`" for word in words)
    if "oneOf" in key:
        return "table"
    if "const" in key:
        return f"`{key['const']}`"
    names = {"object": "table", "array": "array of tables", "integer": "whole number", "boolean": "true or false"}
    if isinstance(key["type"], list):
        return " or ".join(names.get(one, one) for one in key["type"]).replace("array of tables", "array")
    if key["type"] == "array" and key.get("items", {}).get("type") == "string":
        return "array of strings"
    return names.get(key["type"], key["type"])


def default(name: str, key: dict, owner: dict) -> str:
    if name in owner.get("required", []):
        return "required"
    return "" if key.get("default") in (None, {}) else f"`{json.dumps(key['default'])}`"


def rows(owner: dict, schema: dict) -> list[list[str]]:
    found = []
    for name, key in owner["properties"].items():
        meaning = key.get("description", "").replace("\n", " ").replace("|", "\\|")
        found.append([f"`{name}`", kind(key, schema), default(name, key, owner), meaning])
    return found


def table(owner: dict, schema: dict) -> str:
    lines = [["key", "type", "default", "meaning"], ["---"] * 4, *rows(owner, schema)]
    return "\n" + "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines) + "\n"


def filled(document: str, schema: dict) -> str:
    """The document with every table as the schema has it."""
    known = objects(schema)
    return PLACE.sub(lambda place: place[1] + table(known[place[2]], schema) + place[4], document)


def places(document: str) -> set[str]:
    return {place[1] for place in PLACE.findall(document)}


def main() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    document = DOCUMENT.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(filled(document, schema), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
