"""What no package may import: wiring, the command line, migrations, the demo."""
