# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all dashboards share: variables, links, selectors, and the few kinds of panels."""

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

# Every series that a dashboard asks for goes through one of these.
_SITE = 'stack=~"$stack",host=~"$host"'
UP = _SITE
POOLER = f'job="pgbouncer",{_SITE}'
# The console is a database of its own, and those who look at it are no clients.
TRAFFIC = f'{POOLER},database=~"$database",database!="pgbouncer"'
POOL = f'{TRAFFIC},user=~"$user"'
SERVER = f'job="postgres",{_SITE}'
DATABASE = f'{SERVER},datname=~"$database"'
SESSION = f'{DATABASE},usename=~"$user"'
STATEMENT = f'{DATABASE},user=~"$user"'
NODE = f'job="node",{_SITE}'
# What the role's rules record: the same as the alerts look at. These series have no job.
RECORDED = _SITE
RECORDED_POOL = f'{_SITE},database=~"$database",user=~"$user"'
RECORDED_DATABASE = f'{_SITE},datname=~"$database"'

# A line of its own, not one of the stack below it. Queries of limits are named so.
LIMIT = "limit"


# What Grafana takes for rates: four scrapes at least.
RANGE = "[$__rate_interval]"


def rate(counter: str, selector: str, by: str = "") -> str:
    """Return what a counter grows by a second, all series together or by labels."""
    total = f"rate({counter}{{{selector}}}{RANGE})"
    return f"sum by ({by}) ({total})" if by else f"sum({total})"


class Query(NamedTuple):
    """A PromQL expression and what its series are called."""

    expr: str
    legend: str = ""


class Steps(NamedTuple):
    """From which value on something has to be looked at, and from which on it is wrong."""

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
    """Return a panel with one figure of this moment. Without thresholds it has no colour."""
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
        title: what is shown.
        queries: those whose legend is ``limit`` are drawn as dashed lines that are never stacked.
        description: what it means, and what to do.
        unit: Grafana's name of the unit.
        stacked: whether the series add up to something.
        steps: values at which lines are drawn.
        highest: end of the axis, where that is fixed.
        width: of the 24 columns.
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
    """Return a table of this moment: a row for each combination of labels, a column for each query.

    Args:
        title: what is shown.
        labels: heading by label, of those that say what a row is about; all queries keep exactly these.
        columns: its figures. The rows are sorted by the first of them, the highest first.
        description: what it means.
        width: of the 24 columns.
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
        # Where there is one query alone, its column has no letter.
        value = f"Value #{chr(ord('A') + number)}" if len(columns) > 1 else "Value"
        names[value] = column.heading
        panel.override_by_name(column.heading, [models.DynamicConfigValue("unit", column.unit)])
    options = {
        "renameByName": names,
        "indexByName": {name: index for index, name in enumerate(names)},
        # Two stacks may have a host of the same name: there they are two rows, which read alike.
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
    """Return a dashboard with its variables and links, and no panels yet.

    Args:
        name: what its uid and its file are called.
        title: what people call it.
        description: what it answers.
        database: query for the variable; without one it is hidden, and handed on to other dashboards.
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
    """Return the share of their pools' size that server connections in use make up, by labels.

    A pool's size is that of its database entry; those that forbid pooling have none, and no share.
    """
    return f"max by ({by}) (pooled:pgbouncer_pool_saturation:ratio{{{RECORDED_POOL}}})"


def pool_size() -> str:
    """Return the size of each pool of each process, with the labels of its pool."""
    in_use = f"pgbouncer_pools_server_active_connections{{{POOL}}}"
    size = f'label_replace(pgbouncer_databases_pool_size{{{POOLER}}}, "database", "$1", "name", "(.*)")'
    return (
        f"0 * {in_use}\n  + on (instance, database) group_left ()\n    max by (instance, database) ({size})"
    )
