"""Run the command line as `python -m harness`."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the current folder, in which modules of ours are not to be looked for

from harness.cli.main import main

if __name__ == "__main__":
    main()
