"""What many parts of the package share: checks of arguments, files, processes, console."""
