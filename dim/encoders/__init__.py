"""Frozen encoders: text, CLIP, BLIP-2 and characters; raw input in, features out."""
