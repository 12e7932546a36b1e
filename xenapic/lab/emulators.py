"""How each emulator is started: command lines, and the files they need. Nothing is started here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from xenapic.lab import bochs, bootdisk
from xenapic.lab.errors import LabPrerequisite
from xenapic.lab.frames import CHANNEL_MAGIC, CHANNEL_SIZE
from xenapic.lab.machines import Machine
from xenapic.lab.programs import need
from xenapic.lab.xens import XenFiles

XEN_ARGS = (
    "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all bootscrub=0 spec-ctrl=no xpti=no cpufreq=none"
).split()
SKIPPED_INITCALLS = (
    # Self-tests, certificates for signatures, and a jitter random number generator.
    "blake2s_mod_init", "crypto_kdf108_init", "jent_mod_init", "load_system_certificate_list",
    # Tracing of the kernel's own functions and events.
    "init_kprobe_trace", "trace_eval_init", "tracer_init_tracefs",
    # Each of these makes the kernel parse its type information for BPF programs if none did before.
    "bpf_dummy_struct_ops_init", "bpf_key_sig_kfuncs_init", "bpf_prog_test_run_init", "bpf_rstat_kfunc_init",
    "bpf_tcp_ca_kfunc_init", "cubictcp_register", "kfunc_init",
    # A clock that is slow to read in an emulator.
    "init_acpi_pm_clocksource",
)  # fmt: skip
"""Functions of dom0's kernel that take seconds at its start; dom0 uses none of what they set up."""
DOM0_ARGS = (
    *"console=hvc0 quiet mitigations=off rodata=off swiotlb=512 nopti cryptomgr.notests".split(),
    *"noreplace-paravirt noreplace-smp audit=0".split(),
    f"initcall_blacklist={','.join(SKIPPED_INITCALLS)}",
)


@dataclass(frozen=True)
class Memory:
    """How many megabytes the machine has, and how many of them dom0."""

    machine: int
    dom0: int

    @property
    def xen_arg(self) -> str:
        """Xen's option."""
        return f"dom0_mem={self.dom0}M,max:{self.dom0}M"


SMALL = Memory(512, 192)
WITH_GUESTS = Memory(1024, 352)
"""Room for a guest with a Linux kernel, and for dom0 to load it."""


@dataclass(frozen=True)
class Guest:
    """Everything that is put into the emulated machine for one run."""

    xen: XenFiles
    overlay: Path
    channel: Path
    xen_args: tuple[str, ...] = ()
    dom0_args: tuple[str, ...] = ()
    memory: Memory = SMALL
    files: Mapping[str, Path] = field(default_factory=dict)
    """Files that dom0 gets with its first job, by their place there."""


@dataclass(frozen=True)
class Start:
    """A command line, and how long each stage of its machine may take, in seconds."""

    argv: tuple[str, ...]
    limits: dict[str, float]
    env: dict[str, str] = field(default_factory=dict)
    save: str = ""
    """What makes the emulator write its state into its working directory and end, on its standard input."""
    saved: str = ""
    """What it prints when that has worked."""


def make_channel(path: Path) -> None:
    """Make an empty channel disk; the file is sparse, so it uses only what is written."""
    with path.open("wb") as stream:
        stream.write(CHANNEL_MAGIC)
        stream.truncate(CHANNEL_SIZE)


def initrd(guest: Guest, run_dir: Path) -> Path:
    """Write the kernel's initial files: those of the release, followed by those of this run."""
    path = run_dir / "initrd"
    with path.open("wb") as out:
        for part in (*guest.xen.archives, guest.overlay):
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, out, 1 << 20)
    return path


QEMU = "qemu-system-x86_64"
QEMU_LIMITS = {"load": 30.0, "Xen": 30.0, "dom0": 60.0, "restore": 30.0}
# SMAP kills dom0 at its first return to user mode in TCG; RDTSCP breaks HVM guests;
# MONITOR makes newer Xen idle in a way TCG does not wake from.
QEMU_CPU = "EPYC,-smap,-monitor,-rdtscp"
# QEMU does not raise #NM for XSAVE and XRSTOR while CR0.TS is set. Xen sets TS to restore a vCPU's vector
# registers late, so a kernel saved those of another domain as its own, and a program in dom0 died of it.
QEMU_XEN_ARGS = ("spec-ctrl=eager-fpu",)


def qemu(guest: Guest, run_dir: Path, serial: str, *more: str) -> Start:
    """Return how to start QEMU with software emulation; `serial` is a character device's description."""
    xen_args = [*XEN_ARGS, *QEMU_XEN_ARGS, guest.memory.xen_arg, *guest.xen_args]
    dom0_args = [*DOM0_ARGS, *guest.dom0_args]
    modules = f"{_escaped(str(guest.xen.kernel))} {_escaped(' '.join(dom0_args))}"
    argv = (
        QEMU, "-machine", "pc", "-accel", "tcg,thread=single", "-cpu", QEMU_CPU,
        "-m", str(guest.memory.machine),
        "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
        "-chardev", f"{serial},id=com1", "-serial", "chardev:com1",
        "-kernel", str(guest.xen.hypervisor),
        "-initrd", f"{modules},{_escaped(str(initrd(guest, run_dir)))}",
        "-append", " ".join(xen_args),
        # QEMU's own snapshot mode: the cached root is opened for reading only, by any number of runs.
        "-drive", f"if=ide,index=0,format=raw,snapshot=on,file={_escaped(str(guest.xen.root))}",
        # On a full disk QEMU would stop the machine without a word; like this, dom0 sees an error.
        "-drive", f"if=ide,index=2,format=raw,cache=unsafe,werror=report,file={_escaped(str(guest.channel))}",
        *more,
    )  # fmt: skip
    return Start(argv, QEMU_LIMITS, {"TMPDIR": str(run_dir)})


def qemu_to_save(guest: Guest, run_dir: Path, serial: Path) -> Start:
    """Return how to start QEMU so that it takes commands from its standard input."""
    start = qemu(guest, run_dir, _file(serial), "-monitor", "stdio")
    return replace(start, save=SAVE, saved=SAVED)


def qemu_to_restore(guest: Guest, run_dir: Path, serial: Path, state: int) -> Start:
    """Return how to start QEMU so that it reads its state from the descriptor `state`, then runs."""
    return qemu(guest, run_dir, _file(serial), "-incoming", f"fd:{state}")


SAVED_STATE = "state"
"""In the emulator's working directory: QEMU's file, or Bochs's directory."""
SAVE = f"""\
migrate_set_parameter max-bandwidth 16g
migrate "exec:cat >{SAVED_STATE}"
info migrate
quit
"""
SAVED = "Migration status: completed"


def _file(path: Path) -> str:
    return f"file,path={_escaped(str(path))}"


def _escaped(text: str) -> str:
    return text.replace(",", ",,")


BOCHS_LIMITS = {"load": 60.0, "Xen": 90.0, "dom0": 180.0, "restore": 30.0}
# Bochs's idle states and time-stamp counter are not what the kernel expects of real ones.
# Bochs 2.7 sometimes restores a wrong FPU state from XSAVE's compacted form: of 40 starts of
# Python in dom0 1 (ryzen) and 2 (corei7_skylake_x) crashed; without that form none of 80.
BOCHS_XEN_ARGS = ("dom0_max_vcpus=1 mwait-idle=0 cpuidle=0 cpuid=no-xsavec,no-xsaves").split()
BOCHS_DOM0_ARGS = "nokaslr tsc=reliable".split()


def bochs_start(machine: Machine, guest: Guest, run_dir: Path, serial: str) -> Start:
    """Return how to start Bochs as `machine`; `serial` is a mode and device of com1."""
    program, bochsrc = bochs.program(), run_dir / "bochsrc"
    _write_boot_disk(machine, guest, run_dir / bochs.BOOT_DISK)
    bochsrc.write_text(bochs_configuration(program, machine, guest, run_dir, serial))
    return Start(bochs.command(program, bochsrc, run_dir / "debugger"), BOCHS_LIMITS, program.env)


def bochs_to_save(machine: Machine, guest: Guest, run_dir: Path, serial: Path, into: Path) -> Start:
    """Return how to start Bochs so that it saves its state into the directory `into`, as it is told to."""
    program, bochsrc, state = bochs.program(), run_dir / "bochsrc", into / SAVED_STATE
    argv = bochs.command_to_save(program, bochsrc)
    # Kept, because a restored Bochs compares the time of its disk with the one that it saved.
    _write_boot_disk(machine, guest, into / bochs.BOOT_DISK)
    (run_dir / bochs.BOOT_DISK).symlink_to(into / bochs.BOOT_DISK)
    bochsrc.write_text(bochs_configuration(program, machine, guest, run_dir, _mode_file(serial)))
    state.mkdir()
    # Bochs copies the channel, which has a gigabyte, mostly holes; each run brings its own.
    (state / BOCHS_CHANNEL).symlink_to("/dev/null")
    return Start(argv, BOCHS_LIMITS, program.env, bochs.SAVE.format(directory=SAVED_STATE), bochs.SAVED)


def bochs_to_restore(
    machine: Machine, guest: Guest, run_dir: Path, serial: Path, saved: Path
) -> tuple[Start, Path]:
    """Return how to start Bochs so that it continues from what it left in the directory `saved`.

    The second value is the file that it copies onto the channel before it runs.
    """
    program, state = bochs.program(), run_dir / SAVED_STATE
    state.mkdir()
    for file in (saved / SAVED_STATE).iterdir():
        if file.name not in (BOCHS_CHANNEL, bochs.STATE_CONFIG):
            (state / file.name).symlink_to(file)
    (run_dir / bochs.BOOT_DISK).symlink_to(saved / bochs.BOOT_DISK)
    plugins = bochs.plugins_in_order(saved / SAVED_STATE)
    (state / bochs.STATE_CONFIG).write_text(
        bochs_configuration(program, machine, guest, run_dir, _mode_file(serial), plugins)
    )
    make_channel(state / BOCHS_CHANNEL)
    return Start(bochs.command_to_restore(program, state), BOCHS_LIMITS, program.env), state / BOCHS_CHANNEL


BOCHS_CHANNEL = "hard_drive.1.drive0.image"
"""The channel in Bochs's saved state."""


def _mode_file(serial: Path) -> str:
    return f"mode=file, dev={serial}"


def _write_boot_disk(machine: Machine, guest: Guest, path: Path) -> None:
    dom0_args = [*DOM0_ARGS, *BOCHS_DOM0_ARGS, *machine.dom0_args, *guest.dom0_args]
    xen_args = [*XEN_ARGS, *BOCHS_XEN_ARGS, guest.memory.xen_arg, *guest.xen_args]
    archives = b"".join(part.read_bytes() for part in (*guest.xen.archives, guest.overlay))
    modules = [
        (guest.xen.kernel.read_bytes(), f"vmlinux {' '.join(dom0_args)}"),
        (archives, "initrd"),
    ]
    with path.open("wb") as out:
        xen = guest.xen.hypervisor.read_bytes()
        bootdisk.write_boot_disk(out, xen, f"xen {' '.join(xen_args)}", modules, guest.memory.machine)


def bochs_configuration(
    program: bochs.Program,
    machine: Machine,
    guest: Guest,
    run_dir: Path,
    serial: str,
    plugins: str = bochs.PLUGINS,
) -> str:
    """Return the bochsrc of a run, and give the run its root disk."""
    # Bochs puts its lock and its journal next to the name it is given: not into the cache.
    (run_dir / bochs.ROOT_DISK).symlink_to(guest.xen.root)
    return bochs.configuration(
        program,
        machine.name,
        run_dir=run_dir,
        channel=guest.channel,
        serial=serial,
        megabytes=guest.memory.machine,
        plugins=plugins,
    )


def check(machine: Machine, progress: Callable[[str], None] = lambda text: None) -> None:
    """Raise `LabPrerequisite` if the emulator of `machine` is not installed and cannot be fetched."""
    if machine.emulator == "qemu":
        need(QEMU, "setpriv")
        return
    need("setpriv")
    program = bochs.program(progress)
    if program.note:
        progress(program.note)
    if program.version < machine.since:
        raise LabPrerequisite(
            f"machine {machine.name} needs Bochs {bochs.text(machine.since)}; "
            f"{program.argv[0]} is {bochs.text(program.version)}"
        )


def start(machine: Machine, guest: Guest, run_dir: Path, serial: Path) -> Start:
    """Return how to start `machine` with its first serial port in the file `serial`."""
    if machine.emulator == "qemu":
        return qemu(guest, run_dir, _file(serial))
    return bochs_start(machine, guest, run_dir, _mode_file(serial))


def to_save(machine: Machine, guest: Guest, run_dir: Path, serial: Path, into: Path) -> Start:
    """Return how to start `machine` so that it can save its state into the directory `into`.

    Raises `SnapshotUnusable` if it cannot.
    """
    if machine.emulator == "qemu":
        return qemu_to_save(guest, run_dir, serial)
    return bochs_to_save(machine, guest, run_dir, serial, into)


def identity(machine: Machine) -> tuple[object, ...]:
    """Return what a snapshot of `machine` depends on, beside what is put into it."""
    if machine.emulator == "qemu":
        program = Path(shutil.which(QEMU) or "").resolve()
        return (identity_of(program), QEMU_XEN_ARGS, QEMU_CPU, SAVE)
    bochs_program = bochs.program()
    options = bochs.configuration(
        bochs_program, machine.name, run_dir=Path(), channel=Path(), serial="", megabytes=0
    )
    files = [identity_of(Path(word)) for word in bochs_program.argv if Path(word).is_file()]
    return (*files, bochs_program.version, BOCHS_XEN_ARGS, BOCHS_DOM0_ARGS, options)


def identity_of(file: Path) -> tuple[str, int, int]:
    """Return what tells a file from a changed one without reading it."""
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def terminal(machine: Machine, guest: Guest, run_dir: Path, device: str) -> Start:
    """Return how to start `machine` with its first serial port on the terminal `device`."""
    if machine.emulator == "qemu":
        return qemu(guest, run_dir, f"serial,path={_escaped(device)}")
    return bochs_start(machine, guest, run_dir, f"mode=term, dev={device}")
