"""scim-sanity: its own probe in the strict profile, unchanged; warnings are shown, not failed."""

import json
import pathlib
import subprocess
import sys

from report import Report

report = Report()
program = pathlib.Path(sys.executable).with_name("scim-sanity")
command = [program, "probe", report.base, "--token", report.token, "--i-accept-side-effects", "--json-output"]
probe = subprocess.run(command, text=True, capture_output=True, timeout=300, check=False)
try:
    results = json.loads(probe.stdout)["results"]
except (ValueError, KeyError):
    results = []
    report.check("the probe gives a report", False, probe.stderr + probe.stdout)
for result in results:
    status = str(result["status"]).lower()
    failed = status.startswith(("fail", "error"))
    if not failed and not status.startswith("pass"):
        print(f"note {result['name']}: {status} {result.get('message')}")
    report.check(f"{result['phase']}: {result['name']}", not failed, result.get("message"))
report.finish()
