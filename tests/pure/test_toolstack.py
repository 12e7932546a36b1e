"""The derived create request equals what a real xl sent; the other releases follow their source."""

from __future__ import annotations

import json
import lzma
import pickle
from collections.abc import Iterator
from errno import EINVAL
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xenapic
from tests.toolstack.randomfiles import random_cases
from tests.toolstack.records import Record, answer_differs, derive, differences
from xenapic.errors import HostUnknown, NameUnknown, PolicyInvalid, ToolstackRefused
from xenapic.model.releases import XEN_RELEASES
from xenapic.parse.xlcfg import XlSetting, read_xl_cfg
from xenapic.toolstack import xl
from xenapic.toolstack.keys import known
from xenapic.toolstack.pcispec import pci_error
from xenapic.toolstack.request import Evidence, derive_request

DATA = Path(__file__).parents[1] / "data" / "toolstack"
RECORDS: list[Record] = json.loads(lzma.decompress((DATA / "requests.json.xz").read_bytes()))
"""What Debian's xl of 4.17 and 4.20 handed to ``xc_domain_create`` on a real Xen, or why it did not."""
PVH = 'name="b"\ntype="pvh"\nkernel="/boot/kernel"\n'
HVM = 'name="b"\ntype="hvm"\nmemory=64\n'
PV = 'name="b"\nkernel="/boot/kernel"\n'


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record['id']}-{record['xen']}")
def test_equals_the_real_xl(record: Record) -> None:
    assert differences(record) == []
    if record["xl"] == "request":
        assert derive(record).evidence is Evidence.EXECUTED


RANDOM: list[Record] = json.loads(lzma.decompress((DATA / "random.json.xz").read_bytes()))
"""Random files, recorded with ``python -m tests.toolstack.record --random``."""


@pytest.mark.parametrize("xen", ["4.17.7", "4.20.5-pre"])
def test_equals_the_real_xl_on_random_files(xen: str) -> None:
    records = [record for record in RANDOM if record["xen"] == xen]
    assert len(records) > 900
    wrong = {record["id"]: [*differences(record), *answer_differs(record)] for record in records}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


def test_a_difference_is_seen() -> None:
    sent = next(record for record in RECORDS if "more_requests" in record)
    refused = next(record for record in RECORDS if record["xl"] != "request" and record.get("message"))
    changed = {**sent, "request": {**sent["request"], "flags": 99}, "more_requests": []}
    assert [line.split(":")[0] for line in differences(changed)] == ["flags", "further requests"]
    assert differences({**sent, "cfg": ""})[0].startswith("refused here")
    assert differences({**refused, "cfg": sent["cfg"]})[0].startswith("sent here")
    status = differences({**refused, "xl_status": 77})
    assert [line.split(":")[0] for line in status] == ["status"]
    assert differences({**refused, "message": "something else"})[0].startswith("message")


def test_random_cases_are_the_same_again() -> None:
    drawn = list(random_cases(50, 3))
    assert drawn == list(random_cases(50, 3))
    assert drawn != list(random_cases(50, 4))
    assert {"capabilities", "xlconf", "xl_args"} <= {key for case in drawn for key in case}


def test_all_records_are_there() -> None:
    assert len(RECORDS) == 706
    assert {record["xl"] for record in RECORDS} == {"request", "refused by xl"}


def refusal(text: str, **host: Any) -> ToolstackRefused:
    with pytest.raises(ToolstackRefused) as caught:
        derive_request(text, **host)
    return caught.value


# -- what differs by release -----------------------------------------------------------------------------


def test_fields_of_each_release() -> None:
    base = {"ssidref", "flags", "iommu_opts", "max_vcpus", "max_evtchn_port", "max_grant_frames"}
    base |= {"max_maptrack_frames", "vmtrace_size", "arch.emulation_flags", "arch.misc_flags"}
    more: dict[str, set[str]] = {"4.15": set(), "4.16": {"grant_opts"}, "4.17": {"grant_opts", "cpupool_id"}}
    more["4.18"] = more["4.17"]
    more["4.19"] = more["4.20"] = {*more["4.17"], "altp2m_opts"}
    more["4.21"] = more["4.22"] = {*more["4.17"], "altp2m.opts", "altp2m.nr"}
    for name, extra in more.items():
        derived = derive_request(PVH, xen=name)
        assert set(derived.fields) == base | extra
        assert (derived.evidence is Evidence.EXECUTED) is (name in ("4.17", "4.20"))


@pytest.mark.parametrize("name", [row.name for row in XEN_RELEASES])
def test_what_differs_by_release(name: str) -> None:
    number = xenapic.xen_release(name).number
    hvm = derive_request(HVM + "altp2mhvm=1\nhvm_pirq=0\n", xen=name).fields
    assert hvm["arch.emulation_flags"] == (0x1FF if number >= (4, 19) else 0x3FF)
    assert hvm.get("altp2m.nr") == (10 if number >= (4, 21) else None)
    assert hvm.get("altp2m_opts", hvm.get("altp2m.opts")) == (1 if number >= (4, 19) else None)
    pirq = derive_request(HVM + "hvm_pirq=1\n", xen=name).fields
    assert pirq["arch.emulation_flags"] == 0x3FF
    pvh = derive_request(PVH + 'altp2m="external"\n', xen=name).fields
    assert pvh.get("altp2m.nr") == (0 if number >= (4, 21) else None)
    vpmu = PVH + "vpmu=1\n"
    if number >= (4, 16):
        assert refusal(vpmu, xen=name).message == "vPMU not supported on this platform"
        assert derive_request(vpmu, xen=name, capabilities=0x38B).fields["flags"] == 0x83
        assert refusal(PVH + "max_grant_version=16", xen=name).status == 0
    else:
        assert derive_request(vpmu, xen=name).unknown == ("vpmu",)
        assert derive_request(PVH + "max_grant_version=16", xen=name).unknown == ("max_grant_version",)
    if number >= (4, 21):
        assert refusal(HVM + 'device_model_version="qemu-xen-traditional"', xen=name).tool == "xl"
        assert refusal(PVH + "trap_unmapped_accesses=1", xen=name).status == 3
        assert refusal(PVH + "altp2m_count=65536", xen=name).status == 1
    else:
        assert derive_request(PVH + "trap_unmapped_accesses=1", xen=name).unknown
    if number >= (4, 22):
        assert derive_request(PVH + 'vcpus="-1"', xen=name).fields["max_vcpus"] == 1
    else:
        assert refusal(PVH + 'vcpus="-1"', xen=name).message == "Unable to allocate cpumap"


def test_the_development_tree_with_the_choice_per_domain() -> None:
    def misc(text: str, **host: Any) -> int:
        return derive_request(text, xen="4.17-rc", **host).fields["arch.misc_flags"]

    assert misc(PVH) == 0
    assert misc(PVH, arch_capabilities=3) == 6
    assert misc(PVH + "assisted_xapic=0", arch_capabilities=3) == 4
    assert misc(PVH, xl_conf="assisted_x2apic=0", arch_capabilities=3) == 2
    assert misc(PV + "assisted_xapic=1", arch_capabilities=3) == 0
    assert refusal(PVH + "assisted_xapic=[1]", xen="4.17-rc").status == 1
    assert derive_request(PVH, xen="4.17-rc").evidence is Evidence.SOURCE


def test_releases_as_people_write_them() -> None:
    for name in ("4.17", "4.17.7", "4.17.7-pre", "4.17.5-15.2.xcpng8.3"):
        assert derive_request(PVH, xen=name).release.name == "4.17"
    for name in ("4.99", "five", ""):
        with pytest.raises(NameUnknown):
            derive_request(PVH, xen=name)


# -- refusals that no record has ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "status"),
    [
        (HVM + 'vga="x"', 'Unknown vga "x" specified', 1),
        (HVM + 'vga="qxl"\nvideoram=64', "128 Mib videoram is the minimum for qxl default", 6),
        (HVM + "videoram=4", "videoram must be at least 8 MB for CIRRUS on QEMU_XEN", 6),
        (HVM + "stdvga=1\nvideoram=8", "videoram must be at least 16 MB for STDVGA on QEMU_XEN", 6),
        (HVM + 'extra="x"', "direct boot parameters specified but kernel missing", 6),
        (HVM + 'kernel="/x/hvmloader"\nroot="x"', "direct boot parameters specified but kernel missing", 6),
        (HVM + "usb=1\nusbversion=2", "usbversion and/or usbredirection", 6),
        (HVM + 'viridian=["!x"]', "xl: unknown viridian enlightenment 'x'", 3),
        (HVM + 'mca_caps=["x"]', "ERROR: unrecognized MCA capability 'x'.", 3),
        (HVM + "mca_caps=1", "ERROR: unable to parse mca_caps.", 3),
        (HVM + "mmio_hole=8", 'ERROR: invalid value 8 for "mmio_hole"', 1),
        (HVM + 'ms_vm_genid="x"', 'ERROR: "ms_vm_genid" option must be', 1),
        (HVM + 'vnclisten="::1"\nvncdisplay=1', "ERROR: Display specified both in vnclisten", 1),
        (HVM + "tsc_mode=4", 'ERROR: invalid value 4 for "tsc_mode"', 1),
        (HVM + "device_model_args=1", "xl: Unable to parse device_model_args.", 3),
        (PV + "timer_mode=1", 'ERROR: "timer_mode" option is not supported for PV guests.', 3),
        (PV + 'on_crash="x"', 'Unknown on_crash action "x" specified', 1),
        (PV + 'irqs=["x"]', "xl: Invalid argument parsing irq: x", 1),
        (PV + 'ioports=["3f8-x"]', "xl: Invalid argument parsing ioport: 3f8-x", 1),
        (PV + 'iomem=["1"]', "xl: Invalid argument parsing iomem: 1", 1),
        (PV + "vcpus=4294967296", "xl: maxvcpus < vcpus", 1),
        (PV + 'vnuma=["x"]', "xl: cannot get vnode config option list", 1),
        (PV + 'vnuma=[["size=x"]]', 'xl: failed to convert "x" to number', 1),
        (PV + 'vnuma=[["x"]]', 'xl: failed to split "x" into pair', 1),
        (PV + 'maxvcpus=3\nvnuma=[["vcpus=0-1"]]', "xl: vnuma vcpus and maxvcpus= mismatch", 1),
        (PV + 'maxmem=3\nvnuma=[["size=4"]]', "xl: maxmem and vnuma memory size mismatch", 1),
    ],
)
def test_other_refusals(text: str, message: str, status: int) -> None:
    error = refusal(text)
    assert message in error.message
    assert error.status == status
    assert error.keys
    assert error.because in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.keys, str(again)) == (error.message, error.keys, str(error))


@pytest.mark.parametrize(
    ("text", "xen", "message"),
    [
        (HVM + 'smbios=["x=1"]', "4.18", "xl: unknown smbios type 'x'"),
        (HVM + 'smbios=["oem"]', "4.18", "xl: failed to split"),
        (HVM + 'smbios=["oem="]', "4.18", "xl: empty value not allowed"),
        (HVM + "smbios=1", "4.18", "xl: Unable to parse smbios options."),
        (HVM + "smbios=[" + '"oem=1",' * 100 + "]", "4.18", "xl: smbios limited to 99 oem strings"),
        (PV + 'sve="x"', "4.18", 'Unknown sve "x" specified'),
        (PV + 'llc_colors=["x"]', "4.20", "xl: Invalid LLC color range: x"),
        (PV + 'llc_colors=["3-2"]', "4.20", "xl: Start LLC color is greater than end: 3-2"),
        (PV + 'arm_sci="type=x"', "4.21", "Unknown ARM_SCI type: x"),
        (PV + 'xenstore_quota=["x"]', "4.22", 'Quota specification "x" lacks "=".'),
        (PV + 'xenstore_quota=["x=y"]', "4.22", 'uses illegal value "y"'),
    ],
)
def test_refusals_of_later_releases(text: str, xen: str, message: str) -> None:
    assert message in refusal(text, xen=xen).message
    before = XEN_RELEASES[[row.name for row in XEN_RELEASES].index(xen) - 1]
    derive_request(text, xen=before)


def test_numbers_that_depend_on_the_c_library() -> None:
    assert derive_request(PVH + "vcpus=0b11", xen="4.20").fields["max_vcpus"] == 3
    assert derive_request(PVH + "vcpus=0b11", xen="4.17").fields["max_vcpus"] == 1


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ("00:03.0", 0),
        ("0000:00:1f.7@1f,permissive=1,seize=0", 0),
        ("1:2:3.*", 0),
        ("name=x", 0),
        ("bdf=00:03.0,rdm_policy=strict", 0),
        ("00:03.0,name=x", 6),
        ("00:03.8", 6),
        ("00:20.0", 6),
        ("10000:00:03.0", 6),
        ("00:03.0@20", 6),
        ("00:03.0x", 6),
        ("00:03", 6),
        ("00:03.0,x=1", 6),
        ("00:03.0,x", 6),
        ("00:03.0,rdm_policy=x", 3),
        ("", 6),
        ("1:2:3:4.5", 6),
    ],
)
def test_pci_devices(spec: str, status: int) -> None:
    assert pci_error(spec) == status


# -- what was looked at -----------------------------------------------------------------------------------


def test_keys_that_were_not_looked_at() -> None:
    derived = derive_request(HVM + 'vcpus=2\ndisk=["x"]\nvif=[]\nassisted_xapic=1\n')
    assert derived.considered == ("name", "type", "memory", "vcpus")
    assert derived.not_considered == ("disk", "vif", "assisted_xapic")
    assert derived.unknown == ("assisted_xapic",)


class Watched(dict[str, XlSetting]):
    """Settings that note which keys were asked for."""

    asked: set[object]

    def get(self, key: object, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(str(key), default)

    def __contains__(self, key: object) -> bool:
        self.asked.add(key)
        return super().__contains__(key)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[object]]:
    seen: set[object] = set()

    def watch(text: str) -> Watched:
        settings = Watched(read_xl_cfg(text))
        settings.asked = seen
        return settings

    monkeypatch.setattr(xl, "read_xl_cfg", watch)
    yield seen


@pytest.mark.parametrize("release", XEN_RELEASES, ids=lambda row: row.name)
def test_the_table_of_keys_is_what_the_parser_asks_for(release: Any, asked: set[object]) -> None:
    for text in (PVH, HVM + 'vnclisten="::1"', 'name="b"\nbootloader="pygrub"'):
        derive_request(text, xen=release)
    assert asked == {name for name, looked_at in known(release).items() if looked_at}


# -- any input --------------------------------------------------------------------------------------------


NAMES = sorted({name for row in XEN_RELEASES for name in known(row)})
VALUES = ["0", "1", "4", "-1", "64", "1024", "2147483648", "hvm", "pvh", "enabled", "share_pt", "x", ""]
SETTING = st.tuples(
    st.sampled_from(NAMES), st.sampled_from(VALUES), st.sampled_from(['{}="{}"', '{}=["{}"]'])
)


@given(st.lists(SETTING, max_size=6), st.sampled_from(XEN_RELEASES), st.sampled_from([0, 0x30B, 0x3BF, 0x37]))
def test_any_settings_end_in_a_request_or_a_refusal(settings: list[Any], release: Any, word: int) -> None:
    text = HVM + "\n".join(form.format(name, value) for name, value, form in settings)
    try:
        derived = derive_request(text, xen=release, capabilities=word)
    except ToolstackRefused as error:
        assert error.because
        return
    assert all(-(1 << 31) <= value < 1 << 32 for value in derived.fields.values())
    assert derived.request.max_vcpus == derived.fields["max_vcpus"]


@given(st.text(max_size=60))
def test_any_text_ends_in_a_request_or_a_refusal(text: str) -> None:
    try:
        derive_request(text)
    except ToolstackRefused as error:
        assert error.because


@pytest.mark.parametrize(
    ("cpus", "message"),
    [
        ('"0"', None),
        ('"7"', None),  # beyond the one CPU, but in the last byte of xl's map
        ('"8"', "vcpu hard affinity map is empty"),
        ('""', "vcpu hard affinity map is empty"),
        ('"all,^0-7"', "vcpu hard affinity map is empty"),
        ('"nodes:0"', None),
        ('"nodes:1"', "vcpu hard affinity map is empty"),
        ("['0', '9']", "vcpu hard affinity map is empty"),
        ("['0', [], 'zzz']", None),
        ("['0', '1', 'zzz']", None),  # more than the vCPUs
        ('"^all"', 'Can\'t combine "^" and "all".'),
        ('"2-1"', "Invalid pcpu range: 2-1."),
        ('"nodes:x"', "Invalid pcpu range: x."),
        ('"0-99999999999999999999"', "Invalid pcpu range: 0-99999999999999999999."),
    ],
)
def test_cpus(cpus: str, message: str | None) -> None:
    text = f"{PVH}vcpus=2\ncpus={cpus}\n"
    if message is None:
        assert derive_request(text, cpus=1, nodes=1).fields["max_vcpus"] == 2
        return
    assert refusal(text, cpus=1, nodes=1).message == message
    if message.endswith("empty") and '""' not in cpus:
        assert derive_request(text).fields["max_vcpus"] == 2  # the host's CPUs are not known


def test_virtual_numa_depends_on_the_host() -> None:
    text = PVH + "vnuma=[['pnode=1','size=16','vcpus=0-3']]\n"
    assert derive_request(text).fields["max_vcpus"] == 4
    assert derive_request(text, cpus=4, nodes=2).fields["max_vcpus"] == 4
    assert refusal(text, nodes=1).message == "xl: invalid pnode number: 1"
    assert "more vcpus than pcpus" in refusal(text, cpus=3).message
    assert derive_request(text + "maxvcpus=4\n", cpus=3).fields["max_vcpus"] == 4


def test_older_toolstacks_are_not_modelled() -> None:
    with pytest.raises(HostUnknown):
        derive_request(PVH, xen="4.13")


def test_settings_of_the_command_line() -> None:
    assert derive_request(PVH + "# end", extra=("vcpus=3",)).fields["max_vcpus"] == 3
    with pytest.raises(PolicyInvalid, match="key=value"):
        derive_request(PVH, extra=("x",))


def test_xl_conf_can_end_every_command() -> None:
    assert refusal(PVH, xl_conf="a=").message == "Failed to parse config file: Invalid argument"
    error = refusal(PVH, xl_conf="max_grant_frames='x'")
    assert (error.message, error.status, error.keys) == ("", 1, ("max_grant_frames",))


# -- what Xen says --------------------------------------------------------------------------------------

ANSWERED = [record for record in RECORDS if "answer" in record]


@pytest.mark.parametrize("record", ANSWERED, ids=lambda record: f"{record['id']}-{record['xen']}")
def test_the_rules_give_xens_recorded_answer(record: dict[str, Any]) -> None:
    assert answer_differs(record) == []


def test_another_answer_is_seen() -> None:
    record = next(one for one in ANSWERED if one["answer"] == 0)
    assert answer_differs({**record, "answer": EINVAL, "answer_name": "EINVAL"}) == [
        "Xen's answer: 0 here, 22 by Xen"
    ]
