//! Filters in force.
