"""Holds events against the schema of OCSF, which the package ocsf-json-schema brings along.

    validate.py [--follow] FILE...

A file holds one JSON object a line, or one object on several lines. With --follow each file is one run of the auditor, and
`metadata.sequence` is followed through it: no number may be missing but those that the sink's losses explain. Prints how many
events there were of each class; exits with 1, and names the first errors, where one is not valid.

Besides what JSON Schema can say it checks what OCSF says in words: `type_uid` is made of class and activity, captions belong to
their ids, a profile's attributes are used with that profile, and nothing deprecated is used.
"""

import argparse
import collections
import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"
LIMIT = 16 * 1024
MOST_ERRORS = 20


class Schema:
    def __init__(self):
        self.raw = get_ocsf_schema(version=VERSION)
        self.embedded = OcsfJsonSchemaEmbedded(self.raw)
        self.validators = {}

    def errors(self, event):
        """What is wrong with one event, as sentences."""
        metadata = event.get("metadata", {})
        if metadata.get("version") != VERSION:
            yield f"metadata.version is {metadata.get('version')!r}"
            return
        try:
            name = self.embedded.lookup_class_name_from_uid(event.get("class_uid"))
        except ValueError as error:
            yield str(error)
            return
        profiles = tuple(sorted(metadata.get("profiles", [])))
        known = set(self.raw["classes"][name].get("profiles", []))
        if unknown := set(profiles) - known:
            yield f"{name} has no profile {sorted(unknown)}"
        for error in self.validator(name, profiles).iter_errors(event):
            where = ".".join(str(part) for part in error.absolute_path)
            yield f"{where or 'event'}: {error.message[:300]}"
        expected = event["class_uid"] * 100 + event.get("activity_id", 0)
        if event.get("type_uid") != expected:
            yield f"type_uid is {event.get('type_uid')}, not {expected}"
        yield from self.captions(event, self.raw["classes"][name]["attributes"], "")

    def validator(self, name, profiles):
        if (name, profiles) not in self.validators:
            schema = self.embedded.get_class_schema(name, list(profiles))
            jsonschema.Draft202012Validator.check_schema(schema)
            self.validators[name, profiles] = jsonschema.Draft202012Validator(schema)
        return self.validators[name, profiles]

    def captions(self, value, attributes, where):
        """A sibling says what its id says; 99 stands for what the schema has no id for, and then the sibling is the source's."""
        for name, member in value.items():
            attribute = attributes.get(name)
            if attribute is None:
                continue  # JSON Schema tells of it
            path = f"{where}{name}"
            if "@deprecated" in attribute:
                yield f"{path} is deprecated"
            enum, sibling = attribute.get("enum"), attribute.get("sibling")
            if enum and sibling in value and member != 99:
                caption = enum.get(str(member), {}).get("caption")
                if caption is not None and value[sibling] != caption:
                    yield f"{where}{sibling} is {value[sibling]!r}, and {member} stands for {caption!r}"
            if attribute.get("type") == "object_t" and attribute["object_type"] != "object":
                of = self.raw["objects"][attribute["object_type"]]["attributes"]
                for item in member if isinstance(member, list) else [member]:
                    if isinstance(item, dict):
                        yield from self.captions(item, of, f"{path}.")


class Run:
    """Follows the numbers of one run."""

    def __init__(self):
        self.next = 0
        self.last = None

    def errors(self, event):
        metadata = event.get("metadata", {})
        if metadata.get("uid") != metadata.get("original_event_uid"):
            related = event.get("finding_info", {}).get("related_events", [{}])[0]
            if self.last != (metadata.get("sequence"), related.get("uid"), related.get("type_uid")):
                yield "it does not follow the activity that it refers to"
            return
        unmapped = event.get("unmapped", {})
        is_sinks = metadata.get("event_code") == "loss" and unmapped.get("reason") == "sink"
        due = self.next + (event["count"] if is_sinks else 0)
        if metadata.get("sequence") != due:
            yield f"metadata.sequence is {metadata.get('sequence')} where {due} was due"
        self.next = metadata.get("sequence", due) + 1
        self.last = (metadata.get("sequence"), metadata.get("uid"), event.get("type_uid"))


def events(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        text = file.read()
    try:
        yield "", json.loads(text)
        return
    except json.JSONDecodeError:
        pass
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if len(line.encode()) >= LIMIT:
            raise SystemExit(f"{path}:{number}: {len(line.encode())} bytes long")
        yield f":{number}", json.loads(line)


def main():
    parser = argparse.ArgumentParser(description="Validates OCSF events.")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    schema, counts, errors = Schema(), collections.Counter(), 0
    for path in arguments.files:
        run = Run()
        for where, event in events(path):
            found = list(schema.errors(event))
            if arguments.follow:
                found += run.errors(event)
            for error in found:
                errors += 1
                if errors <= MOST_ERRORS:
                    print(f"{path}{where}: {error}", file=sys.stderr)
            code = event.get("metadata", {}).get("event_code")
            counts[event.get("class_uid"), event.get("class_name"), code] += 1
    for (uid, name, code), count in sorted(counts.items(), key=str):
        print(f"{count:7} {uid} {name}: {code}")
    print(f"{sum(counts.values())} events against OCSF {VERSION}: {errors} errors")
    return 1 if errors or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
