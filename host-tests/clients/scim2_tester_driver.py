"""scim2-tester: its own checks of discovery, CRUD and PATCH of every attribute, unchanged."""

from httpx2 import Client
from report import Report
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

# What the tester calls a deviation departs from a SHOULD: shown, not failed.
GOOD = {Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE, Status.DEVIATION, Status.SKIPPED}

report = Report()
http = Client(base_url=report.base, headers={"Authorization": f"Bearer {report.token}"}, timeout=30)
for result in check_server(SyncSCIMClient(http)):
    name = f"{result.title} of {result.resource_type}" if result.resource_type else result.title
    if result.status is Status.DEVIATION:
        print(f"note {name}: {result.reason}")
    report.check(name, result.status in GOOD, f"{result.status.name} {result.reason}")
report.finish()
