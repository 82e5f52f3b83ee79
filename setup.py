"""Says what pyproject.toml cannot: that configs/ is the package npid_tf.configs."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["npid_tf", "npid_tf.*"]), "npid_tf.configs"],
    package_dir={"npid_tf.configs": "configs"},
    package_data={
        "": ["py.typed", "web/*", "templates/*"],
        "npid_tf.configs": ["*.cfg"],
    },
    # Recipes name one another as configs/NAME: flagfiles are used from here.
    data_files=[("share/npid_tf/configs", sorted(map(str, Path("configs").glob("*"))))],
)
