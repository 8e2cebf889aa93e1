"""Errors, named by what the caller should do about them.

Anything else that is raised is a bug and comes with its trace.
"""


class UnusableInputError(ValueError):
    """This input will never work as it is: record the reason and go on, do not retry."""


class EndedReadingError(UnusableInputError):
    """The process that read this input crashed or did not answer: it is tried once more, then set aside."""


class SkippedSceneError(ValueError):
    """The scene was understood and is not worth a product (too few valid pixels): record it as skipped."""


class UnreadableInputError(OSError):
    """The storage, not the content, refused: worth another try later."""


class SettingsError(ValueError):
    """A setting is wrong; the message names it, what was wanted and what was found."""


class DamagedProductError(ValueError):
    """A published product does not match its manifest; the message names the part."""
