"""The benchmark: what one run of a deployment costs, and against what. Begin with README.md; run `python -m bench`."""
