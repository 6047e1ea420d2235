"""`python -m bone_age_tf` is `bone-age-tf`."""

from bone_age_tf.cli.main import main

main()
