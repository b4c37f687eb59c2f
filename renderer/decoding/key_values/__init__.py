"""Keys and values that decoding has seen, and the attention of a step to them: as each device reads them fastest."""
