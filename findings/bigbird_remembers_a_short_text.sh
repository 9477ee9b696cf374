#!/bin/sh
# Transformers 5.24.0: what BigBirdModel gives for a text depends on the texts that it read before.
#
# Expected: a model in eval mode, called without a cache, is a function of its input.
# What happens: a batch too short for sparse attention (704 tokens or fewer by the default config) turns the model to
# full attention, and it stays there; from then on each long text gets another vector. The warning says "Changing
# attention type", not that this outlasts the batch, and model.config goes on to say block_sparse.
# A user of dim would meet features that depend on the order in which texts were encoded: a cache filled in one run
# would not fit the vectors of the next. dim sets full attention when it loads the model, for each text
# (`TransformersTextEncoder.model` in dim/encoders/text.py); the test is
# test_what_a_model_gives_for_a_text_does_not_hang_on_what_it_read_before in tests/features/test_positions.py.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0
"$work/venv/bin/python" - <<'END'
import torch
import transformers

torch.set_num_threads(1)
torch.manual_seed(0)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
model = transformers.BigBirdModel(transformers.BigBirdConfig(vocab_size=100, initializer_range=0.3, **sizes)).eval()
long, short = torch.randint(5, 100, (1, 1024)), torch.randint(5, 100, (1, 10))


@torch.inference_mode()
def vector(tokens):
    return model(input_ids=tokens).last_hidden_state.mean(dim=1)


first, again = vector(long), vector(long)
vector(short)
after = vector(long)
repeated, moved = ((other - first).abs().max().item() for other in (again, after))
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print(f"the long text twice: greatest difference {repeated:.1e}")
print(f"the long text after a short one: greatest difference {moved:.1e} (greatest value {first.abs().max():.1e})")
print(f"the model now has {model.attention_type}, its config says {model.config.attention_type}")
assert repeated < 1e-5, "no longer so: the same text twice differs already"
assert moved > 1e-2, "no longer so: the short text changes nothing"
assert (model.attention_type, model.config.attention_type) == ("original_full", "block_sparse"), "no longer so"
END
