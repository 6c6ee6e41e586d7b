//! Paths as text: of attributes and of PATCH operations.

use scim_engine::env::Limits;
use scim_engine::path::{AttrPath, PatchPath};

use super::directory::registry;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = AttrPath::parse(text) {
        assert_eq!(AttrPath::parse(&path.to_string()).as_ref(), Ok(&path), "{text}");
        for of in registry().resource_types() {
            let (found, again) = (path.resolve(of), path.extension(of));
            assert!(found.is_none() || again.is_none(), "{text} is an attribute and a schema");
        }
    }
    if let Ok(path) = PatchPath::parse(text, &Limits::default()) {
        let roomy = Limits { filter_bytes: 1 << 20, filter_depth: 128, filter_terms: 1000, ..Limits::default() };
        assert_eq!(PatchPath::parse(&path.to_string(), &roomy).as_ref(), Ok(&path), "{text}");
    }
}
