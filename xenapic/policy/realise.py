"""The lines of an xl.cfg, or of a libvirt domain XML, that realise a plan.

Only 4.17-rc lets a domain choose its assistance; of the other releases, comments say what the host decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from xenapic.model.apicbits import words_shown
from xenapic.model.flags import MISC
from xenapic.model.guest_types import GuestType
from xenapic.policy.plan import Plan
from xenapic.policy.terms import ASSISTED, Aspect

__all__ = ["libvirt_xml", "settings", "xl_cfg"]

HIDE = 'cpuid = "host,x2apic=0"'
BITS = {"assisted_xapic": MISC.ASSISTED_XAPIC, "assisted_x2apic": MISC.ASSISTED_X2APIC}
OS_TYPE = {GuestType.HVM: "hvm", GuestType.PVH: "xenpvh", GuestType.PV: "xen"}
PV = "a PV guest has no local APIC: nothing to set"


def settings(plan: Plan) -> tuple[str, ...]:
    """Return the settings of an xl.cfg that realise a plan, without comments."""
    lines = [f'type = "{plan.guest_type.value}"']
    if plan.guest_type is not GuestType.PV:
        if not plan.policy.guest_x2apic:
            lines.append(HIDE)
        lines += [f"{name} = {int(BITS[name] in plan.misc_flags)}" for name in _choices(plan)]
    return tuple(lines)


def xl_cfg(plan: Plan) -> str:
    """Return the lines of an xl.cfg, commented where the release has nothing to set."""
    comments = "".join(f"# {line}\n" for line in _comments(plan))
    return comments + "".join(f"{line}\n" for line in settings(plan))


def libvirt_xml(plan: Plan) -> str:
    """Return a libvirt domain XML with the elements that realise a plan, to be merged into a complete one."""
    lines = ["<domain type='xen'>"]
    comments = [*_comments(plan)]
    if _choices(plan):
        flags = ", ".join(line for line in settings(plan) if line.startswith("assisted"))
        comments.append(f"libvirt cannot set {flags}; libxl takes the host's default")
    lines += [f"  <!-- {_in_comment(line)} -->" for line in comments]
    lines += ["  <os>", f"    <type>{escape(OS_TYPE[plan.guest_type])}</type>", "  </os>"]
    if plan.guest_type is not GuestType.PV and not plan.policy.guest_x2apic:
        feature = "<feature policy='disable' name='x2apic'/>"
        lines += ["  <cpu mode='host-passthrough'>", f"    {feature}", "  </cpu>"]
    return "".join(f"{line}\n" for line in [*lines, "</domain>"])


def _choices(plan: Plan) -> tuple[str, ...]:
    """Return the settings that this Xen offers to a domain; none where it decides for the host."""
    if plan.guest_type is GuestType.PV or not plan.host.interface:
        return ()
    offered = {"assisted_xapic": plan.host.assisted_xapic, "assisted_x2apic": plan.host.assisted_x2apic}
    hidden = not plan.policy.guest_x2apic and MISC.ASSISTED_X2APIC in plan.misc_flags
    left = (
        "assisted_x2apic" if hidden else ""
    )  # libxl sets it anyway, and in the file it would be a requirement
    return tuple(name for name, _aspect in ASSISTED if offered[name] and name != left)


def _comments(plan: Plan) -> Iterator[str]:
    version = plan.host.version
    if plan.guest_type is GuestType.PV:
        yield PV
        return
    chosen = {aspect for name, aspect in ASSISTED if name in _choices(plan)}
    if plan.effective is not None:
        words = words_shown(plan.misc_flags) or "the host's default"
        one_bit = f"Xen {_plain(str(version))} has one bit per control"
        yield f"{one_bit}, for which this file has no setting: {words}"
    elif not chosen:
        yield f"Xen {_plain(str(version))} decides for the whole host: it has nothing to set for a domain"
    for aspect in Aspect:
        if aspect not in chosen:
            yield f"'{aspect.title}': {plan.in_force[aspect].answer.value}"
    for caution in plan.warnings:
        yield _plain(str(caution))


def _plain(text: str) -> str:
    """Return a text that stays in its comment: one line."""
    return "".join(char if char.isprintable() else " " for char in text)


def _in_comment(text: str) -> str:
    """Return a text that can be in a comment of XML, which has no two hyphens and does not end with one."""
    return re.sub(r"-(?=-|$)", "- ", text).rstrip()
