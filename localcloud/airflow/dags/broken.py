"""A DAG file that cannot be imported."""

from airflow import no_such_name

no_such_name()  # the word DAG makes Airflow look at this file
