"""The mentions of one text, answered together: what goes together is likelier."""
