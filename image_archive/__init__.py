"""The central archive: keeps every instance, finds it again, says when a study is complete."""
