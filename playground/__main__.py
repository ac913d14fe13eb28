"""python -m playground: see `command_line.py`."""

import sys

from playground.command_line import main

sys.exit(main())
