"""Whether docs/cm-api.yaml is a valid OpenAPI document, and whether every example of the contract keeps to it: those in the
file, those in docs/cm-rest-api.md, and the copies of these that the connector and the sandbox test with. And whether the
file has the operations and problem codes that the document and the reference CM have, no more and no less.

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
REFERENCE_CM = ROOT / "sandbox/src/reference_cm"
SANDBOX = REFERENCE_CM / "vectors.json"
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


def compare(ours, theirs, whose):
    """What one of two sets has and the other has not."""
    yield from (f"only in docs/cm-api.yaml: {one}" for one in sorted(ours - theirs))
    yield from (f"only in {whose}: {one}" for one in sorted(theirs - ours))


def operations_of_file(api):
    for path, item in api["paths"].items():
        for method in item.keys() & {"get", "post", "patch", "delete", "put"}:
            yield f"{method.upper()} {path} {item[method]['operationId']}"


def operations_of_reference_cm():
    routes = (REFERENCE_CM / "routes.rs").read_text()
    for method, path, name in re.findall(r'\(\s*([A-Z]+),\s*"([^"]+)",\s*Op::(\w+),', routes):
        yield f"{method} {path} {name[0].lower()}{name[1:]}"


def codes_of_file(api):
    for name, schema in api["components"]["schemas"].items():
        if name.startswith("Problem") and "allOf" in schema:
            own = schema["allOf"][1]["properties"]
            yield from (f"{own['status']['const']} {code}" for code in own["code"]["enum"])


def codes_of_reference_cm():
    table = (REFERENCE_CM / "problem.rs").read_text()
    for code, status in re.findall(r'=> "([a-z-]+)", (\d{3}), (?:true|false),', table):
        # A method that a path does not have is the answer of no operation.
        if status != "405":
            yield f"{status} {code}"


def codes_of_document(text):
    """The first column of the table of section 5; a code that begins with `-` goes on with the one before."""
    for row in re.findall(r"^\| (`.*?) \|", text[text.index("## 5 ") : text.index("## 6 ")], re.M):
        stem = ""
        for code in re.findall(r"`([a-z-]+)`", row.split("`scope:")[0]):
            stem = stem.split("-")[0] + code if code.startswith("-") else code
            yield stem


api = yaml.safe_load(FILE.read_text())
say("docs/cm-api.yaml is an OpenAPI 3.1 document", (error.message for error in OpenAPIV31SpecValidator(api).iter_errors()))
for place, schema, example in own_examples("", api):
    say(f"docs/cm-api.yaml: example {place}", mistakes_of(api, schema, example))

text = DOCUMENT.read_text()
blocks = list(named_blocks(text))
for line, name, example in blocks:
    missing = [] if name in api["components"]["schemas"] else ["it names no schema of docs/cm-api.yaml"]
    say(f"docs/cm-rest-api.md:{line}: {name}", missing or mistakes_of(api, by_name(name), example))

examples = [example for _, _, example in blocks]
differs = ["no example of docs/cm-rest-api.md is equal to it"]
for path in sorted(CONNECTOR.glob("*.json")):
    say(path.relative_to(ROOT), [] if json.loads(path.read_text()) in examples else differs)
for name, vector in json.loads(SANDBOX.read_text()).items():
    say(f"{SANDBOX.relative_to(ROOT)}: {name}", [] if vector in examples else differs)

whose = "the routes of the reference CM"
say("docs/cm-api.yaml: operations", compare(set(operations_of_file(api)), set(operations_of_reference_cm()), whose))
codes = set(codes_of_file(api))
# The reference CM can always be written to.
lacking = {"503 read-only"}
say("docs/cm-api.yaml: problem codes", compare(codes - lacking, set(codes_of_reference_cm()), "the reference CM"))
named = {code.split()[1] for code in codes}
say("docs/cm-rest-api.md: problem codes", compare(named, set(codes_of_document(text)), "section 5"))
listed = set(api["components"]["schemas"]["ProblemCode"]["enum"])
say("docs/cm-api.yaml: problem codes by status", compare(named, listed, "ProblemCode"))
sys.exit(bool(failed))
