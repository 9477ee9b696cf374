"""What is read is said once, checked where it is said, and named the same in every key of the feature cache."""

from typing import Any

import pytest

from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.encoders.tiny_captioner import TinyCaptioner
from dim.errors import ConfigError
from dim.features.fields import Choices


def test_choices_print_as_the_keys_of_caches_have_them() -> None:
    encoders = {"text_encoder": TinyTextEncoder(16), "image_encoder": TinyImageEncoder(), "captioner": TinyCaptioner()}
    assert repr(Choices(**encoders, context_reach=30, captions=["a cat", None], num_images=2)) == (
        "Choices(entity_text='brief', context_template='{mention} [SEP] {context}', context_reach=30, "
        "text_template='{text}', name_alone=False, captions=['a cat', None], num_images=2, dtype='float32')"
    )
    assert Choices(**encoders).encoders == encoders


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"context_template": "{sentence}"}, r"a context_template of \{mention\} and \{context\}"),
        ({"text_template": "{name[0]}"}, r"a text_template of \{name\} and \{text\}"),
        ({"context_reach": 0}, r"at least 1 character on either side \(context_reach\)\nfound    0"),
        ({"num_images": 0}, r"at least 1 image an owner \(num_images\)\nfound    0"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_is_chosen(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Choices(**given)
