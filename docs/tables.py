"""Write the documentation's tables from the code that decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from xenapic.abi.generations import RELEASES, soname
from xenapic.apic.features import FEATURES
from xenapic.errors import XenApicError, errno_name
from xenapic.glossary.build import span
from xenapic.lab.machines import MACHINES
from xenapic.model.releases import FIELD_SINCE, XEN_RELEASES
from xenapic.model.rules import RULES


def write(into: Path) -> None:
    """Write every table as a Markdown file."""
    into.mkdir(exist_ok=True)
    for name, (headers, rows) in TABLES().items():
        (into / f"{name}.md").write_text(markdown(headers, rows))


def markdown(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def TABLES() -> dict[str, tuple[Sequence[str], list[Sequence[object]]]]:  # noqa: N802
    """Return each table's headers and rows."""
    return {
        "rules": (
            ("code", "field", "Xen says", "releases", "late", "rule", "remedy", "where in Xen"),
            [
                (
                    f"`{r.code}`",
                    f"`{r.field}`",
                    errno_name(r.errno) if r.errno else "(ours)",
                    span(r),
                    "**late**" if r.late else "",
                    r.rule,
                    r.remedy,
                    r.source,
                )
                for r in RULES
            ],
        ),
        "features": (
            ("key", "name", "extension", "field", "bit", "the processor tells in"),
            [(f"`{f.key}`", f.name, f.technology.value, f.field, f.bit, f.capability) for f in FEATURES],
        ),
        "releases": (
            ("Xen", "library", "declarations"),
            [(row, f"`{soname(row)}`", f"`{row.generation}`") for row in RELEASES],
        ),
        "fields": (
            ("field", "first release"),
            [(f"`{field}`", "{}.{}".format(*since)) for field, since in FIELD_SINCE.items()],
        ),
        "models": (
            ("release", "choice per domain", "misc_flags"),
            [(row.name, "yes" if row.per_domain_apic else "no", hex(row.misc_flags)) for row in XEN_RELEASES],
        ),
        "errors": (
            ("code", "exception", "meaning"),
            [
                (f"`{kind.code}`", f"`{kind.__name__}`", (kind.__doc__ or "").splitlines()[0])
                for kind in errors()
            ],
        ),
        "machines": (
            ("machine", "emulator", "vendor", "offers Xen", "notes"),
            [(f"`{m.name}`", m.emulator, m.vendor, ", ".join(m.offers), m.notes) for m in MACHINES.values()],
        ),
    }


def errors() -> list[type[XenApicError]]:
    """Return every error class, parents first."""
    import xenapic.lab.errors  # noqa: F401

    found, waiting = [], [XenApicError]
    while waiting:
        kind = waiting.pop(0)
        found.append(kind)
        waiting += kind.__subclasses__()
    return found
