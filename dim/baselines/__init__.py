"""Methods that are not trained: the bars that a trained model has to clear, each a config and a row."""
