"""A finished run as others read it: the layouts of data sets, with a card and the licences of all that is in it."""
