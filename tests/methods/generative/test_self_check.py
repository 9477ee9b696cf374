"""Each family of language models ends as exact, as slow but exact, or as refused by name; tiny random weights."""

import json
import shlex

import pytest
import torch
from lm_families import apart, small_config, three_of, write_language_model
from tiny_lm import save_model
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationConfig

from dim.errors import ConfigError
from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.self_check import Trial, check_model
from dim.methods.generative.ways import WAYS, Encoded

BATCHED, ALONE, READ_AGAIN, READ_AGAIN_ALONE = WAYS
MOST = 1e-3
#: Their states are copied to beams, and follow them.
STATES = ("bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "lfm2", "mamba", "mamba2", "minimax")
LINEAR = ("qwen3_5_text", "qwen3_next", "olmo_hybrid", "kimi_linear")
#: Left padding moves their tokens to other positions.
MOVED = ("bart", "git", "trocr")
REFUSED = {
    "gemma3n_text": "it reads the ids of tokens beside their vectors",
    "gemma4_text": "it cannot read a vector that is no token's",
    "deepseek_v4": "it cannot read input vectors",
    "cpmant": "it cannot read input vectors",
    "xlnet": "Does it read what stands behind a token?",
}


def model_of(folder, kind: str, **options) -> LanguageModel:
    return LanguageModel(str(write_language_model(folder, kind, **options)))


@pytest.mark.parametrize("kind", ["gemma3_text", "gpt_oss", "llama4_text", "modernbert-decoder", *STATES, *LINEAR])
def test_what_has_a_cache_is_exact_with_it(kind, tmp_path):
    model = model_of(tmp_path, kind)
    assert check_model(model).facts["verdict"] == "exact"
    assert model.way == BATCHED
    assert apart(model) < MOST
    assert apart(model, num_beams=1) < MOST


@pytest.mark.parametrize("kind", MOVED)
def test_where_padding_moves_positions_prompts_go_one_at_a_time(kind, tmp_path, capsys):
    model = model_of(tmp_path, kind)
    assert apart(model) > 0.1  # the fault: unasked, it would answer so
    verdict = check_model(model)
    assert verdict.facts["verdict"] == "exact but slow"
    assert model.way == ALONE
    assert apart(model) < MOST
    assert capsys.readouterr().err.count("answers exactly, but slowly: prompts go one at a time, encoded once") == 1


@pytest.mark.parametrize(("kind", "way"), [("roberta", READ_AGAIN_ALONE), ("openai-gpt", READ_AGAIN)])
def test_without_a_cache_that_holds_prompts_are_read_again(kind, way, tmp_path):
    model = model_of(tmp_path, kind)
    check_model(model)
    assert model.way == way
    assert apart(model) < MOST


@pytest.mark.parametrize("kind", REFUSED)
def test_what_reads_more_than_vectors_or_reads_ahead_is_refused_by_name(kind, tmp_path):
    with pytest.raises(ConfigError, match=f"(?s){kind}: .*{REFUSED[kind]}"):
        check_model(model_of(tmp_path, kind))


def test_an_encoder_that_is_no_decoder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Does it read what stands behind a token"):
        check_model(model_of(tmp_path, "bert", is_decoder=False))


def test_the_states_of_beams_must_follow_them(tmp_path, monkeypatch):
    model = model_of(tmp_path, "mamba")
    monkeypatch.setattr("dim.methods.generative.passes.reordered", lambda cache, rows, is_within: cache)
    check_model(model)
    assert model.way == READ_AGAIN


def test_a_folder_that_says_no_cache_has_one(tmp_path):
    model = model_of(tmp_path, "mpt")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"use_cache": False}))
    check_model(model)
    assert not model.config.use_cache
    assert model.way == BATCHED
    assert apart(model) < MOST


def test_the_vectors_that_a_model_is_given_stay_as_they_are(tmp_path):
    model = model_of(tmp_path, "ctrl")
    vectors = model.embed(torch.tensor([[5, 6, 7]]))
    before = vectors.clone()
    model.run(torch.ones(1, 3, dtype=torch.long), 1, vectors)
    assert torch.equal(vectors, before)
    check_model(model)
    assert apart(model) < MOST


@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3_text", "xglm", "granite", "cohere", "minicpm3"])
def test_vectors_enter_where_those_of_tokens_do(kind, tmp_path):
    # Some scale a token's vector when it is looked up, some behind that: the mapper's enter where the former come out.
    model, tokens = model_of(tmp_path, kind), torch.arange(10, 22)[None]
    with torch.no_grad():
        by_ids = model.model(input_ids=tokens).logits
        by_vectors = model.run(torch.ones_like(tokens), tokens.shape[1], model.embed(tokens)).logits
    assert torch.allclose(by_ids, by_vectors, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "options"), [("falcon_h1", {"embedding_multiplier": 5.65}), ("mvp", {"scale_embedding": True})]
)
def test_vectors_are_scaled_where_a_model_scales_those_of_ids_alone(kind, options, tmp_path):
    model, tokens = LanguageModel(str(write_language_model(tmp_path, kind, **options))), torch.arange(10, 22)[None]
    check_model(model)
    assert model.scale > 5
    with torch.no_grad():
        by_ids = model.model(input_ids=tokens).logits
        by_vectors = model.model(inputs_embeds=model.embed(tokens)).logits
    assert torch.allclose(by_ids, by_vectors, atol=1e-4)
    assert apart(model) < MOST


def test_the_generation_config_of_a_folder_has_no_say(tmp_path):
    plain = LanguageModel(str(save_model(tmp_path / "plain", "llama")))
    other = LanguageModel(str(save_model(tmp_path / "other", "llama")))
    GenerationConfig(
        repetition_penalty=5.0,
        no_repeat_ngram_size=1,
        temperature=0.1,
        do_sample=True,
        min_new_tokens=6,
        suppress_tokens=list(range(5, 200)),
        forced_eos_token_id=3,
        exponential_decay_length_penalty=(1, 3.0),
        num_beams=1,
        max_new_tokens=2,
        renormalize_logits=True,
    ).save_pretrained(tmp_path / "other")
    assert other.model.generation_config.min_new_tokens == 6
    vectors, mask = plain.embed(torch.arange(10, 20)[None]), torch.ones(1, 10, dtype=torch.long)
    for num_beams in (1, 3):
        decoder, names = Decoder(num_beams, max_new_tokens=6), three_of([11, 12, 13, 14], plain.end_token)
        written = [decoder.write(model, Encoded(vectors, mask, torch.tensor([19])), names) for model in (plain, other)]
        assert written[0] == written[1]
        assert len(written[0][0]) == num_beams


def test_no_long_prompt_changes_its_neighbours(tmp_path):
    model = model_of(
        tmp_path,
        "phi3",
        max_position_embeddings=128,
        original_max_position_embeddings=48,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
            "original_max_position_embeddings": 48,
        },
        pad_token_id=1,
    )
    check_model(model)
    assert apart(model, (5, 60, 40)) > 0.01  # the fault, beyond the bound
    assert model.context == 48
    assert apart(model, (5, 23, 40)) < MOST


def test_the_context_of_a_model_with_images_is_that_of_its_text_model(tmp_path):
    model = model_of(tmp_path / "gemma3", "gemma3")
    assert model.context == 128
    assert model_of(tmp_path / "xlnet", "xlnet").context == 10**9  # its configuration says -1
    assert model_of(tmp_path / "mpt", "mpt").context == 128


@pytest.mark.parametrize("kind", ["gemma3", "qwen3_5"])
def test_the_text_model_of_a_folder_with_images_is_taken(kind, tmp_path):
    model = model_of(tmp_path, kind, make=AutoModelForImageTextToText)
    assert check_model(model).way == BATCHED
    assert apart(model) < MOST


def test_models_whose_text_part_cannot_be_taken_are_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"one of type qwen3_vl, of which Transformers takes no text model"):
        _ = model_of(tmp_path, "qwen3_vl", make=AutoModelForImageTextToText).model


def test_the_text_part_of_mistral3_is_saved_as_the_docs_say(tmp_path):
    folder = write_language_model(tmp_path / "whole", "mistral3", make=AutoModelForImageTextToText)
    with pytest.raises(ConfigError, match="Save its text part as a mistral model alone"):
        _ = LanguageModel(str(folder)).model
    # as docs/reference/language_models.md has it
    whole = AutoModelForImageTextToText.from_pretrained(folder)
    text = AutoModelForCausalLM.from_config(whole.config.text_config)
    text.model.load_state_dict(whole.model.language_model.state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    text.save_pretrained(tmp_path / "text")
    LanguageModel(str(save_model(tmp_path / "other", "llama"))).tokenizer.save_pretrained(tmp_path / "text")
    model = LanguageModel(str(tmp_path / "text"))
    assert check_model(model).way == BATCHED


def test_a_file_of_llama_cpp_gets_the_command_that_converts_it(tmp_path):
    (tmp_path / "my model").mkdir()
    file = tmp_path / "my model" / "tiny.Q4_1.gguf"
    file.write_bytes(b"GGUF")
    for path in (file.parent, file):
        with pytest.raises(ConfigError, match=r"a file of llama\.cpp") as caught:
            _ = LanguageModel(str(path)).fingerprint
        command = str(caught.value.remedy).partition(": ")[2].partition("; then name ")[0]
        program, _, code = shlex.split(command)
        assert program == "python"
        compile(code, "command", "exec")
        assert f'"{file.parent}-safetensors"' in code


def test_half_precision_has_the_bound_of_the_models_own_rounding(tmp_path):
    folder, bounds = write_language_model(tmp_path, "llama"), []
    for precision in ("fp32", "fp16", "bf16"):
        model = LanguageModel(str(folder), precision)
        verdict, trial = check_model(model), Trial(model)
        with torch.no_grad():
            expected = trial.plain(trial.prompts())
            bounds.append(trial.tolerance(0.01, lambda: trial.rounding(expected)))  # noqa: B023 - called at once
        assert verdict.facts["verdict"] == "exact"
        assert verdict.facts["scores_within"] in (0.001, bounds[-1])
    fp32, fp16, bf16 = bounds
    assert fp32 == 0.001 < fp16 < 0.03 < bf16 < 0.2


@pytest.mark.parametrize("kind", ["llama", *(pytest.param(x, marks=pytest.mark.long) for x in ("mamba", "git"))])
def test_a_fault_of_a_quarter_of_a_nat_is_found_in_bf16_whose_rounding_is_not(kind, tmp_path, monkeypatch):
    model, run = LanguageModel(str(write_language_model(tmp_path, kind)), "bf16"), LanguageModel.run
    check_model(model)
    right, slip = model.way, 0.0  # where nothing is wrong

    def slipping(self, *given, **more):
        output = run(self, *given, **more)
        if self.way == right:  # likelihoods that are right but for a bit
            output.logits = output.logits.float() * (1 + slip)
        return output

    monkeypatch.setattr(LanguageModel, "run", slipping)
    trial = Trial(model)
    with torch.no_grad():
        expected = trial.plain(trial.prompts())
        assert trial.apart(expected) < trial.tolerance(0.1, lambda: trial.rounding(expected)) < 0.2
        while trial.apart(expected) < 0.25:
            slip += 0.01
        assert trial.apart(expected) < 0.3  # what was let pass
    check_model(model)
    assert model.way != right


def test_training_reads_prompts_in_the_same_way(tmp_path):
    from dim.methods.generative.passes import trained_logits

    model = model_of(tmp_path, "bart")
    check_model(model)
    vectors = model.embed(torch.arange(10, 30).view(2, 10))
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[0, :4] = 0
    together = trained_logits(model, Encoded(vectors, mask, torch.tensor([19, 29])), 8)
    alone = model.model(inputs_embeds=vectors[:1, 4:]).logits
    assert together.shape[:2] == (2, 8)
    assert torch.allclose(together[0, 2:], alone[0], atol=1e-4)
    assert not together[0, :2].any()


def test_small_configurations_are_small():
    config = small_config("qwen3_5", 300, 0)
    assert config.text_config.hidden_size == 32
    assert config.text_config.layer_types == ["linear_attention", "full_attention"]
