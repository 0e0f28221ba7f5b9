//! Tests of the whole CM.
