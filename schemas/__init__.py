"""What crosses a boundary: tables and documents, as typed rows. Knows pyarrow alone."""
