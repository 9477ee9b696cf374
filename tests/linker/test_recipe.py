"""What a linker's folder says of how texts and images are read is what its run was told."""

from typing import Any

import pytest

from dim.features.fields import BEFORE, Choices
from dim.linker.recipe import choices_of, reads_of

FIRST = {"context_template": "{mention} [SEP] {context}", "num_images": 1}
OTHER = {"context_template": "{context}", "num_images": 3}
LATER = {"context_reach": "auto", "text_template": "{name}: {text}", "name_alone": True}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, FIRST),
        ({"entity_text": "refreshed", **OTHER}, OTHER),
        (FIRST | BEFORE, FIRST),
        (FIRST | LATER, FIRST | LATER),
        ({"context_reach": 40}, FIRST | {"context_reach": 40}),
    ],
)
def test_a_recipe_says_what_is_read_and_leaves_out_what_folders_of_before_lack(
    data: dict[str, Any], said: dict[str, Any]
) -> None:
    assert reads_of(data) == said
    assert choices_of({"model": {}, "encoders": {}} | said) == Choices(**BEFORE | said)
