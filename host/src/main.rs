//! `scim-edge`: the guests and everything they need, in one program.

#[allow(dead_code)]
mod front;

fn main() {}
