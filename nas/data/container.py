"""Files of a folder or of a tar archive by name; an archive is read in place, never unpacked."""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from nas.data.digest import digest
from nas.errors import NasError
from nas.files import explain, read_bytes

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
MAX_MEMBER = 256 * 2**20
"""Bytes of one file in an archive: a small archive may claim to hold a file of any size."""

Reader = Callable[[], bytes]


class Container(Protocol):
    """A place that holds files under relative names with ``/`` between folders."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    def names(self) -> Sequence[str]:
        """All files, and all folders with a ``/`` at the end; hidden ones are left out."""
        ...

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Reader]]:
        """The named files, in any order, each with what returns its content."""
        ...

    def digest(self) -> str:
        """SHA-256 over all that is in it."""
        ...

    def place(self, name: str) -> str:
        """How messages call one of the files."""
        ...


def container(path: Path) -> Container:
    """The folder or archive at a path; NasError saying what is there instead."""
    if path.is_dir():
        return Folders(path)
    if not path.is_file():
        raise NasError(
            f"there is no folder or archive of images at {path}; set data.root to a folder with "
            "one folder of images per class, or to a tar file of such a folder"
        )
    if not path.name.lower().endswith(ARCHIVES):
        raise NasError(
            f"{path} is neither a folder nor an archive ({', '.join(ARCHIVES)}); set data.root to "
            "a folder with one folder of images per class, or to a tar file of such a folder"
        )
    return Archive(path)


@dataclass(frozen=True)
class Folders:
    """A folder and all below it; links are followed, each folder once."""

    path: Path

    def names(self) -> Sequence[str]:
        """All files and folders, sorted."""
        return sorted(self._walk())

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Reader]]:
        """The named files; a content is read when asked for."""
        for name in names:
            yield name, lambda path=self.path / name: read_bytes(path)  # type: ignore[misc]

    def digest(self) -> str:
        """SHA-256 over names and contents of all files."""
        return digest({name: self.path / name for name in self._walk() if name[-1] != "/"})

    def place(self, name: str) -> str:
        """Its path."""
        return str(self.path / name)

    def _walk(self) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()

        def fail(error: OSError) -> None:
            raise explain(error, error.filename or self.path, "read") from error

        for here, folders, files in os.walk(self.path, followlinks=True, onerror=fail):
            state = os.stat(here)
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()  # a link that leads back up would go round for ever
                continue
            seen.add((state.st_dev, state.st_ino))
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            below = Path(here).relative_to(self.path)
            yield from ((below / folder).as_posix() + "/" for folder in folders)
            yield from ((below / file).as_posix() for file in files if not file.startswith("."))


@dataclass(frozen=True)
class Archive:
    """A tar file, compressed or not; only regular files with harmless names are accepted."""

    path: Path

    def names(self) -> Sequence[str]:
        """All files and folders, sorted; NasError for a damaged archive or a forbidden member."""
        return sorted(self._members)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Reader]]:
        """The named files in the order of the archive, which is read once from front to back."""
        wanted = sorted((self._members[name], name) for name in names)
        with self._opened() as archive:
            stream = archive.fileobj
            assert stream is not None
            for (start, size), name in wanted:
                # by position: parsing all headers again takes longer than reading the files
                stream.seek(start)
                content = stream.read(size)
                if len(content) < size:
                    raise EOFError(f"it ends inside of {name}")
                yield name, lambda content=content: content  # type: ignore[misc]

    def digest(self) -> str:
        """SHA-256 of the archive itself."""
        return digest({"archive": self.path})

    def place(self, name: str) -> str:
        """Its name and the archive's."""
        return f"{name} in {self.path}"

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Start and size by name; of folders too, whose names end in ``/``."""
        found = {}
        with self._opened() as archive:
            for member in archive:
                name = self._checked(member) + "/" * member.isdir()
                if not _hidden(name):
                    found[name] = member.offset_data, member.size
            assert archive.fileobj is not None
            if archive.fileobj.tell() < archive.offset + tarfile.BLOCKSIZE:
                # cut between two members, which tarfile takes for the end
                raise EOFError("it ends without an end mark")
        return found

    @contextmanager
    def _opened(self) -> Iterator[tarfile.TarFile]:
        try:
            with tarfile.open(self.path) as archive:
                yield archive
        except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
            if isinstance(error, PermissionError):
                raise explain(error, self.path, "read") from error
            reason = " ".join(str(error).split()) or type(error).__name__
            raise NasError(
                f"{self.path} is damaged or no tar archive ({reason}); "
                "copy or download it again, or make it anew"
            ) from error

    def _checked(self, member: tarfile.TarInfo) -> str:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\0" in member.name:
            raise self._forbidden(member, "a name that leads out of it", "with relative names")
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise self._forbidden(member, "no regular file", "with 'tar -h', without links")
        if member.size > MAX_MEMBER:
            what = f"of {member.size / 2**20:.0f} MiB, more than the {MAX_MEMBER // 2**20} allowed"
            raise self._forbidden(member, what, "with images only")
        return name.as_posix()

    def _forbidden(self, member: tarfile.TarInfo, what: str, remedy: str) -> NasError:
        return NasError(
            f"archive {self.path} has a member {member.name[:80]!r}, {what}; "
            f"make the archive anew {remedy}"
        )


def stem(path: Path) -> str:
    """The name of a folder or archive without its extensions, as a name for the data."""
    name = path.absolute().name
    ends = [end for end in ARCHIVES if name.lower().endswith(end)]
    return name[: -max(map(len, ends))] if ends and path.is_file() else name


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
