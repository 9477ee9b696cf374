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
    assert counter.method == "estimated by characters / 4"


def test_a_tokenizer_counts_as_its_model_does(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_tiny_model(tmp_path / "tiny", ["a", "tall", "man", "user", "system", ":"])
    counter, prompt = TokenCounter(folder), Prompt("a man", "a tall tall man")
    assert counter.count(prompt) == 6
    assert str(folder) in counter.method
    with_template = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        prompt.messages(), add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert counter.count(prompt) < len(with_template) <= counter.bound(prompt)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        TokenCounter(tmp_path / "none")
    with pytest.raises(ConfigError, match="a Transformers tokenizer in"):
        TokenCounter(tmp_path)
