"""`python -m benchmarks NAME …`: as `dim bench NAME …`."""

from __future__ import annotations

import sys

from dim.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
