"""Runs in the environment of requirements-lavis.txt alone (`make test-lavis`); elsewhere nothing here is collected."""

from importlib.metadata import distributions

import dim  # noqa: F401  (before LAVIS imports torchvision: see dim/_torchvision.py)

# Not find_spec("lavis"): this very folder would be found.
collect_ignore_glob = [] if any(distributions(name="salesforce-lavis")) else ["*.py"]
