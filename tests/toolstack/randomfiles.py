"""Random configurations for xl: every key that we know, with usual and odd values."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from xenapic.toolstack.choices import CHOICES
from xenapic.toolstack.keys import KEYS, OTHERS

__all__ = ["random_cases"]

NUMBERS = (
    *("0", "1", "2", "3", "4", "8", "16", "64", "127", "128", "129", "1023", "1024", "1025", "4096", "65535"),
    *("65536", "2147483647", "2147483648", "4294967295", "4294967296", "4294967301", "0x10", "010", "0b11"),
)
QUOTED = (
    *("", "-1", "+4", " 4", "4 ", "four", "4a", "0x", "1.5", "yes", "True", "default", "none", "all", "x"),
    *(
        "-2147483648",
        "18446744073709551615",
        "99999999999999999999",
        "0X1F",
        "08",
        "\\061",
        "a,b",
        "0-3",
        "^1",
    ),
)
LISTS = ("[]", "[1]", "['1']", "['a','b']", "[ '0-3', '5', ]", "[[1,2],[3]]", "['x=y']", "['']")
TYPES = ('type="pv"\n', 'type="pvh"\n', 'type="pvh"\n', 'type="hvm"\n', 'type="hvm"\n', 'builder="hvm"\n', "")
SPECIAL: dict[str, tuple[str, ...]] = {
    "passthrough": ('"disabled"', '"enabled"', '"sync_pt"', '"share_pt"', '"default"', '"SYNC_PT"', "1"),
    "pci": ("['0000:03:00.0']", "['03:00.0,permissive=1']", "['zzz']", "['3:0.0@5']", "['0:0:0.8']", "[]"),
    "dtdev": ("['/soc/x']", "[]", '"x"'),
    "pool": ('"Pool-0"', '"second"', "0", "1", "2", '"nope"', '"-1"', '"0x0"', '"01"', '""'),
    "altp2m": (
        '"disabled"',
        '"mixed"',
        '"external"',
        '"limited"',
        '"MIXED"',
        "0",
        "1",
        "2",
        "3",
        "4",
        '"-1"',
    ),
    "vnuma": (
        "[['pnode=0','size=16','vcpus=0','vdistances=10']]",
        "[['pnode=0','size=16','vcpus=0-1','vdistances=10,20'],['pnode=0','size=16','vcpus=2-3','vdistances=20,10']]",
        "[['pnode=0','size=1024','vcpus=0-3']]",
        "[['size=16']]",
        "[]",
        "[['pnode=99','size=16','vcpus=0']]",
    ),
    "viridian": (
        "1",
        "0",
        '"1"',
        "['base']",
        "['all']",
        "['defaults','!base']",
        "['!all']",
        "['nope']",
        "[]",
    ),
    "uuid": ('"c7a1a9b0-7f31-4d3e-9b3a-0123456789ab"', '"zzz"', '"C7A1A9B0-7F31-4D3E-9B3A-0123456789AB"'),
    **dict.fromkeys(
        ("cpus", "cpus_soft"),
        (
            *(
                '"0"',
                '"all"',
                '"nodes:0"',
                '"^0"',
                '"zzz"',
                "['0','0']",
                '"0-99999"',
                '"8"',
                '"7,^7"',
                '"all,^0-6"',
            ),
            *(
                "['0','9']",
                "['all',[],'x']",
                '"node:1"',
                '"^all"',
                '"1-0"',
                '" 1"',
                '"1 "',
                '","',
                '"^nodes:0,all"',
            ),
        ),
    ),
    "cpuid": ('"host,x2apic=0"', '"host,nope=1"', "['1:ecx=xxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx']", '"x"'),
    "memory": ("16", "32", "64", "0", "128", '"-1"', "1048576", "17592186044416", '"32M"'),
    "maxmem": ("16", "32", "64", "0", "128", '"-1"'),
    "device_model_version": ('"qemu-xen"', '"qemu-xen-traditional"', '"none"', '"qemu"', "1"),
    "bios": ('"seabios"', '"rombios"', '"ovmf"', '"uefi"', '"unknown"', "1"),
    "firmware": ('"bios"', '"uefi"', '"seabios"', '"rombios"', '"pvgrub32"', '"pvgrub64"', '"/boot/kernel"'),
    "bootloader": ('"pygrub"', '"/usr/bin/pygrub"', '""'),
    "kernel": ('"/boot/kernel"', '"/nowhere"', '""'),
    "vga": ('"stdvga"', '"cirrus"', '"qxl"', '"none"', '"x"'),
    "rdm": ('"strategy=host,policy=strict"', '"strategy=nope"', '"x"'),
    "disk": ("['/dev/null,raw,xvda,w']", "['phy:/dev/null,hda,w']", "[]"),
    "vif": ("['bridge=x']", "['']", "[]"),
    "usbdevice": ('"tablet"', "['tablet','mouse']", '""'),
    "serial": ('"pty"', "['pty','pty']", "1"),
    "channel": ("['connection=pty,name=x']", "[]"),
    "event_channels": ("5",),
    "tsc_mode": ('"default"', '"native"', "0", "1", "2", "3", "4", '"x"'),
}
"""Values that mean something to a key."""
DEVICES = frozenset(
    [
        "p9",
        "pvcalls",
        "usbctrl",
        "usbdev",
        "vdispl",
        "vfb",
        "vif2",
        "virtio",
        "vkb",
        "vsnd",
        "vtpm",
        "channel",
        "disk",
        "vif",
    ]
)
"""Keys whose syntax our derivation does not look at, and says so: they are drawn with values that xl takes."""
WEIGHTY = tuple(key.name for key in KEYS if key.field and key.name not in ("type", "builder"))
"""Keys that decide the request are drawn more often."""
OTHER_KEYS = (
    "type",
    "builder",
    *(key.name for key in KEYS if not key.field),
    *OTHERS,
    "event_channels",
    "hvm",
    "assisted_xapic",
    "nope",
)
CHOSEN = {row.key: row.values for rows in CHOICES.values() for row in rows}
CAPABILITIES = (
    0x303,
    0x30F,
    0x33F,
    0x31B,
    0x38B,
    0x34B,
    0x10B,
    0x00B,
    0x313,
    0x301,
    0x302,
    0x3FF,
    0x00F,
    0x32F,
)
CONF_KEYS = ("max_grant_frames", "max_maptrack_frames", "max_grant_version", "lock", "vif.default.bridge")
ODD_LINES = (
    *(
        "# a comment",
        ";",
        "vcpus=2;vcpus=3",
        "Vcpus=2",
        "vcpus=-1",
        "a-b=1",
        "x=1.5",
        "'a'",
        "memory=0xA",
        "\t",
    ),
    *(
        "vcpus = 2 # two",
        'type += "h"',
        "vcpus+=1",
        "disk += ['a']",
        'a="b',
        "_x=1",
        "x='\\n\\101'",
        "x='\\x41'",
    ),
    *(
        "a.b=1",
        "x=True",
        'x="""y"""',
        "x=[1,2",
        "x=[\n1,\n2\n]",
        "x='\u00e9'",
        "nestedhvm=1;hap=0",
        "x=1 y=2",
    ),
)


def random_cases(number: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield so many cases; the same seed draws the same."""
    for count in range(number):
        yield _case(random.Random(f"{seed} {count}"), f"random-{seed}-{count}")


def _case(draw: random.Random, name: str) -> dict[str, Any]:
    case: dict[str, Any] = {"id": name, "cfg": _file(draw)}
    if draw.random() < 0.35:
        case["capabilities"] = draw.choice(CAPABILITIES)
    if draw.random() < 0.12:
        case["xlconf"] = "".join(
            _setting(draw, key) for key in draw.choices(CONF_KEYS, k=draw.randrange(1, 3))
        )
    if draw.random() < 0.08:
        case["xl_args"] = [_setting(draw, _key(draw)).rstrip("\n") for _ in range(draw.randrange(1, 3))]
    return case


def _file(draw: random.Random) -> str:
    lines = ['name="r"\n'] if draw.random() < 0.97 else []
    lines.append(draw.choice(TYPES))
    if draw.random() < 0.85:
        lines.append(f"memory={draw.choice((16, 32, 64))}\n")
    if draw.random() < 0.93:
        lines.append('kernel="/boot/kernel"\n')
    lines += [_setting(draw, _key(draw)) for _ in range(draw.randrange(7))]
    if draw.random() < 0.06:
        lines.append(draw.choice(ODD_LINES) + "\n")
    if draw.random() < 0.3:
        draw.shuffle(lines)
    text = "".join(lines)
    if draw.random() < 0.03:
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw.random() < 0.01 else text


def _key(draw: random.Random) -> str:
    return draw.choice(WEIGHTY if draw.random() < 0.6 else OTHER_KEYS)


def _setting(draw: random.Random, key: str) -> str:
    return f"{key}{' = ' if draw.random() < 0.2 else '='}{_value(draw, key)}\n"


def _value(draw: random.Random, key: str) -> str:
    chance = draw.random()
    if key in DEVICES:
        return draw.choice(SPECIAL.get(key, ("[]",)))
    if key in SPECIAL and chance < 0.8:
        return draw.choice(SPECIAL[key])
    if key in CHOSEN and chance < 0.7:
        return f'"{draw.choice(CHOSEN[key])}"'
    if chance < 0.5:
        return draw.choice(("0", "1"))
    if chance < 0.8:
        return draw.choice(NUMBERS)
    if chance < 0.92:
        return f'"{draw.choice((*QUOTED, *NUMBERS))}"'
    return draw.choice(LISTS)
