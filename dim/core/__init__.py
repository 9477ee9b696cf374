"""What every room stands on: files that are written whole, blocks of work, locks, the door for class names, options."""
