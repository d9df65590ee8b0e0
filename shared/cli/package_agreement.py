"""How versions of a package agree, on a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table

from shared.versions.agreement import Agreement, Paired, Read, Shadowed


def agreement_page(found: Agreement) -> RenderableType:
    """How they stand, then the shadow's pairs, then the versions side by side."""
    stands = f"{found.package} {found.version} reads ({found.why or 'nobody has chosen'})"
    stands += f"; canary {found.canary}, {found.share:.0%} of the studies" if found.canary else ""
    stands += f"; shadow {found.shadow}" if found.shadow else ""
    parts: list[RenderableType] = [stands, f"installed: {', '.join(found.installed)}"]
    parts += [f"waiting for `isocenter package use {found.package} {version}`" for version in found.waiting]
    parts += [f"a rollback goes to {found.before}"] if found.before else []
    parts += [f"since {found.since:%Y-%m-%d %H:%M} UTC"] if found.since else []
    parts += [part for shadow in found.shadows for part in _shadow(shadow)]
    return Group(*parts, _versions(found.versions))


def _shadow(shadow: Shadowed) -> list[RenderableType]:
    states = ", ".join(f"{count} {state}" for state, count in sorted(shadow.states.items()))
    table = Table("output", "pairs", "one alone", "same class", "kappa", "mean difference", "limits of agreement")
    for output in shadow.outputs:
        table.add_row(output.output, str(output.pairs), str(output.one_alone), _share(output.agree), *_numbers(output))
    return [f"\nshadow {shadow.version}: {states}; {shadow.differ} say otherwise than the run", table]


def _numbers(output: Paired) -> list[str]:
    limits = f"{output.limits[0]:.4g} to {output.limits[1]:.4g}" if output.limits else "–"
    unit = "" if output.unit in ("", "1") else f" {output.unit}"
    return [_number(output.kappa), _number(output.mean_difference) + unit, limits]


def _versions(versions: list[Read]) -> Table:
    table = Table("version", "runs", "held", "dead", "output", "said", "mean", "SD")
    for version in versions:
        facts = [version.version, str(version.runs), _share(version.held), _share(version.dead)]
        for output in version.outputs:
            said = ", ".join(f"{share:.0%} {name}" for name, share in output.classes.items())
            table.add_row(*facts, output.output, said or str(output.count), _number(output.mean), _number(output.sd))
            facts = [""] * 4
        if not version.outputs:
            table.add_row(*facts)
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
