//! The three provisioning permissions, and what a claim grants of them.

use serde_json::{Value, json};

/// One right over the connections of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// See connections.
    Read,
    /// Create, pause, resume, rename, rotate.
    Write,
    /// Delete.
    Delete,
}

impl Permission {
    /// Every permission there is.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Delete];

    /// The name in a claim.
    pub fn key(self) -> &'static str {
        match self {
            Self::Read => "fe.secure.read.provisioningConfiguration",
            Self::Write => "fe.secure.write.provisioningConfiguration",
            Self::Delete => "fe.secure.delete.provisioningConfiguration",
        }
    }

    /// The stable id in the role API.
    pub fn id(self) -> &'static str {
        match self {
            Self::Read => "5c1a7f0e-5f0b-4d0e-9a51-7d2f5a1c0001",
            Self::Write => "5c1a7f0e-5f0b-4d0e-9a51-7d2f5a1c0002",
            Self::Delete => "5c1a7f0e-5f0b-4d0e-9a51-7d2f5a1c0003",
        }
    }

    /// The permission of that id.
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.id() == id)
    }

    /// What the role API shows.
    pub fn describe(self) -> Value {
        let (name, description) = match self {
            Self::Read => ("Read provisioning", "See provisioning connections"),
            Self::Write => ("Write provisioning", "Create, pause, resume and rotate provisioning connections"),
            Self::Delete => ("Delete provisioning", "Delete provisioning connections"),
        };
        json!({ "id": self.id(), "key": self.key(), "name": name, "description": description })
    }

    /// The wildcard that covers just this verb.
    fn wildcard(self) -> &'static str {
        match self {
            Self::Read => "fe.secure.read.*",
            Self::Write => "fe.secure.write.*",
            Self::Delete => "fe.secure.delete.*",
        }
    }
}

/// A set of permissions.
///
/// ```
/// use scim_engine::connections::permission::{Grants, Permission};
/// let grants: Grants = ["fe.secure.read.*", "fe.other.*"].into_iter().collect();
/// assert!(grants.includes(Permission::Read) && !grants.includes(Permission::Write));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants([bool; 3]);

impl Grants {
    /// Whether it holds that permission.
    pub fn includes(self, permission: Permission) -> bool {
        let Self([read, write, delete]) = self;
        match permission {
            Permission::Read => read,
            Permission::Write => write,
            Permission::Delete => delete,
        }
    }

    /// This set and another.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (Self([r, w, d]), Self([read, write, delete])) = (self, other);
        Self([r || read, w || write, d || delete])
    }
}

impl<'a> FromIterator<&'a str> for Grants {
    /// What the entries of a `permissions` claim grant, wildcards included; other permissions grant nothing here.
    fn from_iter<I: IntoIterator<Item = &'a str>>(claims: I) -> Self {
        let granted = |claim: &str| {
            let covers = |p: Permission| claim == p.key() || claim == p.wildcard() || claim == "fe.secure.*";
            Self(Permission::ALL.map(covers))
        };
        claims.into_iter().map(granted).fold(Self::default(), Self::or)
    }
}

impl FromIterator<Permission> for Grants {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().map(Permission::key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_grants_what_it_names_and_nothing_else() {
        let check = |claims: &[&str], rights: &str| {
            let grants: Grants = claims.iter().copied().collect();
            let letters = [(Permission::Read, 'r'), (Permission::Write, 'w'), (Permission::Delete, 'd')];
            let held: String = letters.iter().filter(|(p, _)| grants.includes(*p)).map(|(_, letter)| letter).collect();
            assert_eq!(held, rights, "{claims:?}");
        };
        check(&[], "");
        check(&["fe.secure.read.provisioningConfiguration"], "r");
        check(&["fe.secure.write.provisioningConfiguration"], "w");
        check(&["fe.secure.delete.provisioningConfiguration"], "d");
        check(&["fe.secure.*"], "rwd");
        check(&["fe.secure.read.*", "fe.secure.delete.*"], "rd");
        check(&["fe.secure.write.*"], "w");
        for near in
            ["", "*", "fe.*", "fe.secure", "fe.secure.", "fe.secure.read", "fe.secure.read.provisioningConfigurations"]
        {
            check(&[near], "");
        }
        for near in ["FE.SECURE.*", "fe.secure.* ", "fe.secure.read.users", "fe.secure.read.*.x", "xfe.secure.*"] {
            check(&[near], "");
        }
    }
}
