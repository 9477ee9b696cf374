"""One linker: load it, ask it, add entities to it, save it; the one inference path."""

from dim.data.entity import Entity
from dim.linker.annotate import Annotation
from dim.linker.answer import Answer, Question
from dim.linker.documents import Document
from dim.linker.known_entity import KnownEntity
from dim.linker.linker import Linker

__all__ = ["Annotation", "Answer", "Document", "Entity", "KnownEntity", "Linker", "Question"]
