"""Holds data in the documents against the form that it must have.

    data.py KIND BLOCKS

BLOCKS is JSON: [{"place": "docs/x.md:12", "text": "…"}, …]; KIND is

    event     lines of the auditor: docs/event.schema.json, where what stands for left out parts (`…`) may be anything
    iam       policies of IAM or statements of one: parliament, which knows every service's actions and their resources
    objects   what the API server is given: the API's own schema; of others' kinds what each object must have
    values    values of the chart: its values.schema.json, on top of its own values

Prints a line an example, then `N passed, N failed`.
"""

import json
import pathlib
import re
import sys

import jsonschema
import kubernetes_validate
import parliament
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "manifests/helm/credential-auditor"


def loosened(schema):
    """The schema without `required`: an example may leave out what it is not about. Nothing else than it names may be in an object."""
    if isinstance(schema, list):
        return [loosened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {key: loosened(part) for key, part in schema.items() if key != "required" or not isinstance(part, list)}
    if "properties" in loose and "$ref" not in loose:
        loose.setdefault("additionalProperties", False)
    return loose


def event(text):
    """Every member that is told must be one of the event's, and be what the schema says of it."""
    # A part that is left out stands behind a comma, or alone.
    text = re.sub(r",\s*…|…", "", text)
    line = json.loads(text)
    schema = json.loads((ROOT / "docs/event.schema.json").read_text(encoding="utf-8"))
    branches = [branch for branch in schema.pop("oneOf") if branch["properties"]["event"].get("const") == line["event"]]
    assert branches, f"the schema has no event {line['event']}"
    # What is in every line, and what is in those of this event: one object.
    of_event = schema["$defs"][branches[0]["$ref"].removeprefix("#/$defs/")]["properties"]
    properties = {**schema["properties"], **of_event, **branches[0]["properties"]}
    one = {"$defs": schema["$defs"], "type": "object", "properties": properties}
    jsonschema.validate(line, loosened(one))


# What parliament says of examples that mean it: a star where a service knows no resources, and an issuer that is the reader's.
ON_PURPOSE = {"RESOURCE_STAR", "UNKNOWN_FEDERATION_SOURCE"}
# So are the conditions on what the issuer says.
CLAIM = re.compile(r"Unknown condition \S+:(sub|aud) for action sts:AssumeRoleWithWebIdentity")


def iam(text):
    policy = json.loads(text)
    if "Statement" not in policy:
        policy = {"Version": "2012-10-17", "Statement": [policy]}
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    for statement in statements:
        # A trust policy is of the role that it is in; parliament wants a resource of every policy.
        if "Principal" in statement:
            assert "Resource" not in statement, "a trust policy has no resource"
            statement["Resource"] = "*"
    found = parliament.analyze_policy_string(json.dumps({**policy, "Statement": statements})).findings
    faults = [f"{finding.issue} {finding.detail}" for finding in found if finding.issue not in ON_PURPOSE and not CLAIM.match(str(finding.detail))]
    assert not faults, "; ".join(faults)


def objects(text):
    for document in yaml.safe_load_all(text):
        if document is None:
            continue
        for path in (["apiVersion"], ["kind"], ["metadata", "name"]):
            value = document
            for key in path:
                value = (value or {}).get(key)
            # What kustomize and kubectl read by themselves has no name.
            named = path[0] != "metadata" or document["kind"] not in ("Kustomization", "List")
            assert isinstance(value, str) or not named, f"no {'.'.join(path)}"
        try:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            # A custom resource's schema is in its operator.
            group = document["apiVersion"].partition("/")[0]
            assert "." in group and not group.endswith(".k8s.io"), f"the API has no {document['apiVersion']} {document['kind']}"


def merged(base, values):
    """As helm does it."""
    if not (isinstance(base, dict) and isinstance(values, dict)):
        return values
    return {**base, **{key: merged(base.get(key), value) for key, value in values.items()}}


def values(text):
    base = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    given = yaml.safe_load(text)
    unknown = given.keys() - base.keys()
    assert not unknown, f"the chart has no values {sorted(unknown)}"
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(merged(base, given), schema)


def main(kind, blocks):
    check = {"event": event, "iam": iam, "objects": objects, "values": values}[kind]
    passed, failed = 0, 0
    for block in json.loads(pathlib.Path(blocks).read_text(encoding="utf-8")):
        try:
            check(block["text"])
            passed += 1
            print(f"ok   {block['place']}: {kind}")
        except Exception as error:  # An example's fault is told as its own, whatever it is.
            failed += 1
            told = str(error).splitlines()[0] if str(error) else ""
            print(f"FAIL {block['place']}: {kind}: {type(error).__name__}: {told}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
