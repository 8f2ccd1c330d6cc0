"""Writes what reads the exports, from the declaration: ``python -m analytics.generate`` (a test holds it against that).

``template.yaml``: Glue tables and saved queries of Athena; ``duckdb.sql``: the same views for DuckDB. Tables are a
superset of all Airflow versions: what a version does not have is null. What has no manifest is no export, so views show
the rows of those that have one; the table ``exports`` are the manifests themselves.
"""

import json
from pathlib import Path
from typing import Any

from exports.outside_columns import KEYS
from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Kind, Table

HERE = Path(__file__).parent
ORIGIN = ("account", "region", "environment", "export_id")
GLUE = {
    Kind.TEXT: "string", Kind.INTEGER: "int", Kind.BIGINT: "bigint", Kind.DOUBLE: "double", Kind.BOOLEAN: "boolean",
    Kind.TIMESTAMP: "timestamp", Kind.JSON: "string", Kind.UUID: "string",
}  # fmt: skip
DUCKDB = {
    Kind.TEXT: "varchar", Kind.INTEGER: "integer", Kind.BIGINT: "bigint", Kind.DOUBLE: "double",
    Kind.BOOLEAN: "boolean", Kind.TIMESTAMP: "timestamptz", Kind.JSON: "varchar", Kind.UUID: "varchar",
}  # fmt: skip

MANIFEST = {
    "export_id": "string", "policy": "string", "reason": "string", "engine": "string", "airflow_version": "string",
    "snapshot_at": "string", "environment": "struct<account:string,region:string,name:string>",
    "environment_made_at": "string", "tables": "map<string,struct<rows:bigint>>",
}  # fmt: skip
"""Of what a manifest says, the columns of the table ``exports``: one line of JSON each."""

DUCKDB_MANIFEST = {
    "export_id": "varchar", "snapshot_at": "timestamptz", "environment_made_at": "timestamptz",
    "environment": "struct(account varchar, region varchar, name varchar)", "tables": "map(varchar, json)",
}  # fmt: skip

EXPORTS = (
    "select environment.account as account, environment.region as region, environment.name as environment, export_id,"
    " tables, {snapshot_at} as moment, {environment_made_at} as made_at from {manifests}"
)

QUESTIONS = {
    "slowest tasks": (
        "select environment, dag_id, task_id, count(*) as runs,\n"
        "  avg(duration) as mean_seconds, max(duration) as worst_seconds\n"
        "from current_task_instance where state = 'success'\n"
        "group by environment, dag_id, task_id order by mean_seconds desc limit 50"
    ),
    "failures by owner": (
        "select i.environment, d.owners, i.dag_id, count(*) as failures\n"
        "from current_task_instance i\n"
        "left join current_dag d on d.account = i.account and d.region = i.region and d.environment = i.environment"
        " and d.dag_id = i.dag_id\n"
        "where i.state = 'failed' group by i.environment, d.owners, i.dag_id order by failures desc"
    ),
    "queue time": (
        "select environment, queue, pool, count(*) as instances,\n"
        "  avg(date_diff('second', queued_dttm, start_date)) as mean_seconds_queued\n"
        "from current_task_instance where queued_dttm is not null and start_date is not null\n"
        "group by environment, queue, pool order by mean_seconds_queued desc"
    ),
}


def key(table: Table) -> tuple[str, ...]:
    """What tells rows of a table apart within an environment, whatever its version."""
    return KEYS.get(table.name) or tuple(dict.fromkeys((*table.key, *table.key_of_3)))


def view(table: Table, source: str, exports: str) -> str:
    """The newest version of each row; of a table that is exported whole, the rows of its newest export, if it has any.

    ``exports`` says of each manifest whose export it is and of what moment: what broke off has left rows, and none.
    Of an environment that was made anew, only exports of the newest one: ids begin again in its new database.
    A mapped task has one instance, of index -1, until it is expanded; then that instance gets the index 0.
    """
    names = ", ".join([f'"{column.name}"' for column in table.columns] + [*ORIGIN, "exported_at"])
    origin = ", ".join(ORIGIN)
    last_made = "max(made_at) over (partition by account, region, environment)"
    published = (
        f"select * from (select *, {last_made} as last_made_at from ({exports}))\n"
        f"    where contains(map_keys(tables), '{table.name}') and (made_at = last_made_at or made_at is null)"
    )
    if table.time is None:
        last = "row_number() over (partition by account, region, environment order by moment desc, export_id desc)"
        last = f"select {origin} from (select {origin}, {last} as newest from (\n    {published}\n  )) where newest = 1"
        return f"select {names}\nfrom {source} join (\n  {last}\n) using ({origin})"
    rows = ", ".join(["account", "region", "environment", *(f'"{name}"' for name in key(table))])
    added = [f"row_number() over (partition by {rows} order by exported_at desc, export_id desc) as newest"]
    where = "newest = 1"
    if table.name == "task_instance":
        task = ", ".join(["account", "region", "environment", '"dag_id"', '"task_id"', '"run_id"'])
        expanded = 'max(case when "map_index" >= 0 then exported_at end)'
        added.append(f"{expanded} over (partition by {task}) as expanded_at")
        where += ' and ("map_index" >= 0 or expanded_at is null or exported_at > expanded_at)'
    inner = (
        f"select *, {', '.join(added)}\n  from {source} join (\n    select {origin} from (\n    {published}\n    )\n  )"
    )
    return f"select {names}\nfrom (\n  {inner} using ({origin})\n)\nwhere {where}"


def duckdb() -> str:
    """A macro for each table, which takes where the exports are: a folder, or the bucket as ``s3://``."""
    said = [
        "-- Written by analytics/generate.py.",
        "--   .read analytics/duckdb.sql",
        "--   from current_dag_run('s3://groundcrew-exports-111111111111-us-east-1');",
    ]
    typed = ", ".join(f"{name}: '{kind}'" for name, kind in DUCKDB_MANIFEST.items())
    manifests = f"read_json(exports || '/manifests/*/*/*/*.json', hive_partitioning = false, columns = {{{typed}}})"
    exports = EXPORTS.format(snapshot_at="snapshot_at", environment_made_at="environment_made_at", manifests=manifests)
    for table in declared.TABLES.values():
        nulls = [f'null::{DUCKDB[column.kind]} as "{column.name}"' for column in table.columns]
        nulls += [f"null::varchar as {name}" for name in ORIGIN] + ["null::timestamptz as exported_at"]
        files = f"exports || '/tables/{table.name}/*/*.parquet'"
        source = (
            f"(select {', '.join(nulls)} where false union all by name"
            f" select * from read_parquet({files}, union_by_name = true, hive_partitioning = false))"
        )
        macro = view(table, source, exports)
        said.append(f"create or replace macro current_{table.name}(exports) as table\n{macro};")
    return "\n\n".join(said) + "\n"


def template() -> dict[str, Any]:
    """CloudFormation, as JSON, which is YAML."""
    resources: dict[str, Any] = {
        "Database": {
            "Type": "AWS::Glue::Database",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseInput": {"Name": {"Ref": "DatabaseName"}, "Description": "What Groundcrew exports"},
            },
        },
        "TableExports": _exports(),
    }
    moments = {name: f"from_iso8601_timestamp({name})" for name in ("snapshot_at", "environment_made_at")}
    exports = EXPORTS.format(**moments, manifests="exports")
    for table in declared.TABLES.values():
        resources[f"Table{_camel(table.name)}"] = _glue(table)
        query = f"create or replace view current_{table.name} as\n{view(table, table.name, exports)}"
        resources[f"View{_camel(table.name)}"] = _query(f"view current_{table.name}", query)
    for name, text in QUESTIONS.items():
        resources[f"Query{_camel(name.replace(' ', '_'))}"] = _query(name, text)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Groundcrew: tables and saved queries over what is exported. Written by analytics/generate.py.",
        "Parameters": {
            "ExportsBucket": {"Type": "String", "Description": "Output ExportsBucket of the hub."},
            "DatabaseName": {"Type": "String", "Default": "groundcrew", "Description": "Name of the Glue database."},
            "FirstDate": {
                "Type": "String",
                "Default": "2026-01-01",
                "AllowedPattern": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
                "Description": "Of the oldest export; there are no partitions before it.",
            },
        },
        "Resources": resources,
    }


def _glue(table: Table) -> dict[str, Any]:
    columns = {column.name: GLUE[column.kind] for column in table.columns}
    columns |= dict.fromkeys(ORIGIN, "string") | {"exported_at": "timestamp"}
    parquet = "org.apache.hadoop.hive.ql.io.parquet"
    formats = (f"{parquet}.MapredParquetInputFormat", f"{parquet}.MapredParquetOutputFormat")
    found = _table(table.name, f"tables/{table.name}/", columns, formats, f"{parquet}.serde.ParquetHiveSerDe")
    found["Properties"]["TableInput"] |= {
        "Parameters": {
            "classification": "parquet",
            "projection.enabled": "true",
            "projection.date.type": "date",
            "projection.date.format": "yyyy-MM-dd",
            "projection.date.range": {"Fn::Sub": "${FirstDate},NOW+1DAY"},
            "storage.location.template": {"Fn::Sub": f"s3://${{ExportsBucket}}/tables/{table.name}/date=${{!date}}/"},
        },
        "PartitionKeys": [{"Name": "date", "Type": "string"}],
    }
    return found


def _exports() -> dict[str, Any]:
    """Manifests: Athena reads a location with all that is below it."""
    formats = (
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    )
    found = _table("exports", "manifests/", MANIFEST, formats, "org.openx.data.jsonserde.JsonSerDe")
    found["Properties"]["TableInput"]["Parameters"] = {"classification": "json"}
    return found


def _table(name: str, folder: str, columns: dict[str, str], formats: tuple[str, str], serde: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Glue::Table",
        "Properties": {
            "CatalogId": {"Ref": "AWS::AccountId"},
            "DatabaseName": {"Ref": "Database"},
            "TableInput": {
                "Name": name,
                "TableType": "EXTERNAL_TABLE",
                "StorageDescriptor": {
                    "Location": {"Fn::Sub": f"s3://${{ExportsBucket}}/{folder}"},
                    "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
                    "InputFormat": formats[0],
                    "OutputFormat": formats[1],
                    "SerdeInfo": {"SerializationLibrary": serde},
                },
            },
        },
    }


def _query(name: str, text: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Athena::NamedQuery",
        "Properties": {"Name": f"groundcrew {name}", "Database": {"Ref": "Database"}, "QueryString": text},
    }


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


FILES = {
    "template.yaml": lambda: json.dumps(template(), indent=1) + "\n",
    "duckdb.sql": duckdb,
}


def main() -> None:
    """Write them."""
    for name, content in FILES.items():
        (HERE / name).write_text(content())


if __name__ == "__main__":
    main()
