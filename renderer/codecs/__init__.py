"""Audio to codes and back: the protocol, Piano-Encodec, and the light codecs for CPUs."""
