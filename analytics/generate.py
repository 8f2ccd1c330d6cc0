"""Writes what reads the exports, from the declaration: ``python -m analytics.generate`` (a test holds it against that).

``template.yaml``: Glue tables and saved queries of Athena; ``duckdb.sql``: the same views for DuckDB. Tables are a
superset of all Airflow versions: what a version does not have is null.
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


def view(table: Table, source: str) -> str:
    """The newest version of each row; of a table that is exported whole, the rows of its newest export.

    A mapped task has one instance, of index -1, until it is expanded; then that instance gets the index 0.
    """
    names = [f'"{column.name}"' for column in table.columns] + [*ORIGIN, "exported_at"]
    rows = ", ".join(["account", "region", "environment", *(f'"{name}"' for name in key(table))])
    newest = f"row_number() over (partition by {rows} order by exported_at desc, export_id desc) as newest"
    last = "max(exported_at) over (partition by account, region, environment) as last_export"
    whole = " and exported_at = last_export" if table.time is None else ""
    inner = f"select *, {newest}, {last} from {source}"
    if table.name == "task_instance":
        task = ", ".join(["account", "region", "environment", '"dag_id"', '"task_id"', '"run_id"'])
        expanded = 'max(case when "map_index" >= 0 then exported_at end)'
        inner = f"select *, {newest}, {last}, {expanded} over (partition by {task}) as expanded_at from {source}"
        whole = ' and ("map_index" >= 0 or expanded_at is null or exported_at > expanded_at)'
    return f"select {', '.join(names)}\nfrom (\n  {inner}\n)\nwhere newest = 1{whole}"


def duckdb() -> str:
    """A macro for each table, which takes where the exports are: a folder, or the bucket as ``s3://``."""
    said = [
        "-- Written by analytics/generate.py.",
        "--   .read analytics/duckdb.sql",
        "--   from current_dag_run('s3://groundcrew-exports-111111111111-us-east-1');",
    ]
    for table in declared.TABLES.values():
        typed = [f'null::{DUCKDB[column.kind]} as "{column.name}"' for column in table.columns]
        typed += [f"null::varchar as {name}" for name in ORIGIN] + ["null::timestamptz as exported_at"]
        files = f"exports || '/tables/{table.name}/*/*.parquet'"
        source = (
            f"(select {', '.join(typed)} where false union all by name"
            f" select * from read_parquet({files}, union_by_name = true, hive_partitioning = false))"
        )
        macro = view(table, source)
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
        }
    }
    for table in declared.TABLES.values():
        resources[f"Table{_camel(table.name)}"] = _glue(table)
        query = f"create or replace view current_{table.name} as\n{view(table, table.name)}"
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
    columns = [{"Name": column.name, "Type": GLUE[column.kind]} for column in table.columns]
    columns += [{"Name": name, "Type": "string"} for name in ORIGIN] + [{"Name": "exported_at", "Type": "timestamp"}]
    location = {"Fn::Sub": f"s3://${{ExportsBucket}}/tables/{table.name}/"}
    parquet = "org.apache.hadoop.hive.ql.io.parquet"
    return {
        "Type": "AWS::Glue::Table",
        "Properties": {
            "CatalogId": {"Ref": "AWS::AccountId"},
            "DatabaseName": {"Ref": "Database"},
            "TableInput": {
                "Name": table.name,
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {
                    "classification": "parquet",
                    "projection.enabled": "true",
                    "projection.date.type": "date",
                    "projection.date.format": "yyyy-MM-dd",
                    "projection.date.range": {"Fn::Sub": "${FirstDate},NOW+1DAY"},
                    "storage.location.template": {
                        "Fn::Sub": f"s3://${{ExportsBucket}}/tables/{table.name}/date=${{!date}}/"
                    },
                },
                "PartitionKeys": [{"Name": "date", "Type": "string"}],
                "StorageDescriptor": {
                    "Location": location,
                    "Columns": columns,
                    "InputFormat": f"{parquet}.MapredParquetInputFormat",
                    "OutputFormat": f"{parquet}.MapredParquetOutputFormat",
                    "SerdeInfo": {"SerializationLibrary": f"{parquet}.serde.ParquetHiveSerDe"},
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
