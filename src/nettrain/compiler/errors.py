"""What this compiler says of a function that it has no code for."""


class CannotCompile(Exception):
    """The function does something that this compiler has no code for; the message names it."""
