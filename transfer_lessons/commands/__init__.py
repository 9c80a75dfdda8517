"""What each command of `transfer-lessons` does; `transfer_lessons.cli` reads the command line."""
