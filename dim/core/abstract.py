"""What a class leaves to its subclasses."""

from __future__ import annotations

from inspect import getattr_static


def abstract_names(kind: type) -> list[str]:
    """What a class has to say before anything can be made of it; torch's modules are no abstract classes to Python.

    Example:
        >>> from abc import abstractmethod
        >>> class Shape:
        ...     @abstractmethod
        ...     def area(self): ...
        >>> abstract_names(Shape)
        ['area']
    """
    return [name for name in dir(kind) if getattr(getattr_static(kind, name), "__isabstractmethod__", False)]
