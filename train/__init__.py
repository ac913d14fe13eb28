"""One script per modality trains the published checkpoints; `loop.py` is what they share."""
