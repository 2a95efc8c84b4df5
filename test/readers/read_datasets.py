"""Prints what Hugging Face's datasets finds in a folder, as JSON: the rows of each of its configurations."""

import json
import sys
import tempfile

import datasets

with tempfile.TemporaryDirectory() as cache:
    names = datasets.get_dataset_config_names(sys.argv[1])
    loaded = {name: datasets.load_dataset(sys.argv[1], name, split="train", cache_dir=cache) for name in names}
    rows = {name: dataset.to_list() for name, dataset in loaded.items()}
    default = datasets.load_dataset(sys.argv[1], split="train", cache_dir=cache)
json.dump({"configs": rows, "default": default.column_names == loaded["rollouts"].column_names}, sys.stdout)
