"""Run XTF's tests as guests of the running Xen, one after another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xenapic.errors import (
    ConfigRefused,
    GuestFailed,
    HandleClosed,
    PolicyInvalid,
    PolicyRefused,
    ToolstackRefused,
    Unavailable,
    XenApicError,
)
from xenapic.frozen import dataclass
from xenapic.live.guest import shutdown_name
from xenapic.model.config import DomainConfig
from xenapic.model.flags import EMU
from xenapic.model.viridian import viridian_mask
from xenapic.parse.files import read_file
from xenapic.parse.xlcfg import c_number, parse_xl_cfg
from xenapic.policy.guestside import viridian_groups
from xenapic.policy.plan import Refusal
from xenapic.toolstack.request import NAMES, derive_request
from xenapic.xtf.results import XtfResult
from xenapic.xtf.tree import XtfTest
from xenapic.xtf.verdict import Judgement, XtfVerdict, judge, last_words, lines_of

if TYPE_CHECKING:
    from xenapic.live.xen import Xen
    from xenapic.parse.xlcfg import XlValue
    from xenapic.policy.terms import Policy

__all__ = ["Settings", "run_tests"]

CONFIG_BYTES = 1 << 20
DEFAULT_MIB = 128
HVM_PARAM_VIRIDIAN, HVM_PARAM_HPET_ENABLED = 9, 11
"""``xen/include/public/hvm/params.h``; xl sets both for an HVM guest, the second by default."""


@dataclass(frozen=True)
class Settings:
    """How tests are run."""

    timeout: float = 60.0
    """Seconds for each test."""
    memory_mib: int | None = None
    """Instead of what the test's xl.cfg says."""


@dataclass(frozen=True)
class _Wanted:
    """The domain that a test's xl.cfg asks for."""

    config: DomainConfig
    memory_mib: int
    parameters: Mapping[int, int]
    """HVM parameters, by number."""


def run_tests(
    xen: Xen, tests: Iterable[XtfTest], policy: Policy | None, settings: Settings
) -> Iterator[XtfResult]:
    """Run tests, and yield the result of each when its guest is gone.

    Raises `PolicyRefused` before the first test if this host has no plan for the policy, and `Unavailable`
    when Xen cannot be used.
    """
    selected = list(tests)
    if policy is not None:
        plan = xen.plan(policy, DomainConfig.hvm().guest_type)
        if isinstance(plan, Refusal):
            raise PolicyRefused(plan.reasons)
    for test in selected:
        yield _run(xen, test, policy, settings)


def _run(xen: Xen, test: XtfTest, policy: Policy | None, settings: Settings) -> XtfResult:
    began = time.monotonic()
    output: tuple[str, ...] = ()
    try:
        judgement, output = _booted(xen, test, policy, settings)
    except (ConfigRefused, ToolstackRefused) as error:
        judgement = Judgement(XtfVerdict.REFUSED, _line(error))
    except (Unavailable, PolicyRefused, HandleClosed):
        raise
    except XenApicError as error:
        judgement = Judgement(XtfVerdict.ERROR, _line(error))
    seconds = round(time.monotonic() - began, 3)
    return XtfResult(test.name, judgement.verdict, judgement.note, judgement.warnings, seconds, output)


def _line(error: XenApicError) -> str:
    return " ".join(str(error).split())


def _booted(
    xen: Xen, test: XtfTest, policy: Policy | None, settings: Settings
) -> tuple[Judgement, tuple[str, ...]]:
    wanted = _wanted(xen, read_file(test.config, CONFIG_BYTES).decode("latin-1"))
    with xen.boot(
        test.image,
        memory_mib=settings.memory_mib or wanted.memory_mib,
        vcpus=wanted.config.max_vcpus,
        policy=policy,
        config=wanted.config,
        acpi=False,
        start=False,
    ) as guest:
        for number, value in wanted.parameters.items():
            guest.handle.hvm.set_parameter(guest.domid, number, value)
        guest.unpause()
        try:
            reason = guest.wait(settings.timeout)
        except GuestFailed:
            if guest.ended is not None:  # it ended at the last moment
                raise
            lines = lines_of(guest.console.read())
            why = f"the guest did not end within {settings.timeout:g} s{last_words(lines)}"
            return Judgement(XtfVerdict.TIMEOUT, why), lines
        lines = lines_of(guest.console.read())
        return judge(lines, reason, shutdown_name(reason)), lines


def _wanted(xen: Xen, text: str) -> _Wanted:
    """Return what xl would ask for, but for a device model and firmware; raise xl's refusals."""
    settings = parse_xl_cfg(text)
    host = xen.host()
    derived = derive_request(text, host.release, xen.physinfo().capabilities)
    fields: dict[str, Any] = {NAMES.get(name, name): value for name, value in derived.fields.items()}
    config = DomainConfig(**{name: value for name, value in fields.items() if name not in NOT_TAKEN})
    parameters = {}
    mask = viridian_mask(viridian_groups(_viridian(settings)))
    if mask:
        parameters[HVM_PARAM_VIRIDIAN] = mask
    if EMU.HPET in config.emulation_flags:
        parameters[HVM_PARAM_HPET_ENABLED] = 1
    return _Wanted(config, _number(settings, "memory") or DEFAULT_MIB, parameters)


NOT_TAKEN = ("ssidref", "domid", "cpupool_id")
"""What is the host's affair: labels, numbers and pools."""


def _number(settings: Mapping[str, XlValue], key: str) -> int | None:
    value = settings.get(key)
    return c_number(value) if isinstance(value, str) else None


def _viridian(settings: Mapping[str, XlValue]) -> list[str]:
    value = settings.get("viridian", [])
    if isinstance(value, str):
        return ["1"] if _number(settings, "viridian") else []
    if not all(isinstance(word, str) for word in value):
        raise PolicyInvalid("viridian: a list of texts is expected")
    return [word for word in value if isinstance(word, str)]
