"""Real servers, a random workload and a random schedule of faults; what arrived is compared with an oracle.

`./dev faults` runs it (docs/faults.md). One seed is one run: plan.py draws it, run.py drives it, workload.py
writes, schedule.py and proxy.py break things, oracle.py tells what was committed, checker.py compares.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))  # harness.py
