//! `scim-edge`: the guests and everything they need, in one program.

fn main() {}
