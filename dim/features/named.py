"""All encoders, imported: a command line or a YAML file then names them without their module."""

from dim.features.characters import CharacterEncoder
from dim.features.clip import OpenClipEncoder
from dim.features.text import TransformersTextEncoder
from dim.features.tiny import TinyImageEncoder, TinyTextEncoder
from dim.features.tiny_captioner import TinyCaptioner

__all__ = [
    "CharacterEncoder",
    "OpenClipEncoder",
    "TinyCaptioner",
    "TinyImageEncoder",
    "TinyTextEncoder",
    "TransformersTextEncoder",
]
