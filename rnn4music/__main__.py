"""`python -m rnn4music`: the command line."""

import sys

from rnn4music.command_line import main

sys.exit(main())
