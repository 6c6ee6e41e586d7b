"""Validates documents by JSON Schema: `validate.py SCHEMA FILE...`, each file JSON, or YAML with one document.

Prints one line for each violation and exits with 1 if there is any. References between schemas are paths of files.
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


def main():
    schema_path, *paths = [pathlib.Path(argument).resolve() for argument in sys.argv[1:]]
    schema = {"$id": schema_path.as_uri(), **load(schema_path)}
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, registry=Registry(retrieve=retrieve))
    violations = [(path, error) for path in paths for error in validator.iter_errors(load(path))]
    for path, error in violations:
        print(f"{path.name}: {error.json_path}: {error.message}")
    sys.exit(1 if violations else 0)


main()
