"""Prints what Arrow's reader finds in a Parquet file, as JSON: a list of rows."""

import json
import sys

import pyarrow.parquet

json.dump(pyarrow.parquet.read_table(sys.argv[1]).to_pylist(), sys.stdout)
