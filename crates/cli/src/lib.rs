//! The command line: commands, flags, tables, the terminal.
