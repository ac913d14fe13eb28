"""How good a model and what it made are: likelihood, variety, repetition, beside human text."""
