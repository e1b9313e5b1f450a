"""What a TOML file or a command line describes: settings, music, a run."""
