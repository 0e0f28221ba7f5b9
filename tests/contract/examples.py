"""Whether docs/cm-api.yaml is a valid OpenAPI document, and whether every example of the contract keeps to it: those in the
file, those in docs/cm-rest-api.md, and the copies of these that the connector and the sandbox test with.

In the document a JSON block is named by `<!-- schema: NAME -->` right before it, or `<!-- schema-of-previous: NAME -->` after it.
Prints a line for each thing that was looked at; the exit code is 1 if one of them is wrong.
"""

import json
import pathlib
import re
import sys

import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = pathlib.Path(sys.argv[1])
FILE, DOCUMENT = ROOT / "docs/cm-api.yaml", ROOT / "docs/cm-rest-api.md"
CONNECTOR = ROOT / "cm-connector/src/rest/examples"
SANDBOX = ROOT / "sandbox/src/reference_cm/vectors.json"
failed = 0


def say(what, mistakes):
    global failed
    mistakes = list(mistakes)
    failed += bool(mistakes)
    print(f"{'FAILED' if mistakes else 'ok':<7}{what}")
    for mistake in mistakes[:5]:
        print(f"         {mistake}")


def mistakes_of(api, schema, value):
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": api["components"], **schema}
    for error in Draft202012Validator(whole).iter_errors(value):
        yield f"at {error.json_path}: {error.message[:200]}"


def by_name(name):
    return {"$ref": f"#/components/schemas/{name}"}


def named_blocks(text):
    """Each JSON block with the name of its schema, none if it has none."""
    for block in re.finditer(r"```json\n(.*?)```", text, re.S):
        before, after = text[: block.start()].rstrip(), text[block.end() :].lstrip()
        name = re.search(r"<!-- schema: (\w+) -->$", before) or re.match(r"<!-- schema-of-previous: (\w+) -->", after)
        line = text.count("\n", 0, block.start()) + 1
        yield line, name and name.group(1), json.loads(block.group(1))


def own_examples(place, node):
    """Each example in the file, with its schema and where it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "example" and "schema" in node:
                yield place, node["schema"], value
            elif key == "examples" and isinstance(value, list):
                yield from ((f"{place}/{at}", node, example) for at, example in enumerate(value))
            elif key == "examples" and "schema" in node:
                yield from ((f"{place}/{name}", node["schema"], example["value"]) for name, example in value.items())
            else:
                yield from own_examples(f"{place}/{key}", value)
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from own_examples(f"{place}/{at}", value)


api = yaml.safe_load(FILE.read_text())
say("docs/cm-api.yaml is an OpenAPI 3.1 document", (error.message for error in OpenAPIV31SpecValidator(api).iter_errors()))
for place, schema, example in own_examples("", api):
    say(f"docs/cm-api.yaml: example {place}", mistakes_of(api, schema, example))

blocks = list(named_blocks(DOCUMENT.read_text()))
for line, name, example in blocks:
    missing = [] if name in api["components"]["schemas"] else ["it names no schema of docs/cm-api.yaml"]
    say(f"docs/cm-rest-api.md:{line}: {name}", missing or mistakes_of(api, by_name(name), example))

examples = [example for _, _, example in blocks]
differs = ["no example of docs/cm-rest-api.md is equal to it"]
for path in sorted(CONNECTOR.glob("*.json")):
    say(path.relative_to(ROOT), [] if json.loads(path.read_text()) in examples else differs)
for name, vector in json.loads(SANDBOX.read_text()).items():
    say(f"{SANDBOX.relative_to(ROOT)}: {name}", [] if vector in examples else differs)
sys.exit(bool(failed))
