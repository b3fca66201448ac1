"""Holds an SBOM against CycloneDX's JSON schema of the version that it names. Exit code 1, and why, if it does not fit."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    text = file.read()
version = SchemaVersion.from_version(json.loads(text)["specVersion"])
error = JsonStrictValidator(version).validate_str(text)
if error is not None:
    # Below it stand the whole schema and the whole document.
    reason, *_ = str(error).splitlines()
    sys.exit(f"{path}: {reason}")
