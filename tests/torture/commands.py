"""What is killed: every command that changes something on the host, and programs that use the library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["COMMANDS", "KERNELS", "PROGRAM", "READERS", "TREE", "Killed", "Need"]

PROGRAM = "program:"
"""Marks a function of `tests.torture.programs` in place of a subcommand."""


KERNELS = {"/tmp/waits": b"\xf4\xeb\xfd", "/tmp/faults": b"\x0f\x0b"}
"""Kernels to boot, by file: one that halts forever (hlt; jmp), and one that ends at once (ud2 without an IDT)."""


TREE = "/tmp/xtf"
"""A tree of XTF, with a few tests."""


class Need(Enum):
    """What must be there before the command is started."""

    NOTHING = ""
    TARGETS = "three domains that the command may destroy"
    ORPHANS = "two domains whose creator was killed"
    GUEST = "a paused HVM-type domain"
    LEFT_ON = "tracing that a killed tracer left on"


@dataclass(frozen=True)
class Killed:
    """A command that is killed at random moments."""

    name: str
    argv: tuple[str, ...]
    """Arguments of ``xenapic``; ``{domid}`` stands for the domain that `need` made, ``{domids}`` for all."""
    need: Need = Need.NOTHING
    unwinds: bool = True
    """Whether SIGTERM and SIGHUP let it put things back: commands do; a program that uses the library need not."""
    weight: int = 4
    """How often it is chosen, compared with the others: slow commands less often."""

    @property
    def program(self) -> str:
        """The name of a function in `tests.torture.programs`; empty for a command."""
        return self.argv[0].removeprefix(PROGRAM) if self.argv[0].startswith(PROGRAM) else ""


COMMANDS = (
    Killed("create, PV", ("create", "--type", "pv")),
    Killed("create, PVH with memory", ("create", "--vcpus", "2", "--memory", "16", "--json")),
    Killed("create with a policy", ("create", "--prefer", "tpr_shadow")),
    Killed("destroy", ("destroy", "{domids}"), Need.TARGETS),
    Killed("destroy --orphans", ("destroy", "--orphans"), Need.ORPHANS),
    Killed("boot", ("boot", "--kernel", "/tmp/waits", "--memory", "16", "--json")),
    Killed(
        "boot --expect",
        ("boot", "--kernel", "/tmp/waits", "--memory", "16", "--expect", "x", "--timeout", "0.3"),
    ),
    Killed("boot --console", ("boot", "--kernel", "/tmp/faults", "--memory", "16", "--console")),
    Killed("xtf", ("xtf", TREE, "--quiet")),
    Killed("host --probe", ("host", "--probe"), weight=2),
    Killed("host --measure", ("host", "--measure"), weight=2),
    Killed("plan --measure", ("plan", "--prefer", "tpr_shadow", "--measure"), weight=1),
    Killed("inspect", ("inspect", "{domid}"), Need.GUEST, weight=1),
    Killed("console --clear", ("console", "--clear"), weight=1),
    Killed("exits", ("exits", "{domid}", "--seconds", "0.3"), Need.GUEST),
    Killed("exits --recover", ("exits", "--recover"), Need.LEFT_ON, weight=3),
    Killed("verify", ("verify", "--quiet", "--state", "xapic"), weight=1),
    Killed("verify --trace", ("verify", "--quiet", "--state", "xapic", "--trace")),
    Killed("verify --refusals", ("verify", "--quiet", "--no-probe", "--refusals", "--trace"), weight=1),
    Killed("workload", ("workload", "tpr", "--operations", "100", "--runs", "1"), weight=1),
    Killed("python -m xenapic.verify", (f"{PROGRAM}recorder",), weight=1),
    Killed("library: with create_domain", (f"{PROGRAM}with_block",), unwinds=False),
    Killed("library: probe guest", (f"{PROGRAM}probe",), unwinds=False, weight=2),
    Killed("library: ExitCounter", (f"{PROGRAM}count", "{domid}"), Need.GUEST, unwinds=False, weight=2),
    Killed("library: threads", (f"{PROGRAM}threads",), unwinds=False, weight=2),
)

READERS = frozenset(
    [
        "info",
        "list",
        "find",
        "access",
        "explain",
        "spec",
        "schema",
        "completion",
        "lab",
        "validate",
        "guest",
        "explore",
        "proposal",
        "abi",
    ]
)
"""Commands that change nothing on the host they run on."""
