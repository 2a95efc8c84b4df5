"""Starts: `python .../probeward/__main__.py FILE`, with frames on standard input and answers on standard output."""

import os
import sys

# Found by its own path, so that nothing of the folder in which a study is run takes the place of what is imported here.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

if sys.version_info < (3, 9):  # noqa: UP036
    sys.exit("Python 3.9 or later is needed, and this is %s (PROBEWARD_PYTHON names another)" % sys.version.split()[0])

from probeward.process import main  # noqa: E402

main(sys.argv[1])
