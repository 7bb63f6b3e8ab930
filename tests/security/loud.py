"""The program with everything logged that any of its parts has to say: `python -m tests.security.loud run`."""

import logging
import sys

from bots import __main__, console
from bots.settings import Settings

_logs = console.logs


def everything(settings: Settings) -> None:
    """As the program sets its log up, but down to DEBUG."""
    _logs(settings)
    logging.getLogger().setLevel(logging.DEBUG)


if __name__ == "__main__":
    console.logs = everything
    sys.exit(__main__.main())
