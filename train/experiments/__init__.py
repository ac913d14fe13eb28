"""The experiments of the lesson: each module trains or measures, and returns a table."""
