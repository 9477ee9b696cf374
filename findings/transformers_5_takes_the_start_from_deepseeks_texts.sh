#!/bin/sh
# transformers 5.24.0: a tokenizer folder in the form of DeepSeek V3's says `add_bos_token: true`, and no text begins
# with the start token.
#
# Expected: tokenizer_config.json has "add_bos_token": true and "tokenizer_class": "LlamaTokenizerFast", so that
# tokenizer("…") begins with bos_token, as transformers 4.57 gives it, and as the model was trained.
# What happens: such a folder's tokenizer.json is a byte-level BPE. Version 5 no longer takes the class that the folder
# names for it, and opens TokenizersBackend, which goes by the post-processor in tokenizer.json alone: `add_bos_token`
# of the folder is not read, tokenizer.add_bos_token is False, and the start token is gone. The warning speaks of the
# class's name only, and the remedy that it gives (to write TokenizersBackend) leaves the texts as they are here.
# A user of dim would have a language model asked by prompts that it never saw in training. dim reads `add_bos_token`
# of the folder itself (`starts` in dim/methods/generative/tokenizer.py).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 4.57.1 5.24.0; do
    python3 -m venv "$work/venv-$version"
    "$work/venv-$version/bin/pip" install --quiet "transformers==$version"
done
cd "$work"
"venv-5.24.0/bin/python" - <<'END'
import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

start, end = "<begin>", "<end>"
raw = Tokenizer(models.BPE())
raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
raw.decoder = decoders.ByteLevel()
raw.post_processor = processors.ByteLevel(trim_offsets=False)  # of DeepSeek V3's kind: it adds nothing
alphabet = pre_tokenizers.ByteLevel.alphabet()
raw.train_from_iterator([], trainers.BpeTrainer(special_tokens=[start, end], initial_alphabet=alphabet))
folder = Path("folder")
folder.mkdir()
raw.save(str(folder / "tokenizer.json"))
said = {"add_bos_token": True, "add_eos_token": False, "bos_token": start, "eos_token": end}
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizerFast", **said}))
END
cat > ask.py <<'END'
import json
from pathlib import Path

import transformers
from transformers import AutoTokenizer


def first(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("Hello")["input_ids"])
    print(f"transformers {transformers.__version__}, {type(tokenizer).__name__}: {tokens}, "
          f"add_bos_token {getattr(tokenizer, 'add_bos_token', None)}")
    return tokens[0] == tokenizer.bos_token


starts = first("folder")
if transformers.__version__.startswith("4."):
    assert starts, "no longer so: version 4 adds no start token either"
else:
    assert not starts, "no longer so: version 5 adds the start token"
    config = Path("folder/tokenizer_config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "TokenizersBackend"}))
    assert not first("folder"), "no longer so: the class that the warning asks for adds the start token"
END
for version in 4.57.1 5.24.0; do
    "venv-$version/bin/python" ask.py
done
