"""What Airflow finds by the entry point ``airflow.plugins``; every Airflow process imports it, so it only registers."""

from airflow.plugins_manager import AirflowPlugin

from groundcrew_listener import hooks


class GroundcrewPlugin(AirflowPlugin):  # type: ignore[misc]
    """Registers the listener."""

    name = "groundcrew"
    listeners = [hooks]  # noqa: RUF012 - as Airflow declares it; a module, for 2.7 asks listeners for __name__
