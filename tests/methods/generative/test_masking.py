import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList

from dim.errors import ConfigError
from dim.methods.generative.masking import LineMask, NameMask
from dim.methods.generative.name_tree import NameTree

END = 1
NAMES = ["Ada", "Adam", "Adam Rill", "Bo", "Bodil", "Bodil Rill", "Cora", "Dag", "Dagny", "Eva"]
WIDTH = 140  # of the model: wider than the tokenizer's 128


def spell(texts: list[str]) -> list[list[int]]:
    return [list(map(ord, text)) for text in texts]


def tree_of(names: list[str]) -> NameTree:
    return NameTree.build(names, np.arange(len(names)), spell, END, vocab_size=128)


def lm(seed: int, width: int = WIDTH) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=width,
        bos_token_id=END,
        eos_token_id=END,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=0.5,
    )
    return GPT2LMHeadModel(config).eval()


def allowed_in(scores: torch.Tensor) -> list[set[int]]:
    return [set(row.isfinite().nonzero().flatten().tolist()) for row in scores]


def rows(*texts: str) -> torch.Tensor:
    return torch.tensor(spell(list(texts)))


def test_a_token_that_continues_no_name_is_minus_infinity_and_the_rest_is_untouched():
    mask, scores = NameMask(tree_of(NAMES), prompt_length=2), torch.randn(3, WIDTH)
    masked = mask(rows("??Bodi", "??Adam", "??Dagn"), scores)
    expected = [{ord("l")}, {ord(" "), END}, {ord("y")}]
    assert allowed_in(masked) == expected
    assert all(torch.equal(masked[i, list(some)], scores[i, list(some)]) for i, some in enumerate(expected))
    assert (masked[~masked.isfinite()] == -torch.inf).all()
    assert mask.seconds > 0


def test_beams_may_change_places_between_steps():
    tree, rng = tree_of(NAMES), np.random.default_rng(0)
    mask = NameMask(tree)
    beams = [""] * 6
    for _ in range(8):
        masked = (
            mask(rows(*beams), torch.zeros(6, WIDTH))
            if beams[0]
            else mask(torch.zeros(6, 0).long(), torch.zeros(6, WIDTH))
        )
        assert allowed_in(masked) == [set(tree.allowed(list(map(ord, beam))).tolist()) or {END} for beam in beams]
        chosen = [beams[i] for i in rng.integers(0, 6, 6)]
        beams = [beam + chr(rng.choice([*tree.allowed(list(map(ord, beam))), ord("?")])) for beam in chosen]


def test_a_beam_that_ended_or_that_no_name_continues_may_only_end():
    end = chr(END)
    mask = NameMask(tree_of(NAMES))
    for texts in [("A", "?", end), ("Ad", "?x", end + end), ("Ada", "?xy", end + end + "A")]:
        masked = mask(rows(*texts), torch.zeros(3, WIDTH))
        assert allowed_in(masked)[1:] == [{END}, {END}]
    assert allowed_in(masked)[0] == {ord("m"), END}
    assert allowed_in(mask(rows("Ada" + end, "Bo" + end + end), torch.zeros(2, WIDTH))) == [{END}, {END}]


def test_a_mask_serves_one_search_after_another():
    mask = NameMask(tree_of(NAMES))
    mask(rows("Dagn"), torch.zeros(1, WIDTH))
    assert allowed_in(mask(torch.zeros(1, 0).long(), torch.zeros(1, WIDTH))) == [set(map(ord, "ABCDE"))]
    assert allowed_in(mask(rows("Bodil"), torch.zeros(1, WIDTH))) == [{ord(" "), END}]


def test_scores_keep_type_and_minus_infinity():
    scores = torch.zeros(1, WIDTH, dtype=torch.bfloat16)
    scores[0, ord("m")] = -torch.inf
    masked = NameMask(tree_of(NAMES))(rows("Ada"), scores)
    assert masked.dtype == torch.bfloat16
    assert allowed_in(masked) == [{END}]


def test_a_model_without_scores_for_the_names_is_refused():
    with pytest.raises(ConfigError, match=r"scores for 122 tokens(.|\n)*a language model with 121"):
        NameMask(tree_of(NAMES))(rows("A"), torch.zeros(1, 121))


def write(model: GPT2LMHeadModel, tree: NameTree, prompts: torch.Tensor, **options: object) -> list[str]:
    mask = NameMask(tree, prompts.shape[1])
    found = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        logits_processor=LogitsProcessorList([mask]),
        max_new_tokens=16,
        eos_token_id=END,
        pad_token_id=END,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    if "num_beams" in options:
        assert not found.sequences_scores.isnan().any()
    written = found.sequences[:, prompts.shape[1] :]
    if "num_beams" in options:
        # Transformers gives beams that stand for nothing scores of about -1e9, divided by their length.
        written = written[found.sequences_scores > -1e6]
    return ["".join(map(chr, tokens)).split(chr(END))[0] for tokens in written.tolist()]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("early_stopping", [False, "never"])
def test_beam_search_writes_nothing_but_names(seed, early_stopping):
    prompts = torch.randint(32, 128, (4, 5), generator=torch.Generator().manual_seed(seed))
    options = {"num_beams": 4, "num_return_sequences": 4, "early_stopping": early_stopping}
    found = write(lm(seed), tree_of(NAMES), prompts, **options)
    assert len(found) == 16
    assert set(found) <= set(NAMES)
    assert all(len(set(found[i : i + 4])) == 4 for i in range(0, 16, 4))


def test_greedy_search_and_a_single_name_work():
    prompts = torch.randint(32, 128, (3, 5))
    assert set(write(lm(0), tree_of(NAMES), prompts)) <= set(NAMES)
    assert write(lm(0), tree_of(["Dagny"]), prompts) == ["Dagny"] * 3


def test_with_more_beams_than_names_all_names_come_first_by_likelihood():
    model, names = lm(1), NAMES[:6]
    prompt = torch.randint(32, 128, (1, 5), generator=torch.Generator().manual_seed(0))
    options = {"num_beams": 9, "num_return_sequences": 9, "early_stopping": "never", "length_penalty": 0.0}
    found = write(model, tree_of(names), prompt, **options)

    def likelihood(name: str) -> float:
        answer = torch.tensor([[*map(ord, name), END]])
        logits = model(torch.cat([prompt, answer], dim=1)).logits[0, 4:-1]
        return float(logits.log_softmax(-1).gather(1, answer.T).sum())

    with torch.no_grad():
        assert found == sorted(names, key=likelihood, reverse=True)


def test_tokens_that_hold_a_lines_end_are_not_written_but_the_one_that_ends_a_name():
    scores = torch.arange(6.0).repeat(2, 1)
    masked = LineMask(np.array([1, 4, 9]))(torch.zeros(2, 1, dtype=torch.long), scores)
    assert allowed_in(masked) == [{0, 2, 3, 5}] * 2
    assert masked[0, [0, 2, 3, 5]].tolist() == [0, 2, 3, 5]
    assert scores.isfinite().all()
