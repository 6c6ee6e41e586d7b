"""What a driver found: one line per check, exit status 1 when one failed."""

import sys


class Report:
    """Checks of one driver against the server its command line names: BASE_URL TOKEN."""

    def __init__(self):
        self.base, self.token = sys.argv[1].rstrip("/"), sys.argv[2]
        self.passed, self.failed = 0, 0

    def check(self, name, passed, why=""):
        """Records one check; `why` is shown when it failed. Gives the verdict back."""
        if passed:
            self.passed += 1
            print(f"ok   {name}")
        else:
            self.failed += 1
            print(f"FAIL {name}: {' '.join(str(why).split())[:600]}")
        return bool(passed)

    def finish(self):
        """Ends the driver; one that checked nothing has failed."""
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(0 if self.passed and not self.failed else 1)
