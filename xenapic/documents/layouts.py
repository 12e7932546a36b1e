"""``xenapic/layout``: which known layout a Xen's own headers have; a proof for one library."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from xenapic.abi.elf import elf_soname
from xenapic.abi.layout import Comparison, compare_headers, equal
from xenapic.abi.library import SONAME
from xenapic.abi.proof import LayoutProof, library_sha256
from xenapic.errors import HeadersUnusable
from xenapic.frozen import dataclass

__all__ = ["LayoutCheck", "LayoutComparison", "PlaceDifference", "check_layout"]


@dataclass(frozen=True, slots=True)
class PlaceDifference:
    """A place where a known release's layout is not that of the headers."""

    struct: str
    """The structure, or the function."""
    field: str
    """The field; "(size)" for the structure itself, empty for a function."""
    known: str
    """What it is in the known release."""
    headers: str
    """What it is in the headers."""


@dataclass(frozen=True, slots=True)
class LayoutComparison:
    """A known layout, compared with the headers."""

    release: str
    """The newest release with this layout."""
    compared: int
    """The number of places compared."""
    differences: tuple[PlaceDifference, ...]

    @classmethod
    def of(cls, comparison: Comparison) -> LayoutComparison:
        """Return the entry of a comparison."""
        rows = comparison.differences
        differences = tuple(PlaceDifference(r.struct, r.field, r.known, r.headers) for r in rows)
        return cls(str(comparison.release), comparison.questions, differences)


@dataclass(frozen=True, slots=True)
class LayoutCheck:
    """Which known layout a Xen's headers have."""

    SCHEMA: ClassVar[str] = "xenapic/layout/1"

    release: str | None
    """The release that the library is of, e.g. "4.23"; null without a library."""
    as_release: str | None
    """The newest known release with the layout of the headers; null if there is none."""
    library: str | None
    """SHA-256 of the library."""
    headers: str
    """The directory of the headers."""
    comparisons: tuple[LayoutComparison, ...]

    @property
    def proof(self) -> LayoutProof | None:
        """The proof for `xenapic.open`; None if nothing is proven, or no library was given."""
        if self.release is None or self.as_release is None or self.library is None:
            return None
        return LayoutProof(self.release, self.as_release, self.library)


def check_layout(headers: Path, library: Path | None = None) -> LayoutCheck:
    """Compare headers with every known layout; raise `HeadersUnusable` if a file cannot be used."""
    release = checksum = None
    if library is not None:
        try:
            match = SONAME.fullmatch(elf_soname(library) or "")
            checksum = library_sha256(library)
        except (OSError, ValueError) as error:
            raise HeadersUnusable(f"{library} cannot be read as a library: {error}") from None
        if match is None:
            raise HeadersUnusable(f"{library} is not libxenctrl: its soname is not libxenctrl.so.4.N")
        release = match["release"]
    comparisons = compare_headers(headers)
    proven = equal(comparisons)
    return LayoutCheck(
        release,
        str(proven) if proven else None,
        checksum,
        str(headers),
        tuple(map(LayoutComparison.of, comparisons)),
    )
