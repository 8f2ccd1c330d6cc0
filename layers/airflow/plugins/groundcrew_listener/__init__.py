"""An Airflow plugin that puts ``DAG Run State Change`` on the default bus of its own account."""
