"""The table of metrics of a run: one JSON object per line, appended as training goes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import append_line, jsonable, read_bytes, truncate


class MetricsFile:
    """A ``metrics.jsonl``; each row reaches the disk before `append` returns.

    A checkpoint stores ``size``; on resume `truncate_to` drops the rows written after it, so that
    they are not there twice.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; nothing is read or written yet."""
        self.path = Path(path)
        self._checked = False

    @property
    def size(self) -> int:
        """Length of the file in bytes, 0 where it is absent."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row; NaN and infinity become null. NasError if the disk is full."""
        if not self._checked:
            self._drop_torn_line()
            self._checked = True
        append_line(self.path, json.dumps(jsonable(row), ensure_ascii=False, allow_nan=False))

    def truncate_to(self, size: int) -> None:
        """Drop what lies behind the first ``size`` bytes; a shorter file is left as it is."""
        truncate(self.path, size)
        self._checked = False

    def drop_stage(self, stage: str) -> None:
        """Drop the first row of ``stage`` and all after it: the stage starts again from nothing."""
        size = 0
        for line in read_bytes(self.path).splitlines(keepends=True) if self.size else []:
            try:
                found = json.loads(line).get("stage") == stage
            except (ValueError, AttributeError):
                found = False  # torn or foreign; reading names it
            if found:
                self.truncate_to(size)
                return
            size += len(line)

    def read(self) -> list[dict[str, Any]]:
        """Return all rows; a last line that a killed process left torn is passed over.

        Raises NasError naming the line where another one is damaged.
        """
        if not self.path.exists():
            return []
        *lines, _torn = read_bytes(self.path).split(b"\n")
        return [self._parse(line, number) for number, line in enumerate(lines, start=1)]

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise NasError(f"{self.path} is damaged in line {number}: remove that line")
        return row

    def _drop_torn_line(self) -> None:
        if self.size:
            truncate(self.path, read_bytes(self.path).rfind(b"\n") + 1)
