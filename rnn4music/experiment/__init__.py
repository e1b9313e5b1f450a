"""What a TOML file or a command line describes: options, music, a run."""
