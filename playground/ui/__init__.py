"""Widgets, charts and state of the pages: the only package that imports streamlit."""
