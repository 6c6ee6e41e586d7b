"""scim-sim: a small provisioning client that reads a group and replaces its members whole, down to an empty list."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from report import Report

report = Report()
program = pathlib.Path(sys.executable).with_name("scim-sim")
home = tempfile.TemporaryDirectory()
settings = {"SCIM_BASE_URL": report.base, "SCIM_AUTH_TOKEN": report.token}
pathlib.Path(home.name, ".scim_config.json").write_text(json.dumps(settings), encoding="utf-8")


def run(*arguments):
    """Runs one command; gives the id it prints."""
    environment = {**os.environ, "HOME": home.name, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([program, *arguments], env=environment, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    report.check(" ".join(arguments[:1]), done.returncode == 0 and "\u274c" not in said and "Traceback" not in said, said)
    found = re.search(r"(?:User|Group) ID: (\S+)", said)
    return found.group(1) if found else ""


def read(path):
    """Asks the server itself: status and body."""
    request = urllib.request.Request(report.base + path, headers={"Authorization": f"Bearer {report.token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def members_are(name, group, expected):
    """Compares the members the server tells with those expected."""
    found = sorted(member["value"] for member in (read(f"/Groups/{group}")[1] or {}).get("members") or [])
    report.check(name, found == sorted(expected), f"{found} is not {expected}")


first, second = run("add-user"), run("add-user")
group = run("create-group", "Engineers")
report.check("every command prints an id", first and second and group, (first, second, group))
run("add-to-group", first, group)
run("add-to-group", second, group)
members_are("both are members", group, [first, second])
run("remove-from-group", second, group)
members_are("one is left", group, [first])
run("remove-from-group", first, group)
members_are("nobody is left", group, [])
run("add-to-group", first, group)
run("delete-group", group)
states = [read(path)[0] for path in (f"/Groups/{group}", f"/Users/{first}", f"/Users/{second}")]
report.check("the group and its member are gone, the other user stays", states == [404, 404, 200], states)
run("remove-user", second)
report.check("the last user is gone", read(f"/Users/{second}")[0] == 404)
report.finish()
