"""The signatures of an exported model: their names, inputs and outputs.

| signature          | inputs                                            | outputs                              |
|--------------------|---------------------------------------------------|--------------------------------------|
| `serving_default`  | `image_bytes` string [N], `sex` string [N]        | `bone_age_months` float [N],         |
|                    |                                                   | `bone_age_low_months`,               |
|                    |                                                   | `bone_age_high_months`, `status`     |
| `predict_prepared` | `image` uint8 [N, height, width, 1], `sex`        | the same without `status`            |
| `prepare`          | `image_bytes` string [N]                          | `image` uint8 [N, ...], `status`,    |
|                    |                                                   | `prepared_to_original` float [N, 2, 3]|
| `explain`          | as `predict_prepared`                             | `heat` float [N, h, w], `features`   |
|                    |                                                   | float [N, c], `bone_age_months`      |
| `network`          | `image`, `sex_code` int32 [N]: 0 F, 1 M, 2 unknown | `months` float [N]                   |

`image_bytes` are PNG or JPEG files, `sex` is `F`, `M` or `unknown`. `status` is `ok` or the reason
why a radiograph is rejected (`preprocessing/rejections.py`), and all its months are then -1; so are the ends
of the interval of a model without intervals. A file
that is no usable PNG or JPEG fails the request with INVALID_ARGUMENT and a text
`refused (REASON): ...`.

`explain`, of a run alone, not of an ensemble: `heat` is Grad-CAM for a regression (Selvaraju et al.
2017), in months: the backbone's feature maps, each times the mean gradient of the months to it, summed;
a cell is so many of h x w equal parts of the region that the network sees. `features` are the feature
maps' means, `bone_age_months` those of the unaugmented radiograph: with test-time augmentation, the prediction is a
mean over several views, and explanations refer to the first view, the radiograph itself.

`network`, of a run alone as well, is what other engines run: the network on one view, before the mean over
views, the recalibration and the prediction interval.

With a sex classifier, `serving_default` and `predict_prepared` have one more output,
`boy_probability` float [N]: the probability that the hand is a boy's, independent of `sex`; -1 where rejected.

The variable `correction`, float32 [3, 241], holds for F, M and unknown the bone age that each whole number of months
of the network becomes: by the recalibration of the folds of a run, otherwise the same, until `calibrate` writes others. The result is
clipped to 0 to 240 months. The variable `intervals` holds how far the prediction intervals reach.

The graph of the shipped model is older. Its `correction` is [3, 2], an intercept in months and a slope, and its `intervals`
[3, bands], half-widths, -1 where there are none.
"""

SERVING = "serving_default"
PREDICT_PREPARED = "predict_prepared"
PREPARE = "prepare"
EXPLAIN = "explain"
NETWORK = "network"
IMAGE_BYTES = "image_bytes"
HEAT = "heat"
FEATURES = "features"
SEX_CODE = "sex_code"
MONTHS = "months"
STATUS = "status"
PREPARED_TO_ORIGINAL = "prepared_to_original"
CORRECTION = "correction"
"""Variable of the SavedModel, float32 [3, 241]: the answers for F, M and unknown at `apply.GRID_MONTHS`."""
INTERVALS = "intervals"
"""Variable of the SavedModel, float32 [3, bands, 2]: months from an answer to the ends of its interval, by sex and age
band (`postprocessing/conformal.py`); NaN where there is none."""
REJECTED_MONTHS = -1.0
"""Placeholder for a missing bone age, interval or probability: outside their ranges."""
