"""A large file of lines, plain or compressed, in blocks of whole lines: the same blocks every time."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from dim.data.files import explain_read_errors
from dim.errors import DataError

BLOCK = 4 << 20  #: Bytes a block, before the rest of its last line.
LONGEST_LINE = 256 << 20
_CHUNK = 1 << 20
_BROKEN = (OSError, zlib.error, ValueError)


@dataclass(frozen=True)
class Block:
    """Whole lines.

    Attributes:
        data: They.
        first_line: The number of the first one, from 1.
        end: Bytes of the unpacked file up to their end.
        num_lines: How many.
    """

    data: bytes
    first_line: int
    end: int
    num_lines: int


class DumpLines:
    """The lines of one file; `.gz` and `.bz2` are unpacked as they are read.

    Attributes:
        is_cut: Whether the file ended inside compressed data: a part of a dump. Its last, cut line is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.is_cut = path, False

    def head(self, size: int = 1 << 16) -> bytes:
        """The first bytes; empty where they cannot be unpacked."""
        try:
            with self.path.open("rb") as raw:
                return self._unpacked(raw).read1(size)
        except (*_BROKEN, EOFError):
            return b""

    def blocks(self, start: int = 0, first_line: int = 1, tell: Callable[[int], object] = int) -> Iterator[Block]:
        """The blocks from `start` on.

        Args:
            start: The `end` of the block before; what is compressed is unpacked up to there once more.
            first_line: The number of the line that begins there.
            tell: Called with the bytes of the file that were read since it was called last.

        Raises:
            DataError: The file cannot be read or unpacked, or is one line.
        """
        with explain_read_errors(self.path), self.path.open("rb") as raw:
            pieces, size, told = list[bytes](), 0, 0
            for chunk in self._chunks(raw, start):
                tell(raw.tell() - told)
                told = raw.tell()
                # At the first line that ends behind so many bytes, however the file comes: a resumed run cuts it alike.
                while (at := chunk.find(b"\n", max(0, BLOCK - 1 - size))) >= 0:
                    whole = b"".join([*pieces, chunk[:at]])
                    start += len(whole) + 1
                    num_lines = whole.count(b"\n") + 1
                    yield Block(whole, first_line, start, num_lines)
                    first_line += num_lines
                    pieces, size, chunk = [], 0, chunk[at + 1 :]
                pieces.append(chunk)
                size += len(chunk)
                if size > LONGEST_LINE:
                    raise DataError(
                        f"an item a line in {self.path}",
                        f"a line of more than {LONGEST_LINE >> 20} MiB",
                        "Name a dump as Wikidata publishes it (latest-all.json.gz or .bz2).",
                    )
            rest = b"".join(pieces)
            if self.is_cut:
                rest = rest.rpartition(b"\n")[0]
            rest = rest.removesuffix(b"\n")
            if rest:
                yield Block(rest, first_line, start + len(rest), rest.count(b"\n") + 1)

    def _unpacked(self, raw: BufferedIOBase) -> BufferedIOBase:
        suffix = self.path.suffix.lower()
        if suffix == ".gz":
            return gzip.GzipFile(fileobj=raw)
        return cast(BufferedIOBase, bz2.BZ2File(raw)) if suffix == ".bz2" else raw

    def _chunks(self, raw: BufferedIOBase, start: int) -> Iterator[bytes]:
        file = self._unpacked(raw)
        if file is raw:
            raw.seek(start)
            start = 0
        try:
            while chunk := file.read1(_CHUNK):
                skipped = min(start, len(chunk))
                start -= skipped
                if skipped < len(chunk):
                    yield chunk[skipped:]
        except EOFError:
            self.is_cut = True
        except _BROKEN as error:
            if file is raw:
                raise
            raise DataError(f"{self.path} whole", str(error), "Download the file again.") from error
