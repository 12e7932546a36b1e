"""Mutated inputs for every reader: each must end in a result or in an error of ours.

The tests run a share of it. All of it, from the root of the source tree::

    python -m tests.fuzz [--number 100000] [--seed 0] [--reader NAME]... [--corpora DIRECTORY]...

Prints a line for each reader, and each input that ended otherwise; exit status 1 if there is one. A directory of
``--corpora`` adds seeds: every file in it, for the readers of its kind.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import os
import random
import sys
import tarfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests import dumps
from tests.hosts import INTEL_LOG, host
from xenapic.apic.lookup import look_up
from xenapic.apic.processors import PROCESSORS, processor
from xenapic.documents import from_json, to_json
from xenapic.errors import XenApicError
from xenapic.glossary.pasted.read import read_text
from xenapic.model.cpuinfo import host_from_cpuinfo
from xenapic.model.fates import fates
from xenapic.model.logged import decoded, host_from_info, host_from_log
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, xen_release
from xenapic.parse.bootlog import parse
from xenapic.parse.hostinfo import parse_host_info
from xenapic.parse.jsontext import load
from xenapic.parse.vmcsdump import read_dump
from xenapic.parse.xenversion import find_version, parse_version
from xenapic.policy.plan import plan
from xenapic.policy.pool import plan_pool
from xenapic.policy.read import Syntax, read_policy
from xenapic.policy.terms import Aspect, Policy, Want
from xenapic.toolstack.request import derive_request
from xenapic.verify.checks import check_recording
from xenapic.verify.recording import read_recording

DATA = Path(__file__).parent / "data"
SLOW_SECONDS = 5.0
"""An input that takes longer hangs, for its size."""
PYTHON_WORDS = ("Traceback", "NoneType", "KeyError", "AttributeError", "TypeError", "object has no attribute")
"""Words that no error of ours has, unless the input has them."""


# -- seeds --------------------------------------------------------------------------------------------


def log_seeds() -> Iterator[bytes]:
    """Boot logs, as a console ring or a file holds them."""
    yield INTEL_LOG
    yield b"(XEN) Built-in command line: apicv=0\n" + INTEL_LOG + b"(d1) x\n"
    yield b"(XEN) Xen version 4.17.7\n(XEN) SVM: Supported advanced features:\n(XEN)  - none\n(XEN) HVM: SVM enabled\n"
    yield b"(XEN) [2026-01-01 10:00:00] Command line: apicv=0 console=com1\n(d1) a guest's line\n(XEN) Xen stopped\n"
    for path in sorted(DATA.rglob("*.log")):
        yield path.read_bytes()


def archive_seeds() -> Iterator[bytes]:
    """Archives and compressed files with a boot log in them."""
    members = {"a/xl-dmesg.out": INTEL_LOG, "a/xl-info.out": HOST_INFO, "a/b.txt": b"x"}
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=mode) as archive:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        yield made.getvalue()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(zipfile.ZipInfo(name), content)
    yield made.getvalue()
    yield gzip.compress(INTEL_LOG, mtime=0)


HOST_INFO = (
    b"nr_cpus : 16\nhw_caps : bfebfbff:77fef3ff:2c100800:00000121:0000000f:d19ffffb:00000008:00000100\n"
    b"virt_caps : pv hvm hvm_directio hap\ntotal_memory : 65168\nfree_memory : 40000\nxen_version : 4.17.5\n"
    b"xen_caps : xen-3.0-x86_64\nxen_commandline : placeholder\n"
)


def host_info_seeds() -> Iterator[bytes]:
    """What toolstacks say about a host."""
    yield HOST_INFO
    yield (
        b"software-version (MRO): product_version: 8.2.1; xen: 4.13.5-9.36\n chipset-info (MRO): iommu: true\n"
        b"cpu_info (MRO): cpu_count: 16; vendor: GenuineIntel; modelname: Xeon Gold 6242; family: 6; model: 85; stepping: 7\n"
    )
    yield b"cpu_count : 8\n vendor: AuthenticAMD\n family: 23\n model: 49\n stepping: 0\n flags: fpu svm\n"


def dump_seeds() -> Iterator[bytes]:
    """VMCS dumps of one and of several domains and vCPUs."""
    domains = {1: [dumps.Vcpu(), dumps.Vcpu(dumps.X2APIC, 1, 2)], 7: [dumps.Vcpu(None)], 9: []}
    yield dumps.ring(dumps.dump_lines(domains))
    yield dumps.ring(dumps.dump_lines({1: [dumps.Vcpu()]}))
    yield "".join(f"(XEN) {line}\n" for line in dumps.old(dumps.dump_lines(domains))).encode()


def toml_seeds() -> Iterator[bytes]:
    """Policies in TOML."""
    wants = [want.value for want in Want]
    aspects = "\n".join(
        f'{aspect.value} = "{wants[number % len(wants)]}"' for number, aspect in enumerate(Aspect)
    )
    yield f'[apic]\n{aspects}\neffects = ["x2apic-reads-stay"]\nguest_type = "pvh"\n'.encode()
    yield b'[apic]\nassisted_xapic = true\nassisted_x2apic = "default"\nguest_x2apic = false\naccept = []\n'
    yield b"# a comment\n[apic]\ntpr_shadow = 'forbid'\neffects = [ \"x2apic-reads-stay\", ]\n"
    for path in sorted(DATA.rglob("*.toml")):
        yield path.read_bytes()


HEAD = b"name = 'guest'\nkernel = '/vmlinuz'\n"
"""What every xl.cfg must have."""


def xl_cfg_seeds() -> Iterator[bytes]:
    """Domain configurations of xl."""
    yield HEAD + b'type = "pvh"\nassisted_xapic = 1\nvcpus = 2\ncpuid = "host,x2apic=0"\n'
    yield (
        b"name = 'g'\n"
        b'vcpus = 0x10\nmemory += "512"   # MiB\ndisk = [ \'a,hda,w\', [ "b", [] ], ]\n'
        b'assisted_xapic = 1\non_crash = "\\n\\123\\"\\\\"\n'
    )
    yield (
        HEAD
        + b"builder=\"hvm\"; disk = [ 'a', \"b\", ]\ncpuid=['0x1:ecx=xxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx']\n"
    )
    for path in sorted(DATA.rglob("xlcfg*.json")):
        for case in json.loads(path.read_text()):
            yield HEAD + str(case["input"]).encode("latin-1", "replace")
    for path in sorted(DATA.rglob("*.cfg")):
        yield path.read_bytes()


def toolstack_seeds() -> Iterator[bytes]:
    """What toolstacks read: an xl.cfg, or libvirt's XML."""
    yield from xl_cfg_seeds()
    yield (
        b"<domain type='xen'><name>g</name><memory unit='MiB'>256</memory><vcpu>2</vcpu><os><type>xenpvh</type>"
        b"<kernel>/vmlinuz</kernel></os><features><acpi/><apic/></features></domain>"
    )
    for path in sorted(DATA.rglob("*.xml")):
        yield path.read_bytes()


def report_seeds() -> Iterator[bytes]:
    """Hosts, plans, refusals and pools."""
    hosts = [
        host(),
        named_host(PROCESSORS["skylake-sp"], XEN_RELEASES[-1]),
        named_host(PROCESSORS["zen2"], XEN_RELEASES[2]),
    ]
    policy = Policy(aspects={Aspect.X2APIC_MODE: Want.REQUIRE}, effects=("x2apic-reads-stay",))
    values: list[object] = [*hosts, *(plan(policy, one) for one in hosts), plan(Policy(), hosts[0])]
    values.append(plan_pool(policy, {"first": hosts[0], "second": hosts[1]}))
    for value in values:
        yield json.dumps(to_json(value)).encode()


CPUINFO = b"""processor : 0
vendor_id : GenuineIntel
cpu family : 6
model : 158
model name : Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz
stepping : 10
flags : fpu vme apic vmx x2apic tpr_shadow flexpriority ept vpid
vmx flags : vnmi preemption_timer posted_intr flexpriority apicv vtpr vapic ept vapic_reg vid ple
"""


def cpuinfo_seeds() -> Iterator[bytes]:
    """What Linux says about a processor, as it prints it and as lscpu does."""
    yield CPUINFO
    yield CPUINFO.replace(b" : ", b"\t: ") + b"\n" + CPUINFO.replace(b"processor : 0", b"processor : 1")
    yield CPUINFO.replace(b"GenuineIntel", b"AuthenticAMD").replace(b"vmx", b"svm avic x2avic")
    yield b"Vendor ID: GenuineIntel\nCPU family: 6\nModel: 85\nStepping: 7\nFlags: vmx apicv\n"


def word_seeds() -> Iterator[bytes]:
    """Versions of Xen and names of processors, as people write them."""
    for word in (
        *(
            "4.17.3",
            "4.17.3-1",
            "4.17.5-15.2.xcpng8.3",
            "4.20.0-1.fc42",
            "4.17-rc",
            "4.13.1",
            "Xen 4.20-unstable",
        ),
        *("806ea", "06-8e-0a", "06_8EH", "i7-10710U", "Xeon Silver 4510", "EPYC 7763", "ryzen 9 5950x"),
        *("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "coffee-lake", "zen3"),
    ):
        yield word.encode()


def pasted_seeds() -> Iterator[bytes]:
    """What people paste: the questions that the tests have, logs, dumps."""
    for name in ("asked.json", "asked_more.json"):
        for case in json.loads((DATA / name).read_text()):
            if case["args"][0] == "explain":
                yield str(case.get("input") or " ".join(case["args"][1:])).encode()
    yield from (seed[:4000] for seed in (*log_seeds(), *dump_seeds()))


def recording_seeds() -> Iterator[bytes]:
    """Recordings, each with one or two of its guests: the others only cost time."""
    for path in sorted(DATA.rglob("*.json")):
        data = json.loads(path.read_text())
        if isinstance(data, dict) and "xen_options" in data:
            guests = data["guest"]
            yield json.dumps({**data, "guest": guests[:1]}).encode()
            for guest in guests[1:3]:
                lists = ("accesses", "extra", "page", "msrs", "deliveries")
                short = {key: value[:4] if key in lists else value for key, value in guest.items()}
                yield json.dumps({**data, "create": data["create"][:3], "guest": [short]}).encode()


# -- readers ------------------------------------------------------------------------------------------


def read_log(data: bytes) -> object:
    """Read a boot log as a console ring and as a saved log, and describe its host."""
    for start in (0, 5):
        ring = parse(data, start, "")
        assert ring.technology or not ring.features
    logged = host_from_log(data).host
    assert all(fact.source for fact in logged.features.values())
    return to_json(host(log=data)), to_json(logged)


def read_word(data: bytes) -> object:
    """Take a word for a version of Xen, for a release and for a processor."""
    word = data.decode("latin-1")
    version = parse_version(word)
    found = (version and fates(version), find_version(word), look_up(word))
    if not any(found):
        xen_release(word)
        processor(word)
    return found


def read_paste(data: bytes) -> object:
    """Say what a paste means, with and without a host and a version."""
    text = data.decode("utf-8", "replace")
    pasted = read_text(text, parse_version("4.17.3"), host())
    assert read_text(text).lines == pasted.lines >= pasted.unread >= 0
    assert all(meaning.title for meaning in pasted.meanings)
    return pasted


def read_archive(data: bytes) -> object:
    """Read an archive with a log, and what is compressed."""
    return to_json(host_from_log(data, name="a.tar").host)


def read_host_info(data: bytes) -> object:
    """Read what ``xl info`` or ``xe`` says, and describe its host."""
    return to_json(host_from_info(parse_host_info(decoded(data), "info.txt")).host)


def read_report(data: bytes) -> object:
    """Read a document; what is written of it reads back equal."""
    value = from_json(data)
    assert from_json(json.dumps(to_json(value))) == value
    return value


def read_and_check(data: bytes) -> object:
    """Read a recording, and compare it with the model."""
    return check_recording(read_recording(load(data)), "fuzz")


@dataclass(frozen=True)
class Reader:
    """A reader, its seeds, and how to change them."""

    read: Callable[[bytes], object]
    seeds: Callable[[], Iterator[bytes]]
    suffixes: tuple[str, ...]
    """Names of files in a corpus that are seeds."""
    words: tuple[bytes, ...] = ()
    """What to insert besides `WORDS`."""
    is_json: bool = False


READERS = {
    "boot-log": Reader(
        read_log,
        log_seeds,
        (".log",),
        (
            b"(XEN) ",
            b"(XEN)  - ",
            b"VMX: Supported advanced features:",
            b" - none",
            b"(d1) ",
            b"\r",
            b"Command line: ",
        ),
    ),
    "archive": Reader(
        read_archive,
        archive_seeds,
        (".tar", ".gz", ".zip"),
        (b"PK\x03\x04", b"PK\x01\x02", b"ustar", b"\x1f\x8b\x08", b"../", b"\xff" * 8),
    ),
    "host-info": Reader(
        read_host_info,
        host_info_seeds,
        (".info",),
        (b"xen_version", b"hw_caps : ", b"virt_caps", b"cpu_info (MRO): ", b"; family: ", b": ", b"99999999"),
    ),
    "dump": Reader(
        lambda data: [read_dump(data, whole, 1, tag) for whole in (True, False) for tag in (None, (1, 2))],
        dump_seeds,
        (".dump",),
        (
            b"VCPU 1",
            b"*** Host State ***",
            b"*** Control State ***",
            dumps.START.encode(),
            dumps.END.encode(),
            b"0x",
        ),
    ),
    "toml": Reader(
        lambda data: [read_policy(data, "policy", syntax) for syntax in (Syntax.TOML, None)],
        toml_seeds,
        (".toml",),
        (
            b"[apic]",
            b"apic = ",
            b"require",
            b"1979-05-27",
            b"inf",
            b"'''",
            b'"""',
            b"{",
            b"}",
            b"a.b.c = ",
            b"0x_",
        ),
    ),
    "xl.cfg": Reader(
        lambda data: read_policy(data, "guest.cfg", Syntax.XL_CFG),
        xl_cfg_seeds,
        (".cfg", ".xl"),
        (
            b"type",
            b"builder",
            b"cpuid",
            b"x2apic",
            b"host",
            b"'",
            b'"',
            b"\\x",
            b"[",
            b"]",
            b"+=",
            b";",
            b"0x",
            b"name=",
        ),
    ),
    "toolstack": Reader(
        lambda data: derive_request(data.decode("latin-1")),
        toolstack_seeds,
        (".cfg", ".xl", ".xml"),
        (
            b"memory=64",
            b"vcpus=",
            b"<domain type='xen'>",
            b"<vcpu>",
            b"</",
            b"&lt;",
            b"<!DOCTYPE a>",
            b"type='hvm'",
        ),
    ),
    "cpuinfo": Reader(
        lambda data: to_json(host_from_cpuinfo(data, XEN_RELEASES[-1])),
        cpuinfo_seeds,
        (".cpuinfo",),
        (b"processor", b"vmx flags", b"model", b"stepping", b": ", b"apicv", b"AuthenticAMD"),
    ),
    "pasted": Reader(
        read_paste,
        pasted_seeds,
        (".paste",),
        (
            b"SecondaryExec=",
            b"reason ",
            b"0x",
            b"(XEN) ",
            b"flags=",
            b"errno ",
            b"fee000b0",
            b"\x1b[31m",
            b"4.17",
        ),
    ),
    "word": Reader(read_word, word_seeds, (), (b"4.", b"-rc", b"i7-", b"Xeon ", b"-1.el9", b"+dfsg")),
    "report": Reader(read_report, report_seeds, (".json",), is_json=True),
    "recording": Reader(read_and_check, recording_seeds, (".json",), is_json=True),
}


# -- mutations ----------------------------------------------------------------------------------------

WORDS = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\n", b"\r\n", b"\t", b" ", b"\xc2\xa0", b"\x1b[2J", b"\xed\xa0\x80"),
    *(
        b"-1",
        b"0",
        b"9" * 25,
        b"9" * 5000,
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b"0x",
        b"[" * 2000,
        b'{"a":' * 2000,
    ),
    *(b"=", b",", b":", b"[", b"]", b"{", b"}", b'"', b"'", b"\\", b"#", b"/"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        2**32,
        2**64,
        -(2**63),
        10**30,
        0.5,
        1e300,
        "",
        "yes",
        "unknown",
        "x" * 300,
    ),
    *(
        "4.17",
        "4.17-rc",
        "9.9",
        "\0",
        "\ud800",
        "0",
        "-0",
        "abc",
        [],
        {},
        [[]],
        [None],
        {"a": {}},
        {"value": -1, "names": []},
    ),
    *(
        {"value": 2**70, "names": ["x"]},
        ["tpr_shadow"],
        "2026-01-01T00:00:00+00:00",
        "0001-01-01T00:00:00+14:00",
    ),
)


def mutated(reader: Reader, seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """Return a seed with some changes."""
    seed = rng.choice(seeds)
    if reader.is_json and rng.random() < 0.75:
        return changed_json(seed, rng)
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        change_bytes(data, reader, seeds, rng)
    return bytes(data)


def change_bytes(data: bytearray, reader: Reader, seeds: Sequence[bytes], rng: random.Random) -> None:
    """Make one change to the bytes."""
    at = rng.randrange(len(data) + 1)
    length = rng.choice((1, 2, 8, 64, 512))
    match rng.randrange(9):
        case 0 if data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        case 1:
            del data[at : at + length]
        case 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(min(length, 8)))
        case 3:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
        case 4:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at:at] = other[start : start + length]
        case 5:
            del data[at:]
        case 6:
            lines = bytes(data).split(b"\n")
            lines.insert(rng.randrange(len(lines) + 1), lines.pop(rng.randrange(len(lines))))
            data[:] = b"\n".join(lines)
        case _:
            data[at:at] = rng.choice((*WORDS, *reader.words, *reader.words))


def changed_json(seed: bytes, rng: random.Random) -> bytes:
    """Return JSON text with some values of the document changed."""
    document = json.loads(seed)
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = change_value(document, rng)
    text = json.dumps(document).encode()
    return text.replace(b"0.5", b"NaN", 1) if rng.random() < 0.02 else text


def any_value(rng: random.Random) -> Any:
    """Return one of `VALUES`, which the caller may change."""
    return copy.deepcopy(rng.choice(VALUES))


def change_value(document: Any, rng: random.Random) -> Any:
    """Change, remove or add one value at a random place."""
    if not isinstance(document, (dict, list)) or not document or rng.random() < 0.05:
        return any_value(rng)
    key: Any = rng.choice(list(document)) if isinstance(document, dict) else rng.randrange(len(document))
    if isinstance(document[key], (dict, list)) and document[key] and rng.random() < 0.9:
        document[key] = change_value(document[key], rng)
        return document
    match rng.randrange(5):
        case 0:
            del document[key]
        case 1 if isinstance(document, dict):
            document[rng.choice(("", "later", "a b", "schema", str(rng.choice(VALUES))[:20]))] = (
                copy.deepcopy(document[key])
            )
        case 2 if isinstance(document, list):
            document.insert(key, any_value(rng))
        case 3:
            other = list(document.values()) if isinstance(document, dict) else document
            document[key] = copy.deepcopy(rng.choice(other))
        case _:
            document[key] = any_value(rng)
    return document


# -- running ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """An input that ended in neither a result nor a proper error of ours."""

    reader: str
    data: bytes
    what: str


@cache
def seeds_of(name: str, corpora: tuple[Path, ...] = ()) -> tuple[bytes, ...]:
    """Return the seeds of a reader, with those of the corpora."""
    reader = READERS[name]
    more = [
        path for folder in corpora for path in sorted(folder.rglob("*")) if path.suffix in reader.suffixes
    ]
    found = [*reader.seeds(), *(path.read_bytes() for path in more)]
    if reader.is_json:
        found = [seed for seed in found if is_object(seed)]
    return tuple(found)


def is_object(seed: bytes) -> bool:
    """Whether a file holds a JSON object."""
    return isinstance(json.loads(seed), dict)


def outcome(name: str, data: bytes) -> str | Failure:
    """Read one input: "result", the code of an error of ours, or what went wrong."""
    start = time.process_time()
    try:
        READERS[name].read(data)
        ended = "result"
    except XenApicError as error:
        ended = error.code
        message = str(error)
        words = [word for word in PYTHON_WORDS if word in message and word.encode() not in data]
        if words or not message or not is_printable(message):
            return Failure(name, data, f"the error's text: {message!r}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Failure(
            name, data, f"{type(error).__name__}: {str(error)[:200]} ({place.filename}:{place.lineno})"
        )
    seconds = time.process_time() - start
    return Failure(name, data, f"it took {seconds:.1f} s") if seconds > SLOW_SECONDS else ended


def is_printable(message: str) -> bool:
    """Whether the text can be written to a UTF-8 terminal."""
    try:
        message.encode()
    except UnicodeEncodeError:
        return False
    return True


def fuzz(
    name: str, number: int, seed: int = 0, corpora: tuple[Path, ...] = ()
) -> tuple[Counter[str], list[Failure]]:
    """Read so many mutated inputs; return how they ended, and the failures, one for each place."""
    rng = random.Random(f"{name} {seed}")
    seeds = seeds_of(name, corpora)
    counts: Counter[str] = Counter()
    failures: dict[str, Failure] = {}
    for data in seeds:
        judge(outcome(name, data), counts, failures)
    for _ in range(number):
        judge(outcome(name, mutated(READERS[name], seeds, rng)), counts, failures)
    return counts, list(failures.values())


def judge(ended: str | Failure, counts: Counter[str], failures: dict[str, Failure]) -> None:
    """Count an outcome; keep the shortest input of each failure."""
    if isinstance(ended, str):
        counts[ended] += 1
        return
    counts["FAILED"] += 1
    known = failures.get(ended.what)
    if known is None or len(ended.data) < len(known.data):
        failures[ended.what] = ended


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--number", type=int, default=100_000, help="inputs for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, action="append")
    parser.add_argument("--corpora", type=Path, action="append", default=[], metavar="DIRECTORY")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="write inputs that failed here")
    asked = parser.parse_args()
    failed = False
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        runs = {
            pool.submit(fuzz, name, asked.number, asked.seed, tuple(asked.corpora)): name
            for name in asked.reader or READERS
        }
        for run in as_completed(runs):
            counts, failures = run.result()
            failed = failed or bool(failures)
            report(runs[run], counts, failures, asked.keep)
    sys.exit(failed)


def report(name: str, counts: Counter[str], failures: Sequence[Failure], keep: Path | None) -> None:
    """Print how the inputs of a reader ended, and keep those that failed."""
    shown = ", ".join(f"{count} {ended}" for ended, count in counts.most_common())
    print(f"{name}: {counts.total()} inputs: {shown}", flush=True)
    for number, failure in enumerate(failures):
        print(f"  {failure.what}: {failure.data[:300]!r}", flush=True)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name}-{number}").write_bytes(failure.data)


if __name__ == "__main__":
    main()
