"""The clean-up of Airflow 2's database: which runs go (``plan``), and how they go (``act``)."""
