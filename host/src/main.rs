//! `scim-edge`: the guests and everything they need, in one program.

#[allow(dead_code)]
mod front;
#[allow(dead_code)]
mod spin;

fn main() {}
