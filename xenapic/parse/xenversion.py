"""Versions of Xen as people have them: upstream's, a distribution's package, what Xen prints at boot.

A version stands for an interval of upstream's point releases: ``4.17.3`` for one of them, ``4.17`` for all
of its branch, ``4.17.4-pre`` and ``4.17.3+10-g091466ba55`` for what lies between two. A package's own
patches are invisible in its number.
"""

from __future__ import annotations

import re

from xenapic.frozen import dataclass

__all__ = [
    "DISTRIBUTIONS",
    "FINAL",
    "WITH_INTERFACE",
    "Distribution",
    "Point",
    "XenVersion",
    "find_version",
    "parse_version",
]

Point = tuple[int, int, int, int]
"""Major, minor, point, and a rank: 0 before the first candidate, n for rc n, `FINAL` for the release."""
FINAL = 1000
LAST = 1000
"""Above every point release."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Who builds a package with such a version, and where its fixes are listed."""

    name: str
    pattern: str
    """What the version has after upstream's part: a regular expression."""
    see: str


RPM = "rpm -q --changelog xen-hypervisor"
DISTRIBUTIONS = (
    Distribution("XCP-ng", r"\.xcpng\d", f"{RPM}, and the security posts of xcp-ng.org"),
    Distribution("XenServer", r"\.xs\d", f"{RPM}, and XenServer's security bulletins"),
    Distribution(
        "Fedora or Qubes OS", r"\.fc\d", f"{RPM}, Fedora's updates (bodhi) or Qubes' bulletins (QSB)"
    ),
    Distribution("an Enterprise Linux", r"\.el\d", RPM),
    Distribution(
        "Debian", r"[+~]deb\d|[+~]bpo\d", "apt changelog xen-hypervisor, security-tracker.debian.org"
    ),
    Distribution("Ubuntu", r"ubuntu", "apt changelog xen-hypervisor, ubuntu.com/security"),
    Distribution("SUSE", r"^_\d{2}", "rpm -q --changelog xen, suse.com/security"),
    Distribution("Alpine", r"^-r\d", "security.alpinelinux.org"),
    Distribution("a distribution", r"^-\d|^\+\d+-g[0-9a-f]+-\d", "the changelog of the package"),
)
"""The first that matches counts; the last is a package of somebody unknown."""


@dataclass(frozen=True, slots=True)
class XenVersion:
    """A version of Xen, as far as its text says it."""

    text: str
    number: tuple[int, int]
    point: int | None
    """None where only the branch is named."""
    extra: str
    """What Xen itself reports after the number, as far as the text shows it: ``".3"``, ``".0-rc2"``."""
    first: Point
    last: Point
    """The earliest and the latest point of upstream's history that it can be."""
    distribution: Distribution | None = None

    @property
    def upstream(self) -> str:
        """Upstream's part of the version: ``"4.17.3"``."""
        return "{}.{}".format(*self.number) + self.extra

    @property
    def exact(self) -> bool:
        """Whether it is a single point of upstream's history."""
        return self.first == self.last

    def __str__(self) -> str:
        return self.text


VERSION = re.compile(
    r"(?:RELEASE-|xen(?:-hypervisor)?[ _-]|v)?(?:xen )?(?:version )?(?:\d{1,4}:)?"
    r"(?P<major>\d{1,2})\.(?P<minor>\d{1,3})(?:\.(?P<point>\d{1,4}))?(?P<rest>[-+~_.][\w.+~-]{0,80})?",
    re.IGNORECASE | re.ASCII,
)
CANDIDATE = re.compile(r"[-~.]?rc(\d{0,3})$|[-~.]?rc(\d{1,3})[-+~.]", re.ASCII)
COMMITS = re.compile(r"\+(\d{1,5})-g[0-9a-f]{6,40}", re.ASCII)
STAGE = re.compile(r"[-~.]?(?:rc\d{0,3}|unstable|pre)(?![a-z0-9])", re.ASCII)
PREVIEW = re.compile(r"[-_~]pre(\d|$|[-+~.])", re.ASCII)
WITH_INTERFACE = 3
"""4.17-rc stands for the candidates that had the per-domain interface: rc1 to rc3."""


def parse_version(text: str) -> XenVersion | None:
    """Return what a text says about a version of Xen, None if it is not one."""
    match = VERSION.fullmatch(text.strip())
    if match is None:
        return None
    number = int(match["major"]), int(match["minor"])
    point = None if match["point"] is None else int(match["point"])
    rest = match["rest"] or ""
    first, last = _interval(number, point, rest)
    stage = STAGE.match(rest)
    extra = ("" if point is None else f".{point}") + (stage[0].replace("~", "-") if stage else "")
    makers = (maker for maker in DISTRIBUTIONS if re.search(maker.pattern, rest))
    return XenVersion(text.strip(), number, point, extra, first, last, next(makers, None) if rest else None)


def _interval(number: tuple[int, int], point: int | None, rest: str) -> tuple[Point, Point]:
    at = point or 0
    candidate = CANDIDATE.match(rest)
    if candidate or rest.startswith("-unstable"):
        ranks = _ranks(number, candidate)
        return (*number, at, ranks[0]), (*number, at, ranks[1])
    if point is None:
        return (*number, 0, FINAL), (*number, LAST, FINAL)
    if PREVIEW.match(rest):
        return (*number, max(at - 1, 0), FINAL), (*number, at, FINAL - 1)
    last = (*number, at + 1, FINAL - 1) if COMMITS.match(rest) else (*number, at, FINAL)
    return (*number, at, FINAL), last


def _ranks(number: tuple[int, int], candidate: re.Match[str] | None) -> tuple[int, int]:
    if candidate is None:
        return 0, 0
    rank = candidate[1] or candidate[2]
    if rank:
        return int(rank), int(rank)
    return 1, WITH_INTERFACE if number == (4, 17) else FINAL - 1


IN_TEXT = re.compile(
    r"(?:\bXen version |\bxen_version\s*[:=]\s*|\bXen )(\d{1,2}\.\d{1,3}(?:\.\d{1,4})?[\w.+~-]{0,80})",
    re.ASCII,
)


def find_version(text: str) -> XenVersion | None:
    """Return the version that a paste names (``Xen version 4.17.3``, ``xen_version : 4.17.3``), else None."""
    for match in IN_TEXT.finditer(text):
        version = parse_version(match[1].rstrip(".-"))
        if version is not None:
            return version
    return None
