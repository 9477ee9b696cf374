"""What opening a linker's folder and asking it imports: nothing that trains, draws or only some encoders need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from demo_run import demo_run, linker_of

ASKED = """
import json, sys, torch
from dim import Linker
from dim.methods.contrastive.fusion import AlignedLinear
with torch.device("meta"):  # as a folder's towers are made, also those whose fields have the model's width
    AlignedLinear(8, 8)
from dim.__main__ import main
answers = Linker.from_pretrained(sys.argv[1], device="cpu").link("Ada", "Ada was there", top_k=1)
assert main(["link", "--model", sys.argv[1], "--mention", "Ada", "--context", "Ada was there"]) == 0
print(json.dumps({"answers": len(answers), "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
#: What trains, and what draws; torchvision and Transformers belong to encoders that the demo has not.
UNWANTED = {"pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "matplotlib", "wandb"}
UNWANTED |= {"sklearn", "transformers"}
UNWANTED |= {"pytorch_metric_learning", "sympy"}  # which torch's compiler brings along, for a second


def test_a_folder_that_reads_spelling_answers_without_what_trains(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("start") / "saved"
    linker_of(demo_run(tmp_path_factory)).save(folder)
    done = subprocess.run([sys.executable, "-c", ASKED, str(folder)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["answers"] == 1
    assert not UNWANTED & {*found["modules"]}
