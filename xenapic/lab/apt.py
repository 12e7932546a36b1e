"""Fetch Debian packages through apt, without installing them and without being root.

The sources are the machine's own, with the release's name replaced. So the mirror, the proxy and the
keyring that this machine trusts also serve the other release, and apt checks the signatures.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from xenapic.lab.errors import FetchFailed, LabPrerequisite
from xenapic.lab.programs import dying_with_us, run

CODENAMES = ("bookworm", "trixie")
POCKETS = ("", "-updates", "-security")


@dataclass(frozen=True)
class Source:
    """One package source: its addresses, its suites, and the options that say which keys are trusted."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def deb822(self, kind: str = "deb") -> str:
        """Return the source as a stanza of a ``.sources`` file, with component main only."""
        lines = [
            f"Types: {kind}",
            f"URIs: {' '.join(self.uris)}",
            f"Suites: {' '.join(self.suites)}",
            "Components: main",
            *(f"{name}: {value}" for name, value in self.options),
        ]
        return "\n".join(lines) + "\n"


def parse_deb822(text: str) -> Iterator[Source]:
    """Return the sources of a ``.sources`` file that are enabled and have binaries in component main."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").strip().lower() in {"no", "false", "0"}:
            continue
        if "main" not in fields.get("components", "").split():
            continue
        options = tuple((n.title(), fields[n]) for n in ("signed-by", "trusted") if n in fields)
        uris, suites = fields.get("uris", "").split(), fields.get("suites", "").split()
        yield Source(tuple(uris), tuple(suites), options)


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            # A key may be written out in the file: its lines must stay as they are.
            fields[last] = fields.get(last, "") + "\n" + line.rstrip()
        elif ":" in line:
            last, value = line.split(":", 1)
            last = last.strip().lower()
            fields[last] = value.strip()
    return fields


def parse_one_line(text: str) -> Iterator[Source]:
    """Return the sources of a ``.list`` file with component main."""
    pattern = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)$")
    for line in text.splitlines():
        match = pattern.match(line.split("#", 1)[0].strip())
        if not match:
            continue
        suite, *components = match["rest"].split()
        if "main" not in components:
            continue
        pairs = (o.split("=", 1) for o in (match["options"] or "").split() if "=" in o)
        options = tuple((n.title(), v) for n, v in pairs if n in {"signed-by", "trusted"})
        yield Source((match["uri"],), (suite,), options)


def machine_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Return all usable binary sources of this machine."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    sources: list[Source] = []
    for file in files:
        if file.suffix not in {".list", ".sources"} or not file.is_file():
            continue
        text = file.read_text(errors="replace")
        sources += parse_deb822(text) if file.suffix == ".sources" else parse_one_line(text)
    return sources


def derive(sources: Iterable[Source], codename: str) -> list[Source]:
    """Return the Debian sources among `sources`, for the Debian release `codename`.

    Sources that name `codename` are used unchanged; if there are none, those of another release are
    rewritten. Raise `LabPrerequisite` if there are no Debian sources.
    """
    candidates = list(sources)
    for wanted in (codename, *CODENAMES):
        derived = [d for s in candidates if (d := _for_release(s, wanted, codename))]
        if any(codename in d.suites for d in derived):
            return derived
    raise LabPrerequisite(
        f"no source of Debian packages among this machine's apt sources, so Debian {codename} "
        "cannot be fetched; the lab needs a machine with Debian's apt sources "
        f"({' or '.join(CODENAMES)})"
    )


def _for_release(source: Source, wanted: str, codename: str) -> Source | None:
    ours = {wanted + pocket for pocket in POCKETS}
    suites = tuple(codename + s[len(wanted) :] for s in source.suites if s in ours)
    return Source(source.uris, suites, source.options) if suites else None


@dataclass(frozen=True)
class Package:
    """A fetched package file."""

    name: str
    version: str
    path: Path
    sha256: str


class Apt:
    """apt with its own directories below `work`; the machine's state does not change."""

    def __init__(self, work: Path, sources: Sequence[Source], kind: str = "deb") -> None:
        self._work = work
        for name in ("lists/partial", "cache/archives/partial", "none"):
            (work / name).mkdir(parents=True, exist_ok=True)
        (work / "status").touch()
        (work / "lab.sources").write_text("\n".join(s.deb822(kind) for s in sources))
        (work / "apt.conf").write_text(_CONF.format(work=work))

    def update(self) -> None:
        """Fetch and check the package lists."""
        self._run("apt-get", "update", "-o", "APT::Update::Error-Mode=any")

    def depends(self, package: str) -> list[str]:
        """Return the names of the packages that `package` directly depends on."""
        text = self._run("apt-cache", "depends", package)
        return re.findall(r"^\s*Depends: (\S+)", text, re.M)

    def download(self, packages: Sequence[str], *, closure: bool) -> list[Package]:
        """Fetch `packages`, and if `closure` also everything they depend on."""
        into = self._work / ("closure" if closure else "single")
        (into / "partial").mkdir(parents=True, exist_ok=True)
        if closure:
            where = f"-oDir::Cache::archives={into}"
            self._run("apt-get", "install", "--download-only", "--yes", where, *packages)
        else:
            self._run("apt-get", "download", *packages, cwd=into)
        return sorted((_package(p) for p in into.glob("*.deb")), key=lambda p: p.name)

    def source_versions(self, package: str) -> list[str]:
        """Return the versions of a source package that the lists name, the newest first.

        This needs ``deb-src`` as the kind of the sources.
        """
        text = self._run("apt-cache", "showsrc", "--only-source", package)
        versions = set(re.findall(r"^Version: (\S+)$", text, re.M))
        return sorted(versions, key=cmp_to_key(_compared), reverse=True)

    def download_source(self, package: str, version: str, into: Path) -> None:
        """Fetch a version of a source package into a directory; raise `FetchFailed` if it is not there."""
        wanted = f"{package}={version}"
        self._run("apt-get", "source", "--download-only", "--only-source", wanted, cwd=into)

    def _run(self, program: str, *args: str, cwd: Path | None = None) -> str:
        env = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        return run(program, "-qq", f"-c={self._work / 'apt.conf'}", *args, cwd=cwd, env=env)


def members(package: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Return what a package holds, member by member; each can be read until the next one is asked for."""
    command = dying_with_us(["dpkg-deb", "--fsys-tarfile", str(package)])
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as source,
        tarfile.open(fileobj=source.stdout, mode="r|") as archive,
    ):
        for member in archive:
            yield archive, member
    if source.returncode:
        raise FetchFailed(f"cannot unpack {package.name}")


def write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a member that is a regular file; of its mode, only whether it is executable is kept."""
    if data := archive.extractfile(member):
        with path.open("wb") as out:
            shutil.copyfileobj(data, out)
        path.chmod(0o755 if member.mode & 0o111 else 0o644)


def _compared(one: str, other: str) -> int:
    """Return how two versions compare, as dpkg orders them."""
    if one == other:
        return 0
    newer = subprocess.run(["dpkg", "--compare-versions", one, "gt", other], check=False)
    return 1 if newer.returncode == 0 else -1


def _package(path: Path) -> Package:
    fields = run("dpkg-deb", "--field", str(path), "Package", "Version")
    name, version = (line.split(": ", 1)[1] for line in fields.splitlines())
    return Package(name, version, path, hashlib.sha256(path.read_bytes()).hexdigest())


# apt's own download user cannot reach directories only we may read, hence the sandbox setting.
# The machine's own settings (proxy, certificates) still apply; hooks after an update must not run.
_CONF = """\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{work}";
Dir::State::lists "{work}/lists";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
Dir::Etc::sourcelist "{work}/lab.sources";
Dir::Etc::sourceparts "{work}/none";
Dir::Etc::preferences "{work}/none/none";
Dir::Etc::preferencesparts "{work}/none";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Install-Recommends "false";
APT::Default-Release "";
Acquire::Languages "none";
"""
