"""Helm, and the schemas of Kubernetes and of the Prometheus Operator, for `cargo xtask manifests`.

Reads JSON of a file, and writes JSON to stdout: engines.py TASK FILE

package   {"chart": DIR, "destination": DIR}
          -> PATH of the archive
helm      {"chart": DIR or ARCHIVE, "cases": [{"namespace": NAME, "values": {…}, "lint": BOOL}]}
          -> for each {"files": {TEMPLATE: TEXT}, "objects": [OBJECT]}, with "lint": true {"lint": [MESSAGE]}; or {"error": TEXT}
parse     {"documents": TEXT}
          -> [OBJECT]
validate  {"versions": ["1.32", …], "objects": [OBJECT]}
          -> {"versions": [those that there are schemas of], "checked": N, "errors": [TEXT]}
"""

import functools
import json
import sys

import yaml

# helm_lint_run: 0 unknown, 1 info, 2 warning, 3 error.
LINT_WARNING = 2
PROMETHEUS_OPERATOR = "monitoring.coreos.com/v1"


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def helm(request):
    import helm_python

    chart = helm_python.Chart.load(request["chart"])
    return [case_of(helm_python, chart, request["chart"], case) for case in request["cases"]]


def package(request):
    import helm_python

    return helm_python.package(request["chart"], destination=request["destination"])


def case_of(helm_python, chart, path, case):
    try:
        if case.get("lint"):
            report = helm_python.lint(path, case["values"], strict=True, namespace=case["namespace"])
            bad = [m for m in report["messages"] if m["severity"] >= LINT_WARNING]
            return {"lint": [f"{m['path']}: {m['error']}" for m in bad] + report["errors"]}
        files = chart.render(case["values"], name="credential-auditor", namespace=case["namespace"])
    except helm_python.HelmError as error:
        return {"error": str(error)}
    manifests = {name: text for name, text in files.items() if name.endswith(".yaml") and text.strip()}
    objects = [document for name in sorted(manifests) for document in documents(manifests[name])]
    return {"files": files, "objects": objects}


def parse(request):
    return documents(request["documents"])


def validate(request):
    from kubernetes_validate import utils

    # It reads some 4 MB anew for each object otherwise.
    utils.schema_contents = functools.cache(utils.schema_contents)
    known = {utils.major_minor(version) for version in utils.all_versions()}
    versions = [version for version in request["versions"] if version in known]
    operators = [o for o in request["objects"] if o["apiVersion"] == PROMETHEUS_OPERATOR]
    others = [o for o in request["objects"] if o["apiVersion"] != PROMETHEUS_OPERATOR]
    errors, checked = [], 0
    for version in versions:
        for one in others:
            checked += 1
            try:
                utils.validate(one, version, strict=True)
            except utils.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                errors.append(f"{version}: {name_of(one)}: {path}: {error.message}")
            except utils.SchemaNotFoundError as error:
                errors.append(f"{version}: {name_of(one)}: {error.message}")
    for one in operators:
        checked += 1
        errors += [f"{name_of(one)}: {error}" for error in operator_errors(one)]
    return {"versions": versions, "checked": checked, "errors": errors}


def operator_errors(one):
    from cloudcoil.models.prometheus_operator import v1

    model = getattr(v1, one["kind"], None)
    if model is None:
        return ["the Prometheus Operator has no such kind"]
    try:
        parsed = model.model_validate(one)
    except ValueError as error:
        return [" ".join(str(error).split())]
    # It passes over what it does not know: what does not come back was that.
    back = parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [f"{path} is not known" for path in unknown(one, back, "")]


def unknown(given, back, path):
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(back, dict) or key not in back:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, back[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(back, list):
        for index, (one, other) in enumerate(zip(given, back)):
            yield from unknown(one, other, f"{path}[{index}]")


def name_of(one):
    return f"{one['kind']}/{one['metadata']['name']}"


if __name__ == "__main__":
    tasks = {"helm": helm, "package": package, "parse": parse, "validate": validate}
    with open(sys.argv[2], encoding="utf-8") as request:
        answer = tasks[sys.argv[1]](json.load(request))
    json.dump(answer, sys.stdout)
