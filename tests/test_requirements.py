"""The environments beside that of setup.cfg have what dim imports."""

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parent.parent


def names_in(lines: str) -> set[str]:
    """The packages of requirements, a line each."""
    stated = (line.partition("#")[0].strip() for line in lines.splitlines())
    return {re.split(r"[\[<>=!~ ]", line)[0].lower() for line in stated if line}


def test_the_environment_of_lavis_has_what_dim_requires() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = names_in(setup["options"]["install_requires"])
    brought = {"tokenizers", "huggingface_hub", "pyyaml", "markupsafe"}  # by the Transformers and Jinja that are named
    unneeded = {"safetensors"}  # of linkers, which nothing there opens
    assert required - brought - unneeded <= names_in((ROOT / "requirements-lavis.txt").read_text())
