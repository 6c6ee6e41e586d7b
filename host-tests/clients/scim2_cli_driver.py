"""scim2-cli: the `scim` command as an administrator types it; it discovers the server and reads replies strictly."""

import json
import os
import pathlib
import subprocess
import sys

from report import Report

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

report = Report()
program = pathlib.Path(sys.executable).with_name("scim")
environment = {**os.environ, "NO_COLOR": "1", "SCIM_CLI_URL": report.base,
               "SCIM_CLI_HEADERS": f"Authorization: Bearer {report.token}"}


def run(arguments, body=None):
    """Runs one command line; gives exit status, the JSON it prints, and all it said."""
    stdin = "" if body is None else json.dumps(body)
    done = subprocess.run([program, *arguments], env=environment, input=stdin, text=True, capture_output=True,
                          timeout=120, check=False)
    try:
        printed = json.loads(done.stdout)
    except ValueError:
        printed = {}
    return done.returncode, printed, done.stderr + done.stdout


def accepted(name, arguments, body=None, wanted=lambda printed: True):
    """A command that must succeed and print what is wanted."""
    code, printed, said = run(arguments, body)
    try:
        report.check(name, code == 0 and wanted(printed), said)
    except (KeyError, IndexError, TypeError) as missing:
        report.check(name, False, f"{missing!r} is missing: {said}")
    return printed


def refused(name, arguments, body=None):
    """A command that must fail, or print a SCIM error."""
    code, printed, said = run(arguments, body)
    report.check(name, code != 0 or "status" in printed, said)


ada = accepted("create with options", ["create", "user", "--user-name", "ada@example.com", "--display-name", "Ada",
                                       "--emails", json.dumps([{"value": "ada@example.com", "type": "work"}])],
               wanted=lambda user: user["displayName"] == "Ada" and user["id"]).get("id", "missing")
grace = accepted("create from a file", ["create", "user"],
                 {"schemas": [USER, ENTERPRISE], "userName": "grace", ENTERPRISE: {"department": "Navy"}},
                 lambda user: user[ENTERPRISE]["department"] == "Navy").get("id", "missing")
refused("create a second time", ["create", "user", "--user-name", "ADA@example.com"])

accepted("read by id", ["query", "user", ada], wanted=lambda user: user["userName"] == "ada@example.com")
accepted("filter", ["query", "user", "--filter", 'userName eq "Grace"'],
         wanted=lambda found: [user["id"] for user in found["Resources"]] == [grace])
accepted("choose attributes", ["query", "user", ada, "--attribute", "userName"],
         wanted=lambda user: "displayName" not in user)
accepted("page", ["query", "user", "--count", "1", "--start-index", "2"],
         wanted=lambda found: len(found["Resources"]) == 1 and found["totalResults"] == 2)
accepted("sort", ["query", "user", "--sort-by", "userName", "--sort-order", "descending"],
         wanted=lambda found: found["Resources"][0]["id"] == grace)
accepted("search users", ["search", "user", "--filter", 'emails.value co "example"'],
         wanted=lambda found: found["totalResults"] == 1)
accepted("search everywhere", ["search", "--filter", f'id eq "{ada}"'], wanted=lambda found: found["totalResults"] == 1)

accepted("modify", ["modify", "user", ada, "add", "nickName", "Countess",
                    "replace", 'emails[type eq "work"].value', "lovelace@example.com", "remove", "displayName"])
accepted("every change took", ["query", "user", ada],
         wanted=lambda user: user["nickName"] == "Countess" and "displayName" not in user
         and user["emails"][0]["value"] == "lovelace@example.com")
accepted("replace", ["replace", "user"], {"schemas": [USER], "id": ada, "userName": "ada@example.com", "title": "Lady"},
         lambda user: user["title"] == "Lady" and "nickName" not in user)

group = accepted("create a group", ["create", "group"],
                 {"schemas": [GROUP], "displayName": "Engineers", "members": [{"value": ada}]},
                 lambda group: group["members"][0]["value"] == ada).get("id", "missing")
accepted("read a group", ["query", "group", group], wanted=lambda group: len(group["members"]) == 1)
accepted("delete a user", ["delete", "user", ada])
refused("read a deleted user", ["query", "user", ada])
accepted("the group lost its member", ["query", "group", group], wanted=lambda group: not group.get("members"))
accepted("delete a group", ["delete", "group", group])
accepted("delete the other user", ["delete", "user", grace])
report.finish()
