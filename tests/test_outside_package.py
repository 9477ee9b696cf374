"""A package that is not dim's brings a method, its linker, an encoder and a converter, and does all that ours do."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("outside_package")
NAMES = (
    "Ada Lovelace",
    "Alan Turing",
    "Grace Hopper",
    "Edsger Dijkstra",
    "Barbara Liskov",
    "Donald Knuth",
    "Tony Hoare",
)
#: What a user does with it, in one process: importing torch for each would take most of the time.
USE = """
import json, sys
from pathlib import Path
from starlette.testclient import TestClient
from dim import Linker
from dim.__main__ import main
from dim.linker import Entity
from dim.serve.app import create_app
from dim.serve.served import Edition
from dim.serve.settings import Settings

def run(*line):
    print("$", *line, flush=True)
    assert main(list(map(str, line))) == 0, line

run("prepare", "release", "world")
config = {"run": "runs/a", "data": {"root": "world", "text_encoder": "LetterCounts", "batch_size": 8},
          "model": {"class_path": "Letters", "init_args": {"learning_rate": 0.05}},
          "trainer": {"accelerator": "cpu", "max_epochs": 3, "enable_progress_bar": False}}
Path("letters.yaml").write_text(json.dumps(config))
run("fit", "--config", "letters.yaml")
run("test", "--config", "runs/a/config.yaml")
run("predict", "--config", "runs/a/config.yaml")
run("rank", "--run", "runs/a", "--folds", 2, "--device", "cpu")
run("report", "runs/a")
run("export", "runs/a", "exported")
linker = Linker.from_pretrained("exported", device="cpu")
before = linker.link("Turing", top_k=2)
linker.add_entities(Entity("N1", "Radia Perlman"))
added = linker.link("Radia Perlman", top_k=1)[0].id
linker.save("exported")
again = Linker.from_pretrained("exported", device="cpu")
again.remove_entities("N1")
edition = Edition(Linker.from_pretrained("exported", device="cpu"), Settings())
client = TestClient(create_app(edition, Settings()), base_url="http://127.0.0.1")
with client:
    served = client.post("/link", json={"mention": "Radia Perlman", "top_k": 1}).json()
    about = client.get("/about").json()
json.dump({"kind": type(linker).__name__, "shown": repr(again), "first": before[0].name, "added": added,
           "has": ["N1" in again, "N1" in linker, linker["N1"].name, len(list(linker)) - len(again)],
           "served": served["answers"][0]["id"], "evidence": list(about["evidence"])}, open("found.json", "w"))
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_package_of_others_does_all_that_ours_do(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path / "packages"), str(tmp_path / "source")], check=True)
    (tmp_path / "release").mkdir()
    drawn = random.Random(0)
    lines = [
        f"{split}:{name.split()[drawn.randrange(2)]}:{name}" for split in ("train", "dev", "test") for name in NAMES * 6
    ]
    (tmp_path / "release" / "facts.colons").write_text("\n".join(lines))
    path = os.pathsep.join([str(tmp_path / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "WANDB_MODE": "disabled"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["kind"] == "LettersLinker"
    assert found["shown"] == "LettersLinker(7 entities, letters)"
    assert (found["first"], found["added"], found["served"]) == ("Alan Turing", "N1", "N1")
    assert found["has"] == [False, True, "Radia Perlman", 1]
    assert found["evidence"] == ["letters"]
    assert "letters" in done.stdout  # the converter's name, in the summary of prepare
