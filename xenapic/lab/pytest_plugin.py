"""The fixture ``xen_lab``: a real Xen for the tests of any project.

::

    def test_tool(xen_lab):
        result = xen_lab.run(["mytool", "--check"], files={"/usr/local/bin/mytool": "mytool"})
        assert result.status == 0
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xenapic.lab.runner import RunResult, Session


@dataclass(frozen=True)
class XenLab:
    """A choice of machine and Xen release."""

    machine: str
    xen: str

    def run(self, command: Sequence[str], **options: Any) -> RunResult:
        """Run `command` in dom0 of a machine of its own; `options` are those of `xenapic.lab.run`."""
        from xenapic.lab.runner import run

        return run(command, **{"machine": self.machine, "xen": self.xen, **options})

    def start(self, **options: Any) -> AbstractContextManager[Session]:
        """Start a machine for several commands; `options` are those of `xenapic.lab.start`."""
        from xenapic.lab.runner import start

        return start(**{"machine": self.machine, "xen": self.xen, **options})

    @contextmanager
    def boot(
        self,
        *,
        vcpus: int = 1,
        memory: int = 128,
        arguments: Sequence[str] = (),
        cmdline: str = "",
        **options: Any,
    ) -> Iterator[BootedGuest]:
        """Start a machine and boot Debian's kernel as a guest in it; it runs until the block is left.

        ``memory`` is in MiB, ``arguments`` are more of ``xenapic boot``, ``cmdline`` more words for the
        kernel; ``options`` are those of `xenapic.lab.start`. The guest has printed ``xenapic guest ready``.
        """
        from xenapic.lab.bochs import IPS
        from xenapic.lab.errors import LabError
        from xenapic.lab.guestkernel import CMDLINE, KERNEL_AT, RAMDISK_AT, READY
        from xenapic.lab.guestkernel import cmdline as with_delay
        from xenapic.lab.machines import machine

        emulator = machine(options.get("machine", self.machine)).emulator
        words = with_delay(IPS // 1000) if emulator == "bochs" else CMDLINE
        with self.start(**{"guest_kernel": "debian", **options}) as session:
            result = session.run(
                [
                    "xenapic", "boot", "--kernel", KERNEL_AT, "--ramdisk", RAMDISK_AT, "--expect", READY,
                    "--native-tsc", "--memory", str(memory), "--vcpus", str(vcpus), *arguments,
                    "--", words, cmdline,
                ]
            )  # fmt: skip
            if result.status:
                raise LabError(f"the guest did not boot: {result.stderr.decode(errors='replace')}")
            yield BootedGuest(int(result.stdout), session)


@dataclass(frozen=True)
class BootedGuest:
    """A guest that runs in the lab, by its number, and the machine that it runs in."""

    domid: int
    session: Session

    def run(self, command: Sequence[str], **options: Any) -> RunResult:
        """Run `command` in dom0; `options` are those of `xenapic.lab.Session.run`."""
        return self.session.run(command, **options)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose what `xen_lab` boots."""
    group = parser.getgroup("xen", "a real Xen in an emulated machine (xenapic)")
    group.addoption("--xen-machine", default="epyc", help="machine to boot (xenapic lab list)")
    group.addoption("--xen-release", default="4.17", help="Xen to boot: a release (xenapic lab list)")
    group.addoption(
        "--xenapic-xen",
        default=None,
        metavar="NAME|PATH",
        help="Xen to boot instead: one that was added to the lab, or the path of a tree with a built one",
    )
    group.addoption(
        "--xen-required",
        action="store_true",
        help="fail instead of skipping when the lab cannot work on this machine",
    )


@pytest.fixture(scope="session")
def xen_lab(request: pytest.FixtureRequest) -> XenLab:
    """A real Xen, or a skip that says what this machine lacks (`--xen-required`: a failure)."""
    from xenapic.lab import catalog
    from xenapic.lab.emulators import check
    from xenapic.lab.errors import FetchFailed, LabPrerequisite
    from xenapic.lab.machines import machine

    config = request.config
    xen = config.getoption("--xenapic-xen") or config.getoption("--xen-release")
    try:
        lab = XenLab(config.getoption("--xen-machine"), catalog.find(xen).version)
        check(machine(lab.machine))
        catalog.ensure(catalog.find(lab.xen), lambda text: None)
    except (LabPrerequisite, FetchFailed) as error:
        if config.getoption("--xen-required"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    return lab
