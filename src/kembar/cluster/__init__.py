"""A run in parts: stages from files to files, within a memory, resumed where it stopped, here or on Ray."""
