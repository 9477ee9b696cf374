"""Any number of runs in one comparison, with intervals, paired tests and what was published."""
