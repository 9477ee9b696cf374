"""Names as tokens, by small real tokenizers of the kinds that language models have."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_tokenizers
from tiny_lm import tokenizer as byte_level
from tokenizer_table import DOCUMENT, HEAD, TokenizerFolder, row, write
from transformers import GPT2Config, PreTrainedTokenizerFast

from dim.core.files import write_json
from dim.core.folder_files import peek_json
from dim.errors import ConfigError
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.name_check import ALIKE, OTHER_FORM, NameCheck, behind_prompt, say_names
from dim.methods.generative.names import build_tree, rows_of_names
from dim.methods.generative.prompt import answer, ask
from dim.methods.generative.tokenizer import NameRules

NAMES = ["Ada Lovelace", "ada lovelace", "Ａda Olga", "Ada  Olga", "Ada Olga", "Café Zoë", "(500) Days", "Leto (band)"]
STRANGE = ["東京", "北京市", "</s>", "'s-Hertogenbosch", "Olga 🎸"]
TEXTS = [answer(name, f"{name} sings. What? Yes!", name) for name in NAMES[:-2] for _ in range(3)]
TEXTS += ["x </s>", "Leto (band)\n"]
KINDS = ("byte_level", "metaspace_bpe", "punctuation_bpe", "unigram", "word_piece")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageModel]:
    """By kind; their weights are never asked for."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind in KINDS:
        made = byte_level(TEXTS) if kind == "byte_level" else getattr(tiny_tokenizers, kind)(TEXTS)
        save(made, folder / kind)
    return {kind: LanguageModel(str(folder / kind)) for kind in KINDS}


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    GPT2Config(vocab_size=len(tokenizer)).save_pretrained(folder)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, models: dict[str, LanguageModel]) -> LanguageModel:
    return ruled(models[request.param])


def ruled(model: LanguageModel, **rules: object) -> LanguageModel:
    model.rules = NameRules(name_tokens="behind_prompt")
    model.rules = replace(model.rules, **rules)
    return model


@pytest.mark.parametrize("kind", ["metaspace_bpe", "unigram"])
def test_names_with_a_blank_before_them_are_none_of_a_prompts(models: dict[str, LanguageModel], kind: str) -> None:
    model, names = models[kind], [*NAMES[:2], "Olga"]
    assert behind_prompt(ruled(model, name_tokens="alone"), names)["same"] == 0
    assert behind_prompt(ruled(model), names)["same"] == len(names)


def test_behind_a_prompt_names_have_the_tokens_of_the_tree(model: LanguageModel) -> None:
    names = [*NAMES, *STRANGE]
    (prompt,) = model.tokenize([ask("Leto", "Leto sings.")])
    found = model.tokenize_names(names)
    for name, tokens in zip(names, found, strict=True):
        (whole,) = model.tokenize([ask("Leto", "Leto sings.") + name])
        if model.unknown_token in tokens:
            continue
        # Joined with the prompt (`](`), or the same; written behind the prompt it is the name either way.
        assert whole[: len(prompt)] != prompt or whole[len(prompt) :] == tokens
        assert model.detokenize([*prompt, *tokens]) == model.detokenize(whole)
    assert model.tokenize_names([]) == []
    assert model.tokenize_names(["", "Ada Olga"]) == [[], found[4]]


def test_byte_level_names_are_as_they_were(models: dict[str, LanguageModel]) -> None:
    model = ruled(models["byte_level"])
    hashes = [
        build_tree(NAMES, np.arange(len(NAMES)), ruled(model, name_tokens=place), 64).hash
        for place in ("alone", "behind_prompt")
    ]
    assert hashes[0] == hashes[1]
    assert ruled(model, name_tokens="alone").tokenizer_hash != ruled(model).tokenizer_hash  # but another cache's key


def test_from_tree_to_tokens_to_text_each_name_finds_its_entity(model: LanguageModel) -> None:
    names = [*NAMES, *STRANGE]
    check = NameCheck(model, names)
    tree = build_tree(names, np.arange(len(names)), model, 64, check)
    found = {row: model.detokenize(tokens) for tokens, rows in tree for row in rows}
    assert len(found) + sum(what["count"] for what in tree.left_out.values()) == len(names)
    other_form = check.facts.get(OTHER_FORM, {"count": 0})["count"]
    assert other_form == sum(text != names[row] for row, text in found.items())
    alike = set(check.facts.get(ALIKE, {"first": []})["first"])
    for place in found:
        rows = tree.rows_of(model.tokenize_names([names[place]])[0])
        sharing = {names[other] for other in rows}
        assert place in rows
        assert len(sharing) == 1 or sharing & alike
    by_text = rows_of_names(names, np.arange(len(names)), model)  # without a tree
    assert all(row in by_text[text] for row, text in found.items())


@pytest.mark.parametrize("kind", ["unigram", "word_piece"])
def test_names_of_characters_that_a_vocabulary_lacks_are_left_out_by_name(
    models: dict[str, LanguageModel], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["Ada Olga", "東京", "北京"]
    model = models[kind]
    alone = build_tree(names, np.arange(3), ruled(model, name_tokens="alone"), 64)
    assert [1, 2] in [rows for _, rows in alone]  # one leaf: answered together
    tree = build_tree(names, np.arange(3), ruled(model), 64)
    assert [rows for _, rows in tree] == [[0]]
    assert tree.left_out == {"characters that the vocabulary lacks": {"count": 2, "first": ["東京", "北京"]}}
    say_names({}, tree.left_out)
    assert "2 left out (characters that the vocabulary lacks), such as '東京'" in capsys.readouterr().out
    assert "東京" not in rows_of_names(names, np.arange(3), model)


def test_a_name_without_tokens_is_no_answer(models: dict[str, LanguageModel]) -> None:
    model, names = ruled(models["word_piece"]), ["Ada Olga", "\u200b"]  # which BERT's normaliser leaves out
    assert model.tokenize_names(names)[1] == []
    assert build_tree(names, np.arange(2), model, 64).left_out == {"no tokens": {"count": 1, "first": ["\u200b"]}}
    assert list(rows_of_names(names, np.arange(2), model)) == ["ada olga"]


def test_what_is_normalised_or_merged_is_listed(models: dict[str, LanguageModel]) -> None:
    facts = {}
    for kind in KINDS:
        check = NameCheck(ruled(models[kind]), NAMES)
        build_tree(NAMES, np.arange(len(NAMES)), models[kind], 64, check)
        facts[kind] = {key: what["first"] for key, what in check.facts.items()}
    assert facts["byte_level"] == facts["metaspace_bpe"] == facts["punctuation_bpe"] == {}
    assert set(facts["unigram"][ALIKE]) == {"Ａda Olga", "Ada  Olga"}  # NFKC, and blanks
    assert {"Ada Lovelace", "ada lovelace"} & set(facts["word_piece"][ALIKE])  # case
    assert "Café Zoë" in facts["word_piece"][OTHER_FORM]


def test_blanks_before_punctuation_belong_to_a_name_whatever_a_folder_says(
    models: dict[str, LanguageModel], tmp_path: Path
) -> None:
    save(models["unigram"].tokenizer, tmp_path)
    options = peek_json(tmp_path / "tokenizer_config.json", dict)
    write_json(tmp_path / "tokenizer_config.json", {**options, "clean_up_tokenization_spaces": True})
    model, name = ruled(LanguageModel(str(tmp_path))), "Ada ? Olga !"
    check = NameCheck(model, [name])
    build_tree([name], np.arange(1), model, 64, check)
    assert check.facts == {}
    assert list(rows_of_names([name], np.arange(1), model)) == [name]


def test_a_special_token_inside_a_name_is_text_or_leaves_it_out(model: LanguageModel) -> None:
    tree = build_tree(["Ada Olga", "</s>", "Ada </s> Olga"], np.arange(3), model, 64)
    assert all(model.tokenizer.eos_token_id not in tokens for tokens, _ in tree)
    kept = {row for _, rows in tree for row in rows}
    # Unigram's special tokens are pieces of its vocabulary, which it finds in any text.
    left_out = [what["first"] for what in tree.left_out.values()]
    assert (kept, left_out) in (({0, 1, 2}, []), ({0}, [["</s>", "Ada </s> Olga"]]))
    assert kept == {0, 1, 2} or model.path.endswith(("unigram", "word_piece"))


@pytest.mark.parametrize(("kind", "adds"), [("metaspace_bpe", True), ("byte_level", False), ("unigram", False)])
def test_a_prompt_begins_as_the_tokenizer_begins_texts(models: dict[str, LanguageModel], kind: str, adds: bool) -> None:
    model = models[kind]
    assert model.starts("auto") is adds
    assert model.starts("never") is False
    ruled(model, has_start=model.starts("auto"))
    assert model.start == ([model.tokenizer.bos_token_id] if adds else [])
    assert model.tokenizer.bos_token_id not in model.tokenize(["Ada"])[0]


def test_a_folder_that_says_how_texts_begin_is_believed(models: dict[str, LanguageModel], tmp_path: Path) -> None:
    for says in (True, False):
        folder = tmp_path / str(says)
        save(models["metaspace_bpe"].tokenizer, folder)
        options = peek_json(folder / "tokenizer_config.json", dict)
        write_json(folder / "tokenizer_config.json", {**options, "add_bos_token": says})
        assert LanguageModel(str(folder)).starts("auto") is says


def test_a_start_that_is_none_is_refused(models: dict[str, LanguageModel]) -> None:
    with pytest.raises(ConfigError, match=r"a start token \(bos_token\)"):
        models["byte_level"].starts("always")
    assert models["unigram"].starts("always")


def test_a_lines_end_is_one_token_or_refused(models: dict[str, LanguageModel]) -> None:
    for kind in ("byte_level", "metaspace_bpe", "punctuation_bpe"):
        model = ruled(models[kind], end="line")
        assert model.tokenizer.decode([model.end_token]) == "\n"
        assert model.end_token != model.tokenizer.eos_token_id
    with pytest.raises(ConfigError, match="one that leaves a line's end out"):
        _ = ruled(models["word_piece"], end="line").end_token


def test_an_example_ends_with_the_names_tokens_and_the_end_that_an_answer_has(
    models: dict[str, LanguageModel],
) -> None:
    model = ruled(models["punctuation_bpe"], end="line")
    (joined,) = model.tokenize([answer("Leto", "", "Leto (band)")])
    assert model.detokenize(joined[-1:]) == ")"  # and a line's end, in one token: no answer could end so
    assert joined[-1] in model.broken_lines
    (tokens,) = model.tokenize_answers(["Leto (band)"])
    assert tokens == [*model.tokenize_names(["Leto (band)"])[0], model.end_token]
    assert model.end_token not in model.broken_lines
    assert model.tokenizer.eos_token_id in model.broken_lines


def test_the_table_of_the_document_is_made_of_such_rows(models: dict[str, LanguageModel], tmp_path: Path) -> None:
    """`python tests/tokenizer_table.py` writes it anew."""
    names = ["Ada Olga", "Ada  Olga", "東京", "Leto (band)"]
    rows = [row(kind, models[kind], names) for kind in ("metaspace_bpe", "unigram")]
    assert rows == [
        "| metaspace_bpe | `<s>` | 4 | 0 | 0 | 0 | 0 | 0.0% | 100.0% | 100.0% |",
        "| unigram |  | 4 | 1 | 1 | 1 | 1 | 0.0% | 100.0% | 100.0% |",
    ]
    copy = tmp_path / "tokenizers.md"
    copy.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    write(copy, {"table": HEAD.format(kb="a") + rows[0] + "\n"})
    text = copy.read_text(encoding="utf-8")
    assert f"{rows[0]}\n<!-- /table -->" in text
    assert text.partition("<!-- table -->")[0] == DOCUMENT.read_text(encoding="utf-8").partition("<!-- table -->")[0]
    columns = HEAD.format(kb="wikimel").splitlines()[0]
    assert columns in DOCUMENT.read_text(encoding="utf-8")


def test_a_tokenizer_without_an_end_is_taken_with_what_ends_texts(
    models: dict[str, LanguageModel], tmp_path: Path
) -> None:
    tokenizer = models["word_piece"].tokenizer.__class__.from_pretrained(models["word_piece"].path)
    tokenizer.eos_token, tokenizer.sep_token = None, "</s>"
    tokenizer.save_pretrained(tmp_path)
    assert TokenizerFolder(str(tmp_path)).end_token == tokenizer.sep_token_id
