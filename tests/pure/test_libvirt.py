"""libvirt's XML: what its Xen driver asks libxl for, what it refuses, and input that nobody should trust."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.errors import PolicyInvalid, ToolstackRefused
from xenapic.model.guest_types import GuestType
from xenapic.parse.domainxml import looks_like_xml, read_domain_xml
from xenapic.toolstack.libvirt import PATHS, parse
from xenapic.toolstack.request import Evidence, Syntax, derive_request

SHARED = 0x32F
"""An IOMMU that shares page tables with HAP."""


def domain(
    inner: str = "", kind: str = "hvm", memory: str = "<memory>524288</memory>", more: str = ""
) -> str:
    return f"<domain type='xen'><name>a</name>{memory}<os><type>{kind}</type>{more}</os>{inner}</domain>"


def refusal(text: str, **host: Any) -> ToolstackRefused:
    with pytest.raises(ToolstackRefused) as caught:
        derive_request(text, **host)
    return caught.value


def test_types() -> None:
    for kind, guest, flags, emulation in (
        ("hvm", GuestType.HVM, 3, 0x3FF),
        ("xenpvh", GuestType.PVH, 3, 1),
        ("xen", GuestType.PV, 0, 0),
        ("linux", GuestType.PV, 0, 0),
    ):
        derived = derive_request(domain(kind=kind))
        assert derived.guest_type is guest
        assert derived.fields["flags"] == flags
        assert derived.fields["arch.emulation_flags"] == emulation
        assert (derived.evidence, derived.syntax) == (Evidence.SOURCE, Syntax.LIBVIRT)
    legacy = domain().replace("<os><type>hvm</type></os>", "<bootloader>pygrub</bootloader>")
    assert derive_request(legacy).guest_type is GuestType.PV


def test_defaults_equal_xls() -> None:
    xml, cfg = derive_request(domain()), derive_request('name="a"\ntype="hvm"\nmemory=512\n')
    assert xml.fields == cfg.fields


def test_fields() -> None:
    inner = (
        "<vcpu current='2'>4</vcpu><features><hap state='off'/></features>"
        "<devices><controller type='xenbus' maxEventChannels='2047' maxGrantFrames='32'/>"
        "<controller type='usb' maxGrantFrames='7'/></devices>"
    )
    fields = derive_request(domain(inner)).fields
    assert fields["max_vcpus"] == 4
    assert fields["flags"] == 1
    assert fields["max_evtchn_port"] == 2047
    assert fields["max_grant_frames"] == 32
    assert fields["max_maptrack_frames"] == -1
    none = "<devices><controller type='xenbus' maxEventChannels='-1' maxGrantFrames='0'/></devices>"
    assert derive_request(domain(none)).fields["max_evtchn_port"] == 1023
    assert derive_request(domain(none)).fields["max_grant_frames"] == -1


@pytest.mark.parametrize(
    ("features", "flags"),
    [
        ("", 0x03),
        ("<feature policy='require' name='vmx'/>", 0x43),
        ("<feature policy='force' name='svm'/>", 0x43),
        ("<feature name='vmx'/>", 0x43),
        ("<feature policy='require' name='vmx'/><feature policy='disable' name='vmx'/>", 0x03),
        ("<feature policy='optional' name='vmx'/>", 0x03),
        ("<feature policy='require' name='x2apic'/>", 0x03),
    ],
)
def test_nested(features: str, flags: int) -> None:
    cpu = f"<cpu mode='host-passthrough'>{features}</cpu>"
    assert derive_request(domain(cpu)).fields["flags"] == flags
    assert derive_request(domain(cpu, kind="xen")).fields["flags"] == 0
    assert derive_request(domain(cpu.replace("host-passthrough", "custom"))).fields["flags"] == 3


def test_devices_and_passthrough() -> None:
    pci = "<devices><hostdev mode='subsystem' type='pci'/></devices>"
    nic = "<devices><interface type='hostdev'/></devices>"
    usb = "<devices><hostdev mode='subsystem' type='usb'/><interface type='bridge'/></devices>"
    for inner in (pci, nic):
        assert refusal(domain(inner)).message == "passthrough not supported on this platform"
        assert refusal(domain(inner)).keys == ("features/xen", "devices/hostdev")
        assert derive_request(domain(inner), capabilities=SHARED).fields["flags"] == 0x23
    assert derive_request(domain(usb)).fields["flags"] == 3

    def passthrough(attributes: str) -> str:
        return domain(f"<features><xen><passthrough {attributes}/></xen></features>")

    def words(attributes: str) -> tuple[int, int]:
        fields = derive_request(passthrough(attributes), capabilities=SHARED).fields
        return fields["flags"], fields["iommu_opts"]

    assert words("state='on'") == (0x23, 0)
    assert words("state='on' mode='sync_pt'") == (0x23, 1)
    assert words("state='on' mode='share_pt'") == (0x23, 0)
    assert words("state='off'") == (3, 0)
    assert "unknown mode 'x'" in refusal(passthrough("state='on' mode='x'")).message
    assert "Missing required" in refusal(passthrough("")).message


@pytest.mark.parametrize(
    ("memory", "kib"),
    [
        ("<memory>1025</memory>", 2048),
        ("<memory unit='MiB'>2</memory>", 2048),
        ("<memory unit='M'>2</memory>", 2048),
        ("<memory unit='MB'>2</memory>", 2048),
        ("<memory unit='bytes'>2048</memory>", 1024),
        ("<memory unit='G'>1</memory><currentMemory unit='MiB'>4096</currentMemory>", 1 << 20),
    ],
)
def test_sizes(memory: str, kib: int) -> None:
    wanted, _root = parse(domain(memory=memory))
    assert (wanted.memory_kib, wanted.max_memory_kib) == (kib, kib)


def test_numa_cells_give_the_memory() -> None:
    numa = "<cpu><numa><cell id='0' memory='1024'/><cell id='1' memory='1' unit='MiB'/></numa></cpu><vcpu>2</vcpu>"
    wanted, _root = parse(domain(numa, memory=""))
    assert (wanted.max_memory_kib, wanted.vnuma_nodes) == (2048, 2)
    assert refusal(domain(numa, kind="xen")).message == "PV vNUMA is not yet supported"
    both = "<memory>9999</memory><currentMemory>1024</currentMemory>"
    assert refusal(domain(numa, memory=both)).message == "Cannot enable PoD and vNUMA at the same time"


@pytest.mark.parametrize(
    ("text", "message", "path"),
    [
        (domain().replace("'xen'", "'kvm'"), "unexpected domain type kvm, expecting xen", "@type"),
        (domain().replace("type='xen'", ""), "missing domain type attribute", "@type"),
        (domain().replace("<name>a</name>", ""), "missing domain name", "name"),
        (domain("<uuid>1</uuid>"), "malformed uuid element", "uuid"),
        (domain(kind="exe"), "unknown OS type 'exe'", "os/type"),
        (domain(kind=""), "an os <type> must be specified", "os/type"),
        (domain(memory=""), "Memory size must be specified", "memory"),
        (domain(memory="<memory>x</memory>"), "could not parse element memory", "memory"),
        (domain(memory="<memory unit='x'>1</memory>"), "could not parse element memory", "memory"),
        (domain(memory="<memory unit='EiB'>99999</memory>"), "value too large", "memory"),
        (domain("<vcpu>x</vcpu>"), "maximum vcpus count must be an integer", "vcpu"),
        (domain("<vcpu>0</vcpu>"), "domain config can't have 0 maximum vCPUs", "vcpu"),
        (domain("<vcpu>16385</vcpu>"), "Maximum CPUs greater than 16384 not supported", "vcpu"),
        (domain("<vcpu>1025</vcpu>"), "avail_vcpus bitmap contains too many VCPUS", "vcpu"),
        (
            domain("<vcpu current='3'>2</vcpu>"),
            "maxvcpus must not be less than current vcpus (2 < 3)",
            "vcpu",
        ),
        (domain("<vcpu current='x'>2</vcpu>"), "Invalid value for attribute 'current'", "vcpu"),
        (
            domain("<features><hap state='x'/></features>"),
            "Invalid value for attribute 'state'",
            "features/hap",
        ),
        (
            domain("<devices><video><model type='virtio'/></video></devices>"),
            "video type virtio is not supported by libxl",
            "devices/video",
        ),
        (
            domain("<devices><video><model type='vga' vram='8192'/></video></devices>"),
            "videoram must be at least 16MB for VGA",
            "devices/video",
        ),
        (
            domain("<devices><video><model type='qxl' vram='x'/></video></devices>"),
            "cannot parse video vram 'x'",
            "devices/video",
        ),
        (
            domain("<devices><controller type='xenbus' maxGrantFrames='x'/></devices>"),
            "Invalid value for attribute 'maxGrantFrames'",
            "devices/controller",
        ),
        (
            domain(more="<cmdline>x</cmdline>"),
            "direct boot parameters specified but kernel missing",
            "os/kernel",
        ),
    ],
)
def test_refusals(text: str, message: str, path: str) -> None:
    error = refusal(text)
    assert message in error.message
    assert path in error.keys
    assert error.status == 1
    assert error.tool == ("libxl" if "bitmap" in message or "direct boot" in message else "libvirt")


def test_firmware() -> None:
    for text in (
        domain().replace("<os>", "<os firmware='efi'>"),
        domain(more="<loader type='pflash'>x</loader>"),
    ):
        wanted, _root = parse(text)
        assert wanted.bios == "ovmf"


def test_what_was_not_looked_at() -> None:
    inner = "<clock/><features><acpi/><hap/></features><devices><disk/><disk/><video/></devices>"
    derived = derive_request(domain(inner))
    assert derived.not_considered == ("clock", "features/acpi", "devices/disk")
    assert set(derived.considered) <= set(PATHS)
    assert "features/hap" in derived.considered


# -- hostile input -----------------------------------------------------------------------------------------

LAUGHS = (
    "<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;&b;&b;'>]><domain type='xen'><name>&c;</name></domain>"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "line 1: document types and entities are not read"),
        ("\n<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>\n<domain/>", "line 2: document types"),
        ("<domain>" + "<a>" * 100 + "</a>" * 100 + "</domain>", "nested more than 64 deep"),
        ("<domain>" + "<a/>" * 60_000 + "</domain>", "more than 50000 elements"),
        ("<domain>" + " " * (5 << 20) + "</domain>", "more than 4 MiB"),
        ("<domain>", "line 1: not XML"),
        ("<domain/>x", "line 1: not XML"),
        ("<domain>&undefined;</domain>", "line 1: not XML"),
        ("<domain>\0</domain>", "line 1: not XML"),
        ("<domain>\ud800</domain>", "not XML"),
        ("<guest/>", "begins with <domain>, not <guest>"),
    ],
)
def test_input_that_is_not_read(text: str, why: str) -> None:
    with pytest.raises(PolicyInvalid, match=why):
        read_domain_xml(text)
    error = refusal(text)
    assert (error.tool, error.status) == ("libvirt", 1)
    assert why in error.because


def test_declarations_and_marks_are_read() -> None:
    for head in ("", "<?xml version='1.0' encoding='latin-1'?>\n", "\ufeff", "\n  "):
        assert looks_like_xml(head + domain())
        assert derive_request(head + domain()).syntax is Syntax.LIBVIRT
    assert not looks_like_xml("name='<'")


NAMES = [
    "domain",
    "name",
    "memory",
    "vcpu",
    "os",
    "type",
    "devices",
    "controller",
    "cpu",
    "numa",
    "cell",
    "x",
]
PIECES = st.one_of(
    st.sampled_from([f"<{name}>" for name in NAMES] + [f"</{name}>" for name in NAMES]),
    st.sampled_from(
        ["1", "xen", "hvm", "&amp;", "<!--", "-->", "<![CDATA[", "]]>", "<domain type='xen'>", "é"]
    ),
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_xml_ends_in_a_request_or_a_refusal(text: str) -> None:
    try:
        derive_request("<" + text)
    except ToolstackRefused as error:
        assert error.because


def test_settings_of_the_command_line_are_for_xl() -> None:
    with pytest.raises(PolicyInvalid, match=r"for an xl\.cfg"):
        derive_request(domain(), extra=("vcpus=2",))
