"""`helm`, as far as the documents' examples type it: Helm itself as a library (PyPI's helm-python-sdk) renders the chart with what is set.

With HELM_ON_CLUSTER it also acts, on the cluster of KUBECONFIG. There is no package of the program where the tests run. The flags below are Helm 4's; one that is not there is refused, and may be
meant: then it is added. Values are set as Helm sets them, but for its rarer forms (`key[0]=`, `key=null`).
"""

import argparse
import copy
import os
import pathlib
import sys

import helm_python
import yaml

NAMES = {"install": 2, "upgrade": 2, "template": 2, "lint": 1, "uninstall": 1, "status": 1, "history": 1, "rollback": 1, "show": 2}
RENDERED = ("install", "upgrade", "template", "lint")
# An upgrade by these begins with what the release was installed with; an example of an upgrade installs none before.
REUSE = ("--reuse-values", "--reset-then-reuse-values")
INSTALLED = {"clusterName": "prod", "image": {"repository": "registry.test/credential-auditor"}}


def parsed(arguments):
    parser = argparse.ArgumentParser(prog="helm", allow_abbrev=False)
    parser.add_argument("command", choices=NAMES)
    parser.add_argument("names", nargs="+")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-f", "--values", action="append", default=[])
    for flag in ("--set", "--set-string", "--set-json", "--set-file"):
        parser.add_argument(flag, action="append", default=[])
    for flag in ("--version", "--timeout", "--kube-context", "--kubeconfig", "-o", "--output", "--kube-version"):
        parser.add_argument(flag)
    for flag in ("--create-namespace", "-i", "--install", "--atomic", "--rollback-on-failure", "--strict", "--debug", *REUSE, "--reset-values"):
        parser.add_argument(flag, action="store_true")
    for flag in ("--wait", "--dry-run"):
        parser.add_argument(flag, nargs="?", const="default")
    given = parser.parse_args(arguments)
    if len(given.names) != NAMES[given.command] and given.command != "rollback":
        parser.error(f"{given.command} wants {NAMES[given.command]} names, not {given.names}")
    return given


def scalar(text):
    """As `--set` reads it."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("{") and text.endswith("}"):
        return [scalar(item) for item in text[1:-1].split(",") if item]
    return int(text) if text.lstrip("-").isdigit() else text


def put(values, path, value):
    # A dot in a key, as of an annotation, is written `\.`.
    keys = [key.replace("\0", ".") for key in path.replace("\\.", "\0").split(".")]
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value


def merged(base, over):
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def values_of(given, before):
    values = copy.deepcopy(before)
    for path in given.values:
        values = merged(values, yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8")) or {})
    for pairs, read in ((given.set, scalar), (given.set_string, str), (given.set_json, yaml.safe_load)):
        for pair in pairs:
            # A comma parts two of them, outside of braces.
            path, _, text = pair.partition("=")
            put(values, path, read(text))
    return values


def act(given):
    """On a cluster, as Helm does; gives what to print."""
    reuses = given.reuse_values or given.reset_then_reuse_values
    with helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=given.namespace) as cluster:
        name = given.names[0]
        if given.command == "install":
            return cluster.install(given.names[1], name, values_of(given, {}), create_namespace=given.create_namespace)
        if given.command == "upgrade":
            # What --reset-then-reuse-values means: the new chart's values, and over them those that were set before.
            values = values_of(given, cluster.get_values(name) if reuses else {})
            return cluster.upgrade(given.names[1], name, values, reset_values=given.reset_then_reuse_values, reuse_values=given.reuse_values)
        if given.command == "rollback":
            version = int(given.names[1]) if len(given.names) > 1 else None
            return cluster.rollback(name, version=version)
        if given.command == "uninstall":
            return cluster.uninstall(name)
    raise SystemExit(f"helm {given.command} is not known on a cluster here")


def main(arguments):
    # No document can know the digest of a reader's image; what stands for it is no digest to the chart's schema.
    given = parsed([argument.replace("sha256:…", f"sha256:{'0' * 64}") for argument in arguments])
    if os.environ.get("HELM_ON_CLUSTER"):
        try:
            act(given)
        except helm_python.HelmError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"helm {given.command}: done")
        return 0
    if given.command not in RENDERED:
        print(f"helm {given.command}: taken")
        return 0
    before = INSTALLED if given.reuse_values or given.reset_then_reuse_values else {}
    chart, values = given.names[-1], values_of(given, before)
    known = yaml.safe_load((pathlib.Path(chart) / "values.yaml").read_text(encoding="utf-8"))
    unknown = values.keys() - known.keys()
    if unknown:
        print(f"the chart has no values {sorted(unknown)}", file=sys.stderr)
        return 1
    try:
        files = helm_python.Chart.load(chart).render(values, name=given.names[0], namespace=given.namespace)
    except helm_python.HelmError as error:
        print(error, file=sys.stderr)
        return 1
    for name in sorted(files):
        if name.endswith(".yaml") and files[name].strip():
            print(f"---\n# Source: {name}\n{files[name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
