"""A program that reads and writes every document with the library alone."""

import json
import sys
from pathlib import Path


class Refuse:
    """Fail the program when anything imports the command."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name in ("click", "tabulate") or name.startswith("xenapic.cli"):
            raise AssertionError(f"the library imported {name}")


sys.meta_path.insert(0, Refuse())

import xenapic  # noqa: E402

for file in sorted(Path(sys.argv[1]).glob("*.json")):
    text = file.read_text()
    value = xenapic.from_json(text)
    assert xenapic.to_json(value) == json.loads(text), file
    assert xenapic.from_json(json.dumps(xenapic.to_json(value))) == value, file
    print(json.loads(text)["schema"].split("/")[1])
