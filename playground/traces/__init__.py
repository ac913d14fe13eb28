"""What happened: one Step a decision, a Trace of Steps, and the figures computed from them."""
