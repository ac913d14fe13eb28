"""Objects to tokens and back, one file a modality."""
