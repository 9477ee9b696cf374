"""All encoders by their names: a command line or a YAML file then names them without their module."""

from dim.core.lazy import lazily

_HOMES = {
    "Blip2Captioner": "dim.encoders.blip2",
    "Blip2LavisCaptioner": "dim.encoders.blip2_lavis",
    "Blip2LavisImageEncoder": "dim.encoders.blip2_lavis",
    "Blip2LavisTextEncoder": "dim.encoders.blip2_lavis",
    "CharacterEncoder": "dim.encoders.characters",
    "OpenClipEncoder": "dim.encoders.clip",
    "SentenceTransformersEncoder": "dim.encoders.joint",
    "TinyCaptioner": "dim.encoders.tiny_captioner",
    "TinyImageEncoder": "dim.encoders.tiny",
    "TinyTextEncoder": "dim.encoders.tiny",
    "TransformersCaptioner": "dim.encoders.chat_captioner",
    "TransformersImageEncoder": "dim.encoders.image",
    "TransformersTextEncoder": "dim.encoders.text",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
