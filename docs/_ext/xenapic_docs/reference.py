"""Write the reference tables: create rules, features, libraries, fields, errors and the lab's machines."""

from __future__ import annotations

import inspect
from typing import Any, get_args

from xenapic.abi.generations import RELEASES, soname
from xenapic.apic.features import FEATURES
from xenapic.cli.status import MEANINGS
from xenapic.documents import DOCUMENTS, document_type
from xenapic.documents.prometheus import METRICS
from xenapic.errors import errno_name
from xenapic.glossary import topics
from xenapic.glossary.creates import span
from xenapic.glossary.exceptions import error_classes
from xenapic.lab.machines import MACHINES
from xenapic.model.conditions import Rule
from xenapic.model.releases import FIELD_SINCE, XEN_RELEASES
from xenapic.model.rules import RULES
from xenapic_docs.markdown import mark, sentence, table


def create_rules() -> str:
    """Return every rule by which Xen refuses a domain, in Xen's order."""
    return table(
        ("code and field", "rule and remedy", "Xen answers", "releases", "where in Xen"),
        [
            (
                f"`{rule.code}`<br>`{rule.field}`",
                f"{sentence(rule.rule)}. *{rule.remedy}*",
                _answer(rule),
                span(rule),
                rule.source,
            )
            for rule in RULES
        ],
    )


def _answer(rule: Rule) -> str:
    answer = errno_name(rule.errno) if rule.errno else "*(ours)*"
    return f"{answer}, **late**" if rule.late else answer


def features() -> str:
    """Return the features that a host report has."""
    return table(
        ("key", "name", "extension", "field", "bit", "reported by the processor in"),
        [
            (f"`{row.key}`", row.name, row.technology.value, row.field, row.bit, row.capability)
            for row in FEATURES
        ],
    )


def exit_statuses() -> str:
    """Return every exit status of the command."""
    return table(
        ("status", "meaning"), [(int(status), sentence(meaning)) for status, meaning in MEANINGS.items()]
    )


def documents() -> str:
    """Return every JSON document; ``access`` has two forms."""
    return table(
        ("schema", "class", "content", "read into a value of the library"),
        [
            (
                f"`{form.SCHEMA}`",
                f"`{form.__name__}`",
                inspect.cleandoc(form.__doc__ or "").partition("\n\n")[0],
                mark(hasattr(form, "value")),
            )
            for name in DOCUMENTS
            for form in _forms(name)
        ],
    )


def _forms(name: str) -> tuple[Any, ...]:
    kind: Any = document_type(name)
    return get_args(kind) or (kind,)


def libraries() -> str:
    """Return which libxenctrl belongs to which release."""
    return table(
        ("Xen", "library", "declarations"),
        [(row, f"`{soname(row)}`", f"`{row.generation}`") for row in RELEASES],
    )


def fields() -> str:
    """Return the fields of createdomain that came after 4.15."""
    return table(
        ("field", "first release"),
        [(f"`{field}`", "{}.{}".format(*since)) for field, since in FIELD_SINCE.items()],
    )


def choice_per_domain() -> str:
    """Return which release lets a domain choose."""
    return table(
        ("release", "choice per domain", "known bits of misc_flags"),
        [(row.name, "yes" if row.per_domain_apic else "no", hex(row.misc_flags)) for row in XEN_RELEASES],
    )


def errors_table() -> str:
    """Return every exception with its code."""
    return table(
        ("code", "exception", "meaning"),
        [(f"`{code}`", f"`{kind.__name__}`", topics()[code].text) for code, kind in error_classes().items()],
    )


def metrics() -> str:
    """Return every metric and what it means."""
    return table(("metric", "meaning"), [(f"`{name}`", meaning) for name, meaning in METRICS.items()])


def machines() -> str:
    """Return the lab's machines."""
    return table(
        ("machine", "emulator", "vendor", "offers Xen", "notes"),
        [(f"`{m.name}`", m.emulator, m.vendor, ", ".join(m.offers), m.notes) for m in MACHINES.values()],
    )
