"""How good a model is: likelihood of text it has not seen."""
