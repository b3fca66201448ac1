"""Ships lines through Fluent Bit or Vector as manifests/shipping configures them, and compares what comes out.

    check.py fluent-bit PROGRAM LINES...     the real program
    check.py vector PROGRAM LINES...         the real program
    check.py vrl LINES...                    vector.yaml's programs alone, by the PyPI package pyvrl

Each file of LINES is one run of the auditor, JSON or OCSF. The first is written as a container's log, between lines of stderr and
across a rotation; all others as the file of `--output-file`, the second across a rotation, too. Everything must come out once, as it
was, and the violations once more; `seq` must have no holes but those that the lines have.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

MANIFESTS = pathlib.Path(__file__).resolve().parents[2] / "manifests" / "shipping"
PATIENCE = 60
NO_JSON = "this is no event at all"


def is_violation(event):
    """By the verdict alone. In OCSF it is the finding that wakes somebody, and not the activity that it was found in."""
    if "class_uid" not in event:
        return event.get("verdict") == "violation"
    is_new_finding = (event["class_uid"], event["activity_id"]) == (2004, 1)
    return is_new_finding and event.get("unmapped", {}).get("verdict") == "violation"


def key(event):
    """Neither program keeps the order of members, nor promises that of lines."""
    return json.dumps(event, sort_keys=True)


def number(event):
    return event.get("seq", event.get("metadata", {}).get("sequence"))


class Node:
    """The files that a shipper reads and writes."""

    def __init__(self, directory):
        self.container = directory / "logs" / "auditor-1_credential-auditor_auditor-0123.log"
        self.file = directory / "file" / "events.jsonl"
        self.state = directory / "state"
        self.out = directory / "out"
        for path in (self.container.parent, self.file.parent, self.state, self.out):
            path.mkdir()

    def environment(self):
        return {
            "AUDITOR_CONTAINER_LOG": str(self.container),
            "AUDITOR_FILE": str(self.file),
            "AUDITOR_STATE": str(self.state),
            "AUDITOR_OUT": str(self.out),
        }

    def events(self, name):
        path = self.out / name
        if not path.exists():
            return []
        whole = path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in whole]


def cri(line, stream="stdout"):
    return f"2026-11-22T12:00:00.123456789+00:00 {stream} F {line}\n"


def append(path, lines):
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(lines)


def rotate(path):
    """As the kubelet does: rename, and the runtime opens a new one."""
    path.rename(path.with_name(f"{path.name}.{time.time_ns()}"))
    path.touch()


def feed(node, runs, beside):
    """All lines, while the shipper reads."""
    first, *others = runs
    half = len(first) // 2
    text = lambda lines: [part for line in lines for part in (cri(line), cri("a log line {", "stderr"))]
    append(node.container, text(first[:half]))
    append(node.container, [cri(NO_JSON)])
    beside()
    rotate(node.container)
    append(node.container, text(first[half:]))
    for lines in others:
        half = len(lines) // 2
        append(node.file, [line + "\n" for line in lines[:half]])
        beside()
        rotate(node.file)
        append(node.file, [line + "\n" for line in lines[half:]])
        beside()


def compare(what, sent, got):
    missing, surplus = set(map(key, sent)) - set(map(key, got)), set(map(key, got)) - set(map(key, sent))
    for name, keys in (("missing", missing), ("not sent", surplus)):
        for one in sorted(keys)[:3]:
            print(f"{what}: {name}: {one[:600]}", file=sys.stderr)
    if missing or surplus or len(sent) != len(got):
        raise SystemExit(f"{what}: {len(sent)} sent, {len(got)} came out, {len(missing)} missing, {len(surplus)} not sent")
    print(f"{what}: {len(got)}, as they were sent")


def without_holes(runs, got):
    for lines in runs:
        events = [json.loads(line) for line in lines]
        run_id = events[0].get("run_id") or events[0]["unmapped"]["run_id"]
        of_run = lambda event: (event.get("run_id") or event.get("unmapped", {}).get("run_id")) == run_id
        sent = sorted({number(event) for event in events})
        came = sorted({number(event) for event in got if of_run(event)})
        if sent != came:
            raise SystemExit(f"run {run_id}: of the numbers {sent[0]} to {sent[-1]} some are missing")


def ship(command, node, runs):
    """Starts the program, writes the lines, waits until all are out, and ends it."""
    sent = [json.loads(line) for lines in runs for line in lines]
    violations = [event for event in sent if is_violation(event)]
    # One is no JSON.
    due = len(sent) + 1
    log = open(node.state / "log", "wb")
    process = subprocess.Popen(command, env={**os.environ, **node.environment()}, stdout=log, stderr=log)
    wait_for = lambda enough: until(process, enough)
    try:
        # Files that are there already, files that grow, files that are rotated: time to see each as it is.
        append(node.container, [])
        feed(node, runs, lambda: time.sleep(7))
        in_time = wait_for(lambda: len(node.events("events.jsonl")) >= due and len(node.events("violations.jsonl")) >= len(violations))
        # Nothing may come twice either.
        time.sleep(3)
    finally:
        process.terminate()
        process.wait(30)
    got = node.events("events.jsonl")
    if not in_time:
        print((node.state / "log").read_text()[-3000:], file=sys.stderr)
    check(runs, sent, violations, got, node.events("violations.jsonl"))


def check(runs, sent, violations, got, alarms):
    strange = [event for event in got if number(event) is None]
    got = [event for event in got if number(event) is not None]
    compare("events", sent, got)
    compare("violations", violations, alarms)
    without_holes(runs, got)
    if len(strange) != 1 or NO_JSON not in strange[0].values():
        raise SystemExit(f"what is no JSON was lost or doubled: {strange}")
    print(f"what is no JSON came out as it was; {len(violations)} of {len(sent)} were violations")


def until(process, enough):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if enough():
            return True
        time.sleep(0.2)
    return False


def fluent_bit(program, node, runs):
    """Its `env` goes before the environment, so the test's paths are put there."""
    text = (MANIFESTS / "fluent-bit.yaml").read_text()
    for name, value in node.environment().items():
        text, count = re.subn(rf"(?m)^  {name}: .*$", f"  {name}: {value}", text)
        if count != 1:
            raise SystemExit(f"fluent-bit.yaml sets {name} {count} times")
    config = node.state / "fluent-bit.yaml"
    config.write_text(text)
    subprocess.run([program, "--dry-run", "-c", config], check=True, stdout=subprocess.DEVNULL)
    ship([program, "-c", str(config)], node, runs)


def vector(program, node, runs):
    config = MANIFESTS / "vector.yaml"
    environment = {**os.environ, **node.environment()}
    subprocess.run([program, "validate", "--no-environment", config], check=True, env=environment)
    ship([program, "--config", str(config)], node, runs)


def vrl(runs):
    """What the file's transforms make of each line, in the order that they name each other."""
    import pyvrl
    import yaml

    transforms = yaml.safe_load((MANIFESTS / "vector.yaml").read_text())["transforms"]
    # A program's value is that of its last expression; here it is what the event has become.
    program = lambda name: pyvrl.Transform(transforms[name]["source"] + "\n.")
    parse_cri, parse = program("cri"), program("events")
    condition = pyvrl.Transform(transforms["routes"]["route"]["violations"])
    container, *files = runs
    messages = [parse_cri.remap({"message": cri(line).rstrip("\n")}) for line in [*container, NO_JSON]]
    try:
        parse_cri.remap({"message": cri("a log line {", "stderr").rstrip("\n")})
        raise SystemExit("stderr is shipped")
    except ValueError as error:
        if "aborted" not in str(error):
            raise
    messages += [{"message": line} for lines in files for line in lines]
    got = [parse.remap(message) for message in messages]
    sent = [json.loads(line) for lines in runs for line in lines]
    alarms = [event for event in got if condition.remap(dict(event))]
    check(runs, sent, [event for event in sent if is_violation(event)], got, alarms)


def main():
    what, *rest = sys.argv[1:]
    program = rest.pop(0) if what != "vrl" else None
    runs = [pathlib.Path(path).read_text(encoding="utf-8").split("\n")[:-1] for path in rest]
    with tempfile.TemporaryDirectory(prefix="auditor-shipping-") as directory:
        node = Node(pathlib.Path(directory))
        match what:
            case "fluent-bit":
                fluent_bit(program, node, runs)
            case "vector":
                vector(program, node, runs)
            case "vrl":
                vrl(runs)
            case other:
                raise SystemExit(f"there is no {other}: fluent-bit, vector or vrl")


if __name__ == "__main__":
    main()
