"""From logits to a token: processors change the distribution, a strategy chooses, and all of it
is told in Steps."""
