"""`python -m chaos.mutants`: what finds each planted bug, and the score."""

import sys

from chaos.mutants.score import main

sys.exit(main())
