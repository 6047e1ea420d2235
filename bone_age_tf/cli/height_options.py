"""Options of the heights of a child and its parents, for the predicted adult height."""

from typing import Any

import click

from bone_age_tf.cli.options import Command

HEIGHT_UNITS = ("cm", "m", "in")


def heights_options(command: Command) -> Command:
    """Heights of the child and its parents: options, and the columns and the unit of `--labels`."""
    persons = {"": "child", "mother-": "mother", "father-": "father"}
    unit = click.option(
        "--height-unit", type=click.Choice(HEIGHT_UNITS), help="Unit of heights in --labels. [cm]"
    )
    command = unit(command)
    for person, whose in reversed(persons.items()):
        text = f"Column of the {whose}'s height in --labels."
        command = click.option(f"--{person}height-column", help=text)(command)
    for person, whose in reversed(persons.items()):
        text = f"Height of the {whose} in centimetres, where --labels has none"
        text += "." if person else "; adds the predicted adult height."
        command = click.option(f"--{person}height-cm", type=float, help=text)(command)
    return command


def pop_heights(options: dict[str, Any]) -> Any:
    """Take the heights out of `options`; returns `growth.Heights`. Raises `UsageError` where one is in another unit."""
    from bone_age_tf.growth.assessment import Heights
    from bone_age_tf.growth.inputs import ADULT_CM, INFANT_CM, centimetres_of

    names = {"height_cm": INFANT_CM, "mother_height_cm": ADULT_CM, "father_height_cm": ADULT_CM}
    given = {name: options.pop(name) for name in names}
    return Heights(
        *(
            None
            if value is None
            else centimetres_of(f"--{name.replace('_', '-')}", value, names[name])
            for name, value in given.items()
        )
    )
