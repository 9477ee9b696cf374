#!/bin/sh
# sentence-transformers 6.2.0: encode_document puts nothing before a text where a model names its prompt `passage`.
#
# Expected: encode_document says that it takes the first prompt there is of `document`, `passage` and `corpus`; the
# constructor's own example of prompts is {"query": "query: ", "passage": "passage: "}, as models of the E5 kind have
# them. So a document gets "passage: " before it.
# What happens: the constructor adds an empty prompt `document` to those that it is given, and encode_document finds
# that one first. Documents are embedded without their prompt, while encode_query uses its own; nothing is said. Saved
# folders are read the same way, and saving writes the empty prompt into them.
# A user of dim who compares with sentence-transformers would see other vectors for entities: dim skips empty prompts
# and takes `passage` (`_prompt` in dim/encoders/sentence_folder.py); the test is
# test_prompts_of_other_names_are_found in tests/features/test_sentence_folders.py.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 sentence-transformers==6.2.0
cd "$work"
"$work/venv/bin/python" - <<'END'
import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

torch.manual_seed(0)
words = ["[UNK]", "query", "passage", ":", "a", "town"]
tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
prompts = {"query": "query: ", "passage": "passage: "}
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], prompts=prompts, device="cpu")
model.save("saved")
print(f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}")
for name, each in (("made", model), ("saved and opened", SentenceTransformer("saved", device="cpu"))):
    asked = each.encode("a town", prompt_name="passage")
    bare = each.encode("a town", prompt="")
    document, query = each.encode_document("a town"), each.encode_query("a town")
    print(f"{name}: prompts {each.prompts}")
    print(f"  encode_document against prompt 'passage': {np.abs(document - asked).max():.2f}, against none: "
          f"{np.abs(document - bare).max():.2f}; encode_query against none: {np.abs(query - bare).max():.2f}")
    assert np.abs(query - bare).max() > 0.1, "no longer so: queries get no prompt either"
    assert np.abs(document - asked).max() > 0.1, "no longer so: documents get `passage`"
    assert np.abs(document - bare).max() < 1e-6, "no longer so: documents get some prompt"
END
