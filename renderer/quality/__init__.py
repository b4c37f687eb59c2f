"""What can be wrong with a rendering, measured, and when a segment is rendered again."""
