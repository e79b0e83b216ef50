"""What the driver raises."""


class CannotInject(Exception):
    """The faults cannot be tried here, or the driver met something that it does not understand."""
