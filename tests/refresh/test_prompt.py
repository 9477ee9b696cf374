from dataclasses import replace
from pathlib import Path

import pytest

from dim.data.entity import Entity
from dim.errors import ConfigError
from dim.refresh.prompt import FIELDS, Parameters, PromptTemplate, request_hash

ADA = Entity("Q7259", "Ada Lovelace", ("Countess of Lovelace",), type="person", attributes={"field": ["mathematics"]})


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "mine.txt").write_text(text)
    return tmp_path / "mine.txt"


def test_the_default_template_asks_for_looks_and_what_tells_namesakes_apart() -> None:
    prompt = PromptTemplate().render(ADA, "English writer.")
    assert "introduction" in prompt.system
    for part in ("Ada Lovelace", "Countess of Lovelace", "person", "field: mathematics", "English writer."):
        assert part in prompt.user
    assert "appearance" in prompt.user
    assert "tells it apart from others of the same name" in prompt.user
    bare = PromptTemplate().render(Entity("Q1", "X"), None)
    for part in ("Also called", "Kind", "known so far", "None", "\n\n\n"):
        assert part not in bare.user


def test_an_edited_template_is_used_and_has_a_hash_of_its_own(tmp_path: Path) -> None:
    template = PromptTemplate(write(tmp_path, "Describe {{ name | upper }}, once: {{ text }}"))
    prompt = template.render(ADA, "a < b & c")
    assert prompt.messages() == [{"role": "user", "content": "Describe ADA LOVELACE, once: a < b & c"}]
    assert template.hash(Parameters()) != PromptTemplate().hash(Parameters())


def test_a_line_of_the_old_text_splits_no_prompt(tmp_path: Path) -> None:
    prompt = PromptTemplate(write(tmp_path, "{{ name }}: {{ text }}")).render(ADA, "a\n---\nb")
    assert (prompt.system, prompt.user) == ("", "Ada Lovelace: a\n---\nb")


def test_the_hashes_cover_template_parameters_and_prompt() -> None:
    template, parameters = PromptTemplate(), Parameters()
    others = [replace(parameters, temperature=1.0), replace(parameters, seed=1), replace(parameters, temperature=None)]
    assert len({template.hash(chosen) for chosen in [parameters, *others]}) == 4
    prompt, other = template.render(ADA, "old"), template.render(ADA, "new")
    hashes = {request_hash("m", prompt, chosen) for chosen in [parameters, *others]}
    assert len(hashes | {request_hash("n", prompt, parameters), request_hash("m", other, parameters)}) == 6


def test_an_unknown_field_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{', '.join(FIELDS)}(.|\n)*mention"):
        PromptTemplate(write(tmp_path, "{{ name }} {{ mention }}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hi.\n{% if name %}", r"a Jinja2 template(.|\n)*line 2"),
        ("Be kind.\nBe short.\n---\nHi.\n{{ name }", r"a Jinja2 template(.|\n)*line 5"),
        ("{{ name | wrong }}", r"a Jinja2 template(.|\n)*wrong"),
    ],
)
def test_a_broken_template_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptTemplate(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ name }} {{ attributes.born }}", r"born' for Q7259(.|\n)*attributes.get"),
        ("{{ name.__class__.__mro__ }}", "unsafe"),
        ("Be kind.\n---\n", "an empty prompt for Q7259"),
    ],
)
def test_a_template_that_fails_on_an_entity_names_it(tmp_path: Path, text: str, message: str) -> None:
    template = PromptTemplate(write(tmp_path, text))
    with pytest.raises(ConfigError, match=message):
        template.render(ADA, None)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a prompt template at(.|\n)*default_prompt.txt"):
        PromptTemplate(tmp_path / "none.txt")


def test_parameters_that_a_server_shall_choose_are_not_sent() -> None:
    chosen = Parameters(temperature=None, seed=None, max_tokens=9, max_tokens_field="max_completion_tokens")
    assert chosen.as_request() == {"max_completion_tokens": 9}
