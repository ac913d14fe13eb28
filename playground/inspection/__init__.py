"""What the model looked at: computed on demand, for one position."""
