"""Lossless compression of texts, pictures and sounds by any autoregressive model.

A model that expects well codes well: the file has as many bits as the model found its content
surprising (Shannon 1948), by an arithmetic coder. `codec` packs and unpacks, `report` compares.
"""
