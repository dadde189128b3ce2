"""Pure decisions: values in, values out. No I/O, no clock of its own, standard library only."""
