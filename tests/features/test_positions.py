"""However a model counts its positions, a text that is too long for it is cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_text import WORDS, tokenizer
from transformers import AutoConfig, AutoModel

from dim.encoders.positions import usable_positions
from dim.encoders.text import TransformersTextEncoder
from dim.encoders.text_reader import text_part

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_start_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
#: Kind → options, and the tokens of a text that it takes, with 34 positions in its config; None: any number.
KINDS: dict[str, tuple[dict[str, Any], int | None]] = {
    "bert": (SMALL, 34),
    "albert": (SMALL | {"embedding_size": 8}, 34),
    "electra": (SMALL | {"embedding_size": 8}, 34),
    "distilbert": ({"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2}, 34),
    "deberta": (SMALL, 34),
    "deberta-v2": (SMALL | {"relative_attention": True, "position_biased_input": False}, 34),
    "roberta": (SMALL, 32),
    "xlm-roberta": (SMALL, 32),
    "camembert": (SMALL, 32),
    "data2vec-text": (SMALL, 32),
    "mpnet": (SMALL, 32),
    "esm": (SMALL | {"position_embedding_type": "absolute"}, 32),
    "longformer": (SMALL | {"attention_window": [4]}, 32),
    "big_bird": (SMALL | {"block_size": 4, "num_random_blocks": 1}, 34),
    "nystromformer": (SMALL | {"segment_means_seq_len": 34, "num_landmarks": 34}, 34),
    "modernbert": (SMALL | {"global_attn_every_n_layers": 1}, 34),
    "t5": (T5, None),
    "mt5": (T5, None),
    "bart": (BART, 34),
    "xlnet": ({"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32}, None),
}


def write(folder: Path, kind: str) -> Path:
    options, limit = KINDS[kind]
    torch.manual_seed(0)
    special = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    positions = {"max_position_embeddings": 34} if limit else {}
    config = AutoConfig.for_model(kind, vocab_size=len(WORDS), **(special | positions | options))
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_thousands_of_tokens_is_cut_to_what_the_model_has_positions_for(kind: str, tmp_path: Path) -> None:
    encoder = TransformersTextEncoder(str(write(tmp_path, kind)), device="cpu")
    limit = KINDS[kind][1]
    long, words = " ".join(["anna"] * 500), ["a", "paris"]  # 2,002 tokens
    tokens = encoder.tokenize([long])["input_ids"]
    assert tokens.shape == (1, limit or 2002)
    features = encoder.encode_text([long, *words])
    assert features.shape == (3, 16)
    assert np.isfinite(features).all()
    if limit is None:
        return
    # One token more is one too many, or (of a model that looks no positions up) beyond what its config says.
    reads = text_part(encoder.model)
    with torch.inference_mode():
        output = reads(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    np.testing.assert_allclose(encoder.encode_text([long])[0], output.last_hidden_state[0].mean(0), atol=1e-5)
    positions = usable_positions(reads)
    assert positions in (None, limit)
    if positions is not None:
        longer = torch.full((1, limit + 1), 5)
        with pytest.raises((IndexError, RuntimeError)):
            reads(input_ids=longer, attention_mask=torch.ones_like(longer))


def test_a_limit_that_the_tokenizer_knows_holds_where_it_is_lower(tmp_path: Path) -> None:
    write(tmp_path, "roberta")
    own = tokenizer()
    own.model_max_length = 20
    own.save_pretrained(tmp_path)
    encoder = TransformersTextEncoder(str(tmp_path), device="cpu")
    assert encoder.tokenize(["anna " * 500])["input_ids"].shape == (1, 20)


def test_what_a_model_gives_for_a_text_does_not_hang_on_what_it_read_before(tmp_path: Path) -> None:
    write(tmp_path, "big_bird")
    long, short = "anna sees paris in a town " * 2, "a"
    first, second = (TransformersTextEncoder(str(tmp_path), device="cpu") for _ in range(2))
    second.encode_text([short])
    np.testing.assert_array_equal(first.encode_text([long]), second.encode_text([long]))


def test_the_model_is_asked_for_no_gradient_and_stays_as_it_was(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write(tmp_path, "roberta")).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert usable_positions(model) == 32
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
