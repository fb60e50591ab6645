//! The catalogue as a file.
