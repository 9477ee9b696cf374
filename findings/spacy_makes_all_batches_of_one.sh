#!/bin/sh
# spaCy 3.8.18 imported before pytorch-lightning 2.6.6: jsonargparse 4.53 then reads `--trainer.limit_train_batches=1`
# as 1.0, and training takes all batches where it was to take one.
#
# Expected: an option of Lightning's Trainer that is annotated `Optional[Union[int, float]]` (a whole number is a number
# of batches, a float a share of them) gets the whole number 1 from the text 1, whatever else the program imports.
# What happens: Python's typing keeps what it made in a cache whose keys compare as equal: `Optional[Union[int, float]]`
# gives back the `Union[float, int, None]` that another library asked for shortly before. jsonargparse tries the parts in
# their order, takes 1 for a float, and the Trainer takes 1.0 for everything. spaCy is one such library; which comes
# first, and how much was made in between, decides. Nothing is said.
# A user of dim would meet it in a program or a notebook that uses spaCy and calls dim's commands: one batch becomes a
# whole epoch. dim puts whole numbers first in its parser (`whole_numbers_first` in dim/cli/trainer.py); the test is
# test_one_is_one_batch_whatever_was_imported_before in tests/training/test_trainer_options.py.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 pytorch-lightning==2.6.6 'jsonargparse[signatures]==4.53.0' spacy==3.8.18
cd "$work"
cat > parse.py <<'END'
import sys
import warnings

warnings.filterwarnings("ignore")
if "spacy" in sys.argv:
    import spacy
import inspect

import pytorch_lightning
from jsonargparse import ArgumentParser
from pytorch_lightning import Trainer

parser = ArgumentParser()
parser.add_class_arguments(Trainer, "trainer", fail_untyped=False, skip={"callbacks", "logger", "plugins", "strategy"})
given = parser.parse_args(["--trainer.limit_train_batches=1"]).trainer.limit_train_batches
annotation = inspect.signature(Trainer).parameters["limit_train_batches"].annotation
print(f"{'spaCy first' if 'spacy' in sys.argv else 'Lightning first'}: {annotation}, 1 is read as {given!r}")
assert repr(given) == ("1.0" if "spacy" in sys.argv else "1"), "no longer so"
END
"$work/venv/bin/python" parse.py
"$work/venv/bin/python" parse.py spacy
