"""All encoders, imported: a command line or a YAML file then names them without their module."""

from dim.encoders.blip2 import Blip2Captioner
from dim.encoders.blip2_lavis import Blip2LavisCaptioner, Blip2LavisImageEncoder, Blip2LavisTextEncoder
from dim.encoders.characters import CharacterEncoder
from dim.encoders.chat_captioner import TransformersCaptioner
from dim.encoders.clip import OpenClipEncoder
from dim.encoders.image import TransformersImageEncoder
from dim.encoders.joint import SentenceTransformersEncoder
from dim.encoders.text import TransformersTextEncoder
from dim.encoders.tiny import TinyImageEncoder, TinyTextEncoder
from dim.encoders.tiny_captioner import TinyCaptioner

__all__ = [
    "Blip2Captioner",
    "Blip2LavisCaptioner",
    "Blip2LavisImageEncoder",
    "Blip2LavisTextEncoder",
    "CharacterEncoder",
    "OpenClipEncoder",
    "SentenceTransformersEncoder",
    "TinyCaptioner",
    "TinyImageEncoder",
    "TinyTextEncoder",
    "TransformersCaptioner",
    "TransformersImageEncoder",
    "TransformersTextEncoder",
]
