"""Map the folders at the top of the repository into the one package `towermill`."""

from setuptools import find_packages, setup

FOLDERS = ("workflows", "models", "pipelines", "recipes", "requirements")

packages = find_packages(include=["towermill", "towermill.*"])
for folder in FOLDERS:
    packages += [f"towermill.{name}" for name in find_packages(include=[folder, f"{folder}.*"])]

packages.append("towermill.requirements")  # lock files alone

setup(
    # A development checkout has links to these folders inside `towermill`: each is listed once.
    packages=sorted(set(packages)),
    package_dir={"towermill": "towermill", **{f"towermill.{f}": f for f in FOLDERS}},
)
