"""Renders a governance report into one self-contained HTML page, in the look of the rollouts' report. Pure."""

from datetime import UTC, datetime
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pilotage.reports.governance import Governance
from pilotage.reports.governance_charts import draw_costs, draw_steps, draw_utilisation
from pilotage.reports.governance_text import facts, sentence, tables


def render_governance(report: Governance) -> str:
    """The page; everything that comes from a cluster is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = _clock
    files = resources.files("pilotage.reports")
    template = environment.from_string(files.joinpath("governance.html.j2").read_text("utf-8"))
    style = files.joinpath("report.css").read_text("utf-8") + files.joinpath("governance.css").read_text("utf-8")
    steps = [drawn for found in report.economics.values() if (drawn := draw_steps(found.steps))]
    charts = {
        "Utilisation": [draw_utilisation(report)],
        f"Cost in {report.month}": [draw_costs(report)],
        "Cost per user, by step": steps,
    }
    return template.render(
        report=report,
        sentence=sentence(report),
        facts=facts(report),
        tables=tables(report),
        # Matplotlib escapes the texts that it draws; the style sheets are our own files.
        charts={name: [Markup(one) for one in drawn if one] for name, drawn in charts.items()},  # noqa: S704
        style=Markup(style),  # noqa: S704
        tone="bad" if report.count("not met") else "caution" if report.count("not checked") else "good",
    )


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
