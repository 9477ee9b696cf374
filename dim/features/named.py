"""All encoders, imported: a command line or a YAML file then names them without their module."""

from dim.features.blip2 import Blip2Captioner
from dim.features.blip2_lavis import Blip2LavisCaptioner, Blip2LavisImageEncoder, Blip2LavisTextEncoder
from dim.features.characters import CharacterEncoder
from dim.features.clip import OpenClipEncoder
from dim.features.text import TransformersTextEncoder
from dim.features.tiny import TinyImageEncoder, TinyTextEncoder
from dim.features.tiny_captioner import TinyCaptioner

__all__ = [
    "Blip2Captioner",
    "Blip2LavisCaptioner",
    "Blip2LavisImageEncoder",
    "Blip2LavisTextEncoder",
    "CharacterEncoder",
    "OpenClipEncoder",
    "TinyCaptioner",
    "TinyImageEncoder",
    "TinyTextEncoder",
    "TransformersTextEncoder",
]
