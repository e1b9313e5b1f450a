"""`python -m rnn4music`: the command line."""

import sys

from rnn4music.cli import main

sys.exit(main())
