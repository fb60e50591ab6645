//! Answers that are lost on the way.
