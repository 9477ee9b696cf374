"""A small learned ranker over candidates of dense and lexical search: features of pairs, training, calibration, NIL."""
