"""The package `bone-age-tf-model`: the shipped model for `pip install`, apart from the program, under its own terms."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = "2"
"""One higher for each model that is shipped."""
MODEL = "bone_age/1"
"""Its folder, whatever the version. Higher numbers in a clone are exports of its owner, and are not packed."""

setup(
    name="bone-age-tf-model",
    version=VERSION,
    description="Bone age from a radiograph of the left hand: the model that bone-age-tf uses by default",
    long_description=(HERE / "bone_age/README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="LicenseRef-RSNA-non-commercial",
    license_files=["LICENSE"],
    package_dir={"bone_age_tf_model": "."},
    packages=["bone_age_tf_model"],
    package_data={
        "bone_age_tf_model": [
            "LICENSE",
            "bone_age/README.md",
            f"{MODEL}/*",
            f"{MODEL}/variables/*",
        ]
    },
    entry_points={"bone_age_tf.models": ["bone_age = bone_age_tf_model"]},
)
