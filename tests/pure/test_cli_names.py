"""Names that are misspelt are suggested; names are completed by the shell."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from xenapic.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pln"], "plan"),
        (["expalin"], "explain"),
        (["lab", "lst"], "list"),
        (["plan", "--processor", "skylake"], "skylake-sp (the real processor)"),
        (["plan", "--processor", "sapphire"], "sapphire_rapids (Bochs' model)"),
        (["plan", "--processor", "sapphire"], "sapphire-rapids-sp (the real processor)"),
        (["plan", "--processor", "zen4", "--xen", "4.2"], "4.20"),
        (["plan", "--processor", "zen4", "--require", "tpr-shadow"], "tpr_shadow"),
        (["plan", "--processor", "zen4", "--effect", "x2apic-read-stay"], "x2apic-reads-stay"),
        (["plan", "--processor", "zen4", "--accept", "apic-defect"], "apic-defect-memory"),
        (["access", "--processor", "zen4", "--diff", "procesor=zen3"], "processor"),
        (["access", "--processor", "zen4", "--diff", "processor=zen3"], "zen3-epyc"),
        (["explain", "tpr_shadwo"], "tpr_shadow"),
        (["find", "assisted_x2apic=2", "--processor", "zen4"], "assisted_x2apic=0"),
        (["create", "--set", "max_vcpu=2"], "max_vcpus"),
        (["lab", "run", "--machine", "sapphire-rapids-sp", "--", "true"], "that is a real processor"),
        (["lab", "run", "--machine", "sapphire-rapids-sp", "--", "true"], "did you mean sapphire_rapids?"),
        (["lab", "run", "--machine", "broadwel", "--", "true"], "broadwell_ult"),
        (["lab", "run", "--xen", "4.21", "--", "true"], "4.20"),
        (["lab", "verify", "--machines", "broadwel"], "broadwell_ult"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_did_you_mean(arguments: list[str], expected: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and expected in done.stderr, done.output


def complete(*words: str) -> list[str]:
    *arguments, incomplete = words
    completer = ShellComplete(app, {}, "xenapic", "_XENAPIC_COMPLETE")
    return [item.value for item in completer.get_completions(arguments, incomplete)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pl"], "plan"),
        (["lab", "ru"], "run"),
        (["plan", "--pro"], "--processor"),
        (["plan", "--processor", "sapp"], "sapphire-rapids-sp"),
        (["plan", "--xen", "4.17"], "4.17-rc"),
        (["plan", "--require", "tpr"], "tpr_shadow"),
        (["plan", "--effect", "x2"], "x2apic-eoi-stays"),
        (["create", "--accept", "apic"], "apic-defect-memory"),
        (["create", "--type", "p"], "pvh"),
        (["find", "assisted_x"], "assisted_xapic=1"),
        (["explain", "tpr_s"], "tpr_shadow"),
        (["schema", "ho"], "host-plan"),
        (["lab", "run", "--machine", "sapp"], "sapphire_rapids"),
        (["lab", "run", "--xen", "4."], "4.17"),
        (["access", "--state", "x2"], "x2apic"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_completion(words: list[str], expected: str) -> None:
    assert expected in complete(*words)


def test_help_tells_models_from_real_processors() -> None:
    shown = " ".join(CliRunner().invoke(app, ["lab", "list"]).stdout.split())
    assert "sapphire_rapids is Bochs' model" in shown and "sapphire-rapids-sp" in shown


def test_without_xen_a_plan_says_how_to_ask_about_another_host() -> None:
    done = CliRunner().invoke(app, ["plan"])
    assert done.exit_code == 3 and "--processor" in done.stderr and "--host" in done.stderr
