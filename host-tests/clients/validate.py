"""Validates documents by JSON Schema: `validate.py SCHEMA FILE...`, each file JSON, or YAML with one document.

A configuration of Envoy stands for the documents of filters inside it. Prints one line for each violation, and exits with
1 if there is any or nothing was validated. References between schemas are paths of files.
"""

import json
import pathlib
import sys

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


def load(path):
    return yaml.safe_load(path.read_text())


def retrieve(uri):
    return Resource.from_contents(load(pathlib.Path(uri.removeprefix("file://"))), DRAFT202012)


def filters(value):
    """The JSON documents inside a configuration of Envoy."""
    if isinstance(value, list):
        return [found for item in value for found in filters(item)]
    if not isinstance(value, dict):
        return []
    if str(value.get("@type")).endswith("google.protobuf.StringValue"):
        return [json.loads(value["value"])]
    return filters(list(value.values()))


def documents(path):
    whole = load(path)
    return filters(whole) if "static_resources" in whole else [whole]


def main():
    schema_path, *paths = [pathlib.Path(argument).resolve() for argument in sys.argv[1:]]
    schema = {"$id": schema_path.as_uri(), **load(schema_path)}
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, registry=Registry(retrieve=retrieve))
    found = [(path, document) for path in paths for document in documents(path)]
    violations = [(path, error) for path, document in found for error in validator.iter_errors(document)]
    for path, error in violations:
        print(f"{path.name}: {error.json_path}: {error.message}")
    sys.exit(1 if violations or not found else 0)


main()
