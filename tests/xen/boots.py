"""Machines that several tests share: a boot in Bochs costs as much as most scripts that run there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from xenapic.lab.errors import BootError
from xenapic.lab.machines import MACHINES
from xenapic.lab.pytest_plugin import XenLab
from xenapic.lab.runner import RunResult, Session

OWN_BOOT = ("xen_args", "dom0_args", "guest_kernel")
"""Options of a run that need a boot of its own. In Bochs each boot is cold."""


class Boots:
    """The machine that runs at the moment, for all tests that use the same."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._running: tuple[str, str] | None = None
        self._session: Session | None = None

    def run(
        self, lab: XenLab, command: Sequence[str], *, machine: str, xen: str, **options: Any
    ) -> RunResult:
        """Run a command in the machine, which is started if another one or none runs."""
        if self._session is None or self._running != (machine, xen):
            self.end()
            self._session = self._stack.enter_context(lab.start(machine=machine, xen=xen))
            self._running = machine, xen
        try:
            return self._session.run(command, **options)
        except BootError:
            self.end()
            raise

    def end(self) -> None:
        """End the machine that runs."""
        self._session = None
        self._stack.close()


BOOTS = Boots()


def run(lab: XenLab, command: Sequence[str], *, machine: str, xen: str, **options: Any) -> RunResult:
    """Run a command in dom0: in Bochs in the shared machine, unless it needs a boot of its own."""
    if any(options.get(name) for name in OWN_BOOT) or MACHINES[machine].emulator != "bochs":
        return lab.run(command, machine=machine, xen=xen, **options)
    options = {name: value for name, value in options.items() if name not in (*OWN_BOOT, "cold")}
    return BOOTS.run(lab, command, machine=machine, xen=xen, **options)


def on(machine: str, release: str, value: object = None, *, thorough: bool = False) -> ParameterSet:
    """Return a parameter for a test or fixture that uses the shared machine; by default, both names."""
    marks = [pytest.mark.shares_boot(machine, release)]
    if thorough:
        marks.append(pytest.mark.thorough)
    return pytest.param(value or (machine, release), marks=marks, id=f"{machine}-{release}")


def thorough(value: object) -> ParameterSet:
    """Return a parameter that only `make test-all` uses."""
    return pytest.param(value, marks=pytest.mark.thorough)
