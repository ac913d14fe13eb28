"""Speed beside peers, both sides in one run: `python -m bench TASK`."""
