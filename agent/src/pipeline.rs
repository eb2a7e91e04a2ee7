//! Joins the steps.
