from pathlib import Path

import pytest
from llm_servers import write_tiny_model

from dim.errors import ConfigError
from dim.refresh.prompt import Prompt
from dim.refresh.tokens import TEMPLATE_TOKENS, TokenCounter


def test_the_estimate_is_a_quarter_of_the_characters_and_the_bound_all_bytes() -> None:
    counter = TokenCounter()
    assert counter.count(Prompt("abcd", "efghi")) == 3
    assert counter.bound(Prompt("", "äöü")) == TEMPLATE_TOKENS + 6
    assert counter.method == "estimated by characters / 4, without the model's chat template"
    counter.correct([(Prompt("", "a" * 40), 23), (Prompt("", "b" * 40), 27)])
    assert counter.count(Prompt("", "a" * 80)) == 50
    assert counter.method == "estimated by characters / 4, times 2.50 as the server counted 2"


def test_a_tokenizer_counts_as_its_model_does(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_tiny_model(tmp_path / "tiny", ["a", "tall", "man", "user", "system", ":"])
    counter, prompt = TokenCounter(folder), Prompt("a man", "a tall tall man")
    with_template = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        prompt.messages(), add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert counter.count(prompt) == counter.bound(prompt) == len(with_template) > 6
    assert counter.is_exact
    assert counter.method == f"counted by the tokenizer {folder} with its chat template"
    assert counter.context == 1024


def test_what_a_request_gives_the_template_counts(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny", ["a", "man", "user", ":"])
    template = folder / "chat_template.jinja"
    template.write_text("{% if thinks %}a a a a a{% endif %}" + template.read_text())
    prompt = Prompt("", "a man")
    assert TokenCounter(folder, {"thinks": True}).count(prompt) == TokenCounter(folder).count(prompt) + 5
    template.write_text("{{ raise_exception('no such role') }}")
    with pytest.raises(ConfigError, match=r"a chat template(.|\n)*no such role"):
        TokenCounter(folder).count(prompt)


def test_without_a_template_a_tokenizer_counts_no_more_than_the_text(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny", ["a", "tall", "man"])
    (folder / "chat_template.jinja").unlink()
    (folder / "config.json").unlink()
    counter, prompt = TokenCounter(folder), Prompt("a man", "a tall tall man")
    assert not counter.is_exact
    assert (counter.count(prompt), counter.bound(prompt)) == (6, TEMPLATE_TOKENS + 6)
    assert counter.context is None


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        TokenCounter(tmp_path / "none")
    with pytest.raises(ConfigError, match="a Transformers tokenizer in"):
        TokenCounter(tmp_path)
    folder = write_tiny_model(tmp_path / "tiny", ["a"])
    for file in folder.glob("tokenizer*"):
        file.unlink()
    (folder / "config.json").write_text('{"model_type": "qwen3"}')  # of which Transformers makes an empty one
    with pytest.raises(ConfigError, match="one without a vocabulary"):
        TokenCounter(folder)
