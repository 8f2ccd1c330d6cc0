"""Airflow's metadata, as it is exported: what is declared, and the engine that reads it inside an environment.

``declared`` and ``declaration`` are read by the functions too; the rest runs in Airflow only. Nothing here imports
anything but Airflow, psycopg2, boto3 and the standard library.
"""
