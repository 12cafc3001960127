"""The commands of `eirhub`, one module for each subject."""
