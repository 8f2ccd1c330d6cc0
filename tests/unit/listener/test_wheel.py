"""The wheel as it is shipped."""

import subprocess
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "layers/airflow/plugins"


def build(into: Path) -> Path:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["required-version"].removeprefix("==")
    uv = ROOT / f".tools/uv/{version}/bin/uv"
    subprocess.run([uv, "build", "--offline", "--quiet", "--wheel", "--out-dir", into, SOURCE], check=True)
    return next(into.glob("*.whl"))


def test_it_is_always_the_same(tmp_path: Path) -> None:
    assert build(tmp_path / "first").read_bytes() == build(tmp_path / "second").read_bytes()


def test_airflow_finds_its_plugin_and_pip_fetches_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        code = {name for name in wheel.namelist() if name.endswith(".py")}
        info = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert code == {f"groundcrew_listener/{file.name}" for file in SOURCE.glob("groundcrew_listener/*.py")}
    assert info["entry_points.txt"].split() == [
        "[airflow.plugins]",
        "groundcrew",
        "=",
        "groundcrew_listener.plugin:GroundcrewPlugin",
    ]
    assert Parser().parsestr(info["METADATA"]).get_all("Requires-Dist") is None
    assert "Root-Is-Purelib: true" in info["WHEEL"]
