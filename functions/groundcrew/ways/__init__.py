"""The ways into an environment's Airflow: by its REST API and by its command line, asked alike."""
