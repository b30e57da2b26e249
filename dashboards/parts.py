# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shared parts of the dashboards: variables, links, selectors and kinds of panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Figure = stat.Panel
Chart = timeseries.Panel

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="prometheus")
TAG = "pooled"

# Each query of a dashboard uses one of these selectors.
_SITE = 'stack=~"$stack",host=~"$host"'
UP = _SITE
POOLER = f'job="pgbouncer",{_SITE}'
# The console is a database, too, but its users are no clients.
TRAFFIC = f'{POOLER},database=~"$database",database!="pgbouncer"'
POOL = f'{TRAFFIC},user=~"$user"'
SERVER = f'job="postgres",{_SITE}'
DATABASE = f'{SERVER},datname=~"$database"'
SESSION = f'{DATABASE},usename=~"$user"'
STATEMENT = f'{DATABASE},user=~"$user"'
NODE = f'job="node",{_SITE}'
# Series that the role's rules record, and that its alerts use. They have no job.
RECORDED = _SITE
RECORDED_POOL = f'{_SITE},database=~"$database",user=~"$user"'
RECORDED_DATABASE = f'{_SITE},datname=~"$database"'

# A query with this legend becomes a separate line, not part of a stack.
LIMIT = "limit"


# Grafana sets it to at least four scrape intervals.
RANGE = "[$__rate_interval]"


def rate(counter: str, selector: str, by: str = "") -> str:
    """Return the rate of a counter per second, summed over all series or by labels."""
    total = f"rate({counter}{{{selector}}}{RANGE})"
    return f"sum by ({by}) ({total})" if by else f"sum({total})"


class Query(NamedTuple):
    """A PromQL expression and the legend of its series."""

    expr: str
    legend: str = ""


class Steps(NamedTuple):
    """Thresholds of a value."""

    warning: float | None = None
    critical: float | None = None


NO_STEPS = Steps()


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    found = [models.Threshold(value=None, color="green")]
    if steps.warning is not None:
        found.append(models.Threshold(value=steps.warning, color="yellow"))
    if steps.critical is not None:
        found.append(models.Threshold(value=steps.critical, color="red"))
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _target(number: int, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(query.expr).legend_format(query.legend)


def figure(
    title: str, expr: str, description: str, *, unit: str = "short", steps: Steps = NO_STEPS, width: int = 4
) -> Figure:
    """Return a panel with one current figure. Without thresholds it has no colour."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(4)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .no_value("no data")
        .with_target(_target(0, Query(expr)).instant())
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(common.BigValueGraphMode.NONE)
    )
    if steps == NO_STEPS:
        return panel.color_mode(common.BigValueColorMode.NONE)
    return panel.color_mode(common.BigValueColorMode.BACKGROUND)


def chart(
    title: str,
    queries: Sequence[Query],
    description: str,
    *,
    unit: str = "short",
    stacked: bool = False,
    steps: Steps | None = None,
    highest: float | None = None,
    width: int = 12,
) -> Chart:
    """Return a panel of lines over time.

    Args:
        title: title of the panel.
        queries: a legend ``limit`` makes a dashed line that is never stacked.
        description: meaning of the panel, and what to do.
        unit: Grafana's name of the unit.
        stacked: whether the series add up.
        steps: thresholds, drawn as lines.
        highest: end of the axis, if it is fixed.
        width: in columns of 24.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(8)
        .unit(unit)
        .min(0)
        .line_width(2)
        .fill_opacity(25 if stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "mean", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if highest is not None:
        panel.max(highest)
    if steps:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(steps)).thresholds_style(style)
    if any(query.legend.startswith(LIMIT) for query in queries):
        panel.override_by_regexp(
            f"/^{LIMIT}/",
            [
                models.DynamicConfigValue("custom.stacking", {"mode": "none"}),
                models.DynamicConfigValue("custom.fillOpacity", 0),
                models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 6]}),
                models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
            ],
        )
    for number, query in enumerate(queries):
        panel.with_target(_target(number, query).range())
    return panel


class Column(NamedTuple):
    """A column of figures: its heading, query and unit."""

    heading: str
    expr: str
    unit: str = "short"


def rows(
    title: str, labels: dict[str, str], columns: Sequence[Column], description: str, *, width: int = 24
) -> table.Panel:
    """Return a table of current figures: a row for each combination of labels, a column for each query.

    Args:
        title: title of the panel.
        labels: heading by label; every query must keep exactly these labels.
        columns: figures. Rows are sorted by the first one, highest first.
        description: meaning of the panel.
        width: in columns of 24.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(8)
        .sort_by([common_builders.TableSortByFieldState().display_name(columns[0].heading).desc(True)])
    )
    names = dict(labels)
    for number, column in enumerate(columns):
        query = _target(number, Query(column.expr)).instant().format(PromQueryFormat.TABLE)
        panel.with_target(query)
        # The column of a single query has no letter.
        value = f"Value #{chr(ord('A') + number)}" if len(columns) > 1 else "Value"
        names[value] = column.heading
        panel.override_by_name(column.heading, [models.DynamicConfigValue("unit", column.unit)])
    options = {
        "renameByName": names,
        "indexByName": {name: index for index, name in enumerate(names)},
        # Hosts of two stacks may have the same name, and then two equal rows.
        "excludeByName": {"Time": True, "stack": "stack" not in labels},
    }
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))


def _variable(name: str, query: str, *, label: str, hidden: bool) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"Variable-{name}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        .hide(models.VariableHide.HIDE_VARIABLE if hidden else models.VariableHide.DONT_HIDE)
    )


def dashboard(
    name: str, title: str, description: str, *, database: str = "", user: str = ""
) -> builders.Dashboard:
    """Return a dashboard with variables and links, without panels.

    Args:
        name: end of its uid, and name of its file.
        title: end of its title.
        description: the question that it answers.
        database: query of the variable; without one it is hidden, but passed on to other dashboards.
        user: the same.
    """
    site = 'up{stack=~"$stack"}'
    variables: list[Builder[models.VariableModel]] = [
        _variable("stack", "label_values(up, stack)", label="Stack", hidden=False),
        _variable("host", f"label_values({site}, host)", label="Host", hidden=False),
        _variable("database", database or POOL_DATABASES, label="Database", hidden=not database),
        _variable("user", user or POOL_USERS, label="User", hidden=not user),
    ]
    link = (
        builders.DashboardLink("Pooled Postgres")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )
    return (
        builders.Dashboard(f"Pooled Postgres: {title}")
        .uid(f"pooled-{name}")
        .description(description)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("15s")
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(variables)
        .link(link)
    )


_POOLS = "pgbouncer_pools_client_active_connections"
POOL_DATABASES = f'label_values({_POOLS}{{{POOLER},database!="pgbouncer"}}, database)'
POOL_USERS = f"label_values({_POOLS}{{{TRAFFIC}}}, user)"
SERVER_DATABASES = f"label_values(pg_database_size_bytes{{{SERVER}}}, datname)"
SERVER_USERS = f'label_values(pg_stat_activity_count{{{SERVER},usename!=""}}, usename)'


def used_of_pool(by: str) -> str:
    """Return the share of the pool size that is in use, by labels.

    The size is that of the database entry. A pool of size 0 has no share.
    """
    return f"max by ({by}) (pooled:pgbouncer_pool_saturation:ratio{{{RECORDED_POOL}}})"


def pool_size() -> str:
    """Return the size of each pool of each process, with the labels of the pool."""
    in_use = f"pgbouncer_pools_server_active_connections{{{POOL}}}"
    size = f'label_replace(pgbouncer_databases_pool_size{{{POOLER}}}, "database", "$1", "name", "(.*)")'
    return (
        f"0 * {in_use}\n  + on (instance, database) group_left ()\n    max by (instance, database) ({size})"
    )
