# Written by tools/write_stub.py; do not edit.
from xenapic.apic.controls import ControlWords as ControlWords
from xenapic.apic.controls import Controls as Controls
from xenapic.apic.features import Technology as Technology
from xenapic.apic.processors import PROCESSORS as PROCESSORS
from xenapic.apic.processors import Processor as Processor
from xenapic.apic.processors import processor as processor
from xenapic.apic.state import ApicState as ApicState
from xenapic.documents import from_json as from_json
from xenapic.documents import to_json as to_json
from xenapic.errors import CallFailed as CallFailed
from xenapic.errors import CloseFailed as CloseFailed
from xenapic.errors import ConfigInvalid as ConfigInvalid
from xenapic.errors import ConfigRefused as ConfigRefused
from xenapic.errors import DocumentInvalid as DocumentInvalid
from xenapic.errors import DomainNotFound as DomainNotFound
from xenapic.errors import FileUnreadable as FileUnreadable
from xenapic.errors import GuestFailed as GuestFailed
from xenapic.errors import HandleClosed as HandleClosed
from xenapic.errors import HeadersUnusable as HeadersUnusable
from xenapic.errors import HostUnknown as HostUnknown
from xenapic.errors import ImageInvalid as ImageInvalid
from xenapic.errors import LayoutUnproven as LayoutUnproven
from xenapic.errors import LibraryNotFound as LibraryNotFound
from xenapic.errors import LogInvalid as LogInvalid
from xenapic.errors import MeasureFailed as MeasureFailed
from xenapic.errors import NameUnknown as NameUnknown
from xenapic.errors import NoPrivilege as NoPrivilege
from xenapic.errors import NoXen as NoXen
from xenapic.errors import PolicyInvalid as PolicyInvalid
from xenapic.errors import PolicyRefused as PolicyRefused
from xenapic.errors import ProbeFailed as ProbeFailed
from xenapic.errors import Problem as Problem
from xenapic.errors import ReleaseMismatch as ReleaseMismatch
from xenapic.errors import ReleaseUnknown as ReleaseUnknown
from xenapic.errors import ToolstackRefused as ToolstackRefused
from xenapic.errors import TraceBusy as TraceBusy
from xenapic.errors import Unavailable as Unavailable
from xenapic.errors import XenApicError as XenApicError
from xenapic.exits.counter import ExitCounter as ExitCounter
from xenapic.exits.counter import count_exits as count_exits
from xenapic.exits.report import ExitReport as ExitReport
from xenapic.live.console import Console as Console
from xenapic.live.domain import Domain as Domain
from xenapic.live.guest import Guest as Guest
from xenapic.live.guestconsole import GuestConsole as GuestConsole
from xenapic.live.images import Module as Module
from xenapic.live.xen import Xen as Xen
from xenapic.live.xen import open as open
from xenapic.model.config import DomainConfig as DomainConfig
from xenapic.model.cpuinfo import host_from_cpuinfo as host_from_cpuinfo
from xenapic.model.create import Creation as Creation
from xenapic.model.create import Dependency as Dependency
from xenapic.model.facts import Answer as Answer
from xenapic.model.facts import Fact as Fact
from xenapic.model.flags import ALTP2M as ALTP2M
from xenapic.model.flags import CDF as CDF
from xenapic.model.flags import DOMINF as DOMINF
from xenapic.model.flags import EMU as EMU
from xenapic.model.flags import IOMMU as IOMMU
from xenapic.model.flags import MISC as MISC
from xenapic.model.flags import PHYSCAP as PHYSCAP
from xenapic.model.flags import PHYSCAP_X86 as PHYSCAP_X86
from xenapic.model.flags import Shutdown as Shutdown
from xenapic.model.guest_types import GuestType as GuestType
from xenapic.model.host import Host as Host
from xenapic.model.info import DomainInfo as DomainInfo
from xenapic.model.info import PhysInfo as PhysInfo
from xenapic.model.info import Version as Version
from xenapic.model.logged import LoggedHost as LoggedHost
from xenapic.model.logged import host_from_info as host_from_info
from xenapic.model.logged import host_from_log as host_from_log
from xenapic.model.measured import Measurement as Measurement
from xenapic.model.measured import VcpuControls as VcpuControls
from xenapic.model.named import named_host as named_host
from xenapic.model.owner import Owner as Owner
from xenapic.model.rehost import host_under as host_under
from xenapic.model.releases import XEN_RELEASES as XEN_RELEASES
from xenapic.model.releases import XenRelease as XenRelease
from xenapic.model.releases import xen_release as xen_release
from xenapic.parse.hostinfo import HostInfo as HostInfo
from xenapic.parse.hostinfo import parse_host_info as parse_host_info
from xenapic.parse.hvm_context import HvmRecord as HvmRecord
from xenapic.parse.hvm_context import hvm_records as hvm_records
from xenapic.parse.ring import Origin as Origin
from xenapic.parse.ring import RingLine as RingLine
from xenapic.policy.cautions import Caution as Caution
from xenapic.policy.cautions import CautionCode as CautionCode
from xenapic.policy.creation import check as check
from xenapic.policy.plan import Plan as Plan
from xenapic.policy.plan import Refusal as Refusal
from xenapic.policy.plan import plan as plan
from xenapic.policy.pool import PoolPlan as PoolPlan
from xenapic.policy.pool import plan_pool as plan_pool
from xenapic.policy.read import ReadPolicy as ReadPolicy
from xenapic.policy.read import Syntax as Syntax
from xenapic.policy.read import from_mapping as from_mapping
from xenapic.policy.read import from_toml as from_toml
from xenapic.policy.read import from_xl_cfg as from_xl_cfg
from xenapic.policy.read import read_policy as read_policy
from xenapic.policy.reasons import Code as Code
from xenapic.policy.reasons import Reason as Reason
from xenapic.policy.remedies import Remedy as Remedy
from xenapic.policy.remedies import RemedyKind as RemedyKind
from xenapic.policy.terms import Aspect as Aspect
from xenapic.policy.terms import EFFECTS as EFFECTS
from xenapic.policy.terms import Effect as Effect
from xenapic.policy.terms import Policy as Policy
from xenapic.policy.terms import Want as Want
from xenapic.toolstack.check import FileCheck as FileCheck
from xenapic.toolstack.check import check_file as check_file
from xenapic.toolstack.request import DerivedRequest as DerivedRequest
from xenapic.toolstack.request import derive_request as derive_request

__version__: str
__all__ = [
    "ALTP2M",
    "Answer",
    "ApicState",
    "Aspect",
    "CDF",
    "CallFailed",
    "Caution",
    "CautionCode",
    "CloseFailed",
    "Code",
    "ConfigInvalid",
    "ConfigRefused",
    "Console",
    "ControlWords",
    "Controls",
    "Creation",
    "DOMINF",
    "Dependency",
    "DerivedRequest",
    "DocumentInvalid",
    "Domain",
    "DomainConfig",
    "DomainInfo",
    "DomainNotFound",
    "EFFECTS",
    "EMU",
    "Effect",
    "ExitCounter",
    "ExitReport",
    "Fact",
    "FileCheck",
    "FileUnreadable",
    "Guest",
    "GuestConsole",
    "GuestFailed",
    "GuestType",
    "HandleClosed",
    "HeadersUnusable",
    "Host",
    "HostInfo",
    "HostUnknown",
    "HvmRecord",
    "IOMMU",
    "ImageInvalid",
    "LayoutUnproven",
    "LibraryNotFound",
    "LogInvalid",
    "LoggedHost",
    "MISC",
    "MeasureFailed",
    "Measurement",
    "Module",
    "NameUnknown",
    "NoPrivilege",
    "NoXen",
    "Origin",
    "Owner",
    "PHYSCAP",
    "PHYSCAP_X86",
    "PROCESSORS",
    "PhysInfo",
    "Plan",
    "Policy",
    "PolicyInvalid",
    "PolicyRefused",
    "PoolPlan",
    "ProbeFailed",
    "Problem",
    "Processor",
    "ReadPolicy",
    "Reason",
    "Refusal",
    "ReleaseMismatch",
    "ReleaseUnknown",
    "Remedy",
    "RemedyKind",
    "RingLine",
    "Shutdown",
    "Syntax",
    "Technology",
    "ToolstackRefused",
    "TraceBusy",
    "Unavailable",
    "VcpuControls",
    "Version",
    "Want",
    "XEN_RELEASES",
    "Xen",
    "XenApicError",
    "XenRelease",
    "check",
    "check_file",
    "count_exits",
    "derive_request",
    "from_json",
    "from_mapping",
    "from_toml",
    "from_xl_cfg",
    "host_from_cpuinfo",
    "host_from_info",
    "host_from_log",
    "host_under",
    "hvm_records",
    "named_host",
    "parse_host_info",
    "plan",
    "plan_pool",
    "processor",
    "read_policy",
    "to_json",
    "xen_release",
]
