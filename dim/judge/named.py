"""The judges by their names."""

from dim.judge.cross_encoder import CrossEncoderJudge
from dim.judge.local import LocalModelJudge
from dim.judge.server import ServerJudge

CLASSES = (CrossEncoderJudge, ServerJudge, LocalModelJudge)
__all__ = ["CrossEncoderJudge", "LocalModelJudge", "ServerJudge"]
