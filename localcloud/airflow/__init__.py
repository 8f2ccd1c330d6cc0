"""A real Airflow on a real PostgreSQL: what stands behind an environment of the local cloud when a double will not do.

Linux only. Each version is installed with its own lock by ``make .tools/airflow-2.10.3/.ready``.
"""
