"""Run folders: their identity, their files, and the record of where they were made."""
