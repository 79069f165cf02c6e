"""The flags of the released train.py: prints the equivalent `nas` command and runs it."""

import sys

from nas import console
from nas.cli.official import run, train_line
from nas.errors import NasError

if __name__ == "__main__":
    try:
        line = train_line(sys.argv[1:])
    except NasError as error:
        console.fail(str(error))
        sys.exit(2)
    sys.exit(run(line))
