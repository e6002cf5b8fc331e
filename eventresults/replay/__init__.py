"""Reading the log again: what the whole system looked like at a moment, and stretches of it folded, sent or printed anew."""
