//! A short way to write a seat plan down.
