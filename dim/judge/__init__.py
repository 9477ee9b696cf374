"""The third stage: a judge that reads a mention beside the texts of its best candidates, where that pays."""
