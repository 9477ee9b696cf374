"""The errors that a caller of dim can act on."""

from dim.display.visible import visible

INDENT = "\n" + " " * 9  #: Of a part's further lines, so that none of them reads as another part.


class DimError(Exception):
    """An error with its remedy: what was expected, what was found, what to do next.

    Args:
        expected: What the program needed, as the end of "expected …".
        found: What was there instead, as the end of "found …".
        remedy: One sentence that tells the user what to do.

    Example:
        >>> print(DimError("a file train.json", "none in wikimel/", "Check --data.root."))
        expected a file train.json
        found    none in wikimel/
        to do    Check --data.root.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        # The parts may quote a stranger's file; the message goes to terminals and logs.
        parts = (
            f"{name:<8} {visible(part)}" for name, part in (("expected", expected), ("found", found), ("to do", remedy))
        )
        super().__init__("\n".join(part.replace("\n", INDENT) for part in parts))

    def __reduce__(self) -> tuple[type["DimError"], tuple[str, str, str]]:
        # Worker processes send errors home by pickle, which calls the class with `args`.
        return type(self), (self.expected, self.found, self.remedy)


class DataError(DimError):
    """A release, a table or a dataset folder cannot be read as what it should be."""


class ConfigError(DimError):
    """An option does not fit the others, or the data."""


class InUseError(ConfigError):
    """Another process writes there; later it may be free."""


class CheckpointError(DimError):
    """A checkpoint does not fit the dataset, the encoders or this version."""


class StorageError(DimError):
    """A file cannot be written: no space, no permission."""


class MemoryShortageError(DimError):
    """There is not enough memory, or a worker process was ended, as systems do where it is full."""


class MissingExtraError(DimError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"the package {package}", "it is not installed", f"Run: pip install 'dim-linker[{extra}]'")

    def __reduce__(self) -> tuple[type["DimError"], tuple[str, ...]]:  # type: ignore[override]
        return type(self), (self.package, self.extra)
