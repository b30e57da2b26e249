"""A schema of Grafana's provisioning files, made from its own types, because Grafana publishes none.

Grafana reads these files into Go structs and ignores unknown keys: a misspelled key is no error and has no
effect. So the schema allows only the fields of the structs. The fields and their types are those of
https://github.com/grafana/grafana, below pkg/services/provisioning:

- datasources/types.go at 01c834234982c8ae5eba61acd1313c1c4443e9dd: configsV1, upsertDataSourceFromConfigV1,
  deleteDatasourceConfigV1;
- dashboards/types.go at 1411ff8797bd3fc717e206d6afa9bd1fccd9567f: configV1, configs; of its options
  those of a provider of the type file (dashboards/file_reader.go);

and for Prometheus' jsonData PromOptions of packages/grafana-prometheus/src/types.ts at
0e9025bbc1327cc90c2f75210d5470efce944bfb.
"""

from __future__ import annotations

from typing import Any

import jsonschema

TEXT, WHOLE, TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}


def _struct(required: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    """Return the schema of a struct with exactly these fields."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": fields,
    }


def _several(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": schema}


_PROMETHEUS = _struct(
    (),
    timeInterval={"type": "string", "pattern": r"^\d+(ms|s|m|h|d|w)$"},
    queryTimeout=TEXT,
    httpMethod={"enum": ["GET", "POST"]},
    customQueryParameters=TEXT,
    disableMetricsLookup=TRUTH,
    exemplarTraceIdDestinations={"type": "array"},
    prometheusType={"enum": ["Cortex", "Mimir", "Prometheus", "Thanos"]},
    prometheusVersion=TEXT,
    cacheLevel={"enum": ["Low", "Medium", "High", "None"]},
    defaultEditor=TEXT,
    incrementalQuerying=TRUTH,
    incrementalQueryOverlapWindow=TEXT,
    disableRecordingRules=TRUTH,
    allowAsRecordingRulesTarget=TRUTH,
    sigV4Auth=TRUTH,
    oauthPassThru=TRUTH,
    codeModeMetricNamesSuggestionLimit=WHOLE,
    seriesEndpoint=TRUTH,
)

DATASOURCES = _struct(
    ("apiVersion", "datasources"),
    apiVersion={"const": 1},
    datasources=_several(
        _struct(
            ("name", "type", "access", "uid", "url"),
            orgId=WHOLE,
            orgName=TEXT,
            version=WHOLE,
            name=TEXT,
            # Other types have other jsonData.
            type={"const": "prometheus"},
            access={"enum": ["proxy", "direct"]},
            url={"type": "string", "pattern": "^https?://"},
            user=TEXT,
            database=TEXT,
            basicAuth=TRUTH,
            basicAuthUser=TEXT,
            withCredentials=TRUTH,
            isDefault=TRUTH,
            correlations={"type": "array", "items": {"type": "object"}},
            jsonData=_PROMETHEUS,
            secureJsonData={"type": "object", "additionalProperties": TEXT},
            editable=TRUTH,
            uid=TEXT,
        )
    ),
    deleteDatasources=_several(_struct(("name",), orgId=WHOLE, orgName=TEXT, name=TEXT)),
)

DASHBOARDS = _struct(
    ("apiVersion", "providers"),
    apiVersion={"const": 1},
    providers=_several(
        _struct(
            ("name", "type", "options"),
            name=TEXT,
            type={"const": "file"},
            orgId=WHOLE,
            folder=TEXT,
            folderUid=TEXT,
            editable=TRUTH,
            options=_struct(
                ("path",), path={"type": "string", "pattern": "^/"}, foldersFromFilesStructure=TRUTH
            ),
            disableDeletion=TRUTH,
            updateIntervalSeconds=WHOLE,
            allowUiUpdates=TRUTH,
        )
    ),
)


def problems(document: Any, schema: dict[str, Any]) -> list[str]:
    """Return what Grafana would refuse or ignore, each with its place."""
    found = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return sorted(f"{error.json_path}: {error.message}" for error in found)
