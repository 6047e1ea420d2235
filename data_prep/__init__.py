"""Raw radiographs and label tables -> a data set of prepared radiographs.

The folder `data_prep/` of the repository is the package `bone_age_tf.data_prep`.
"""

if __name__ != "bone_age_tf.data_prep":
    raise ImportError(
        f"This package is imported as bone_age_tf.data_prep, not as {__name__}: "
        "every module would exist twice otherwise."
    )
