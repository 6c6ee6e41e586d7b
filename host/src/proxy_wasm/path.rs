//! One way to write each path, as Envoy's `normalize_path`, `merge_slashes` and `path_with_escaped_slashes_action:
//! REJECT_REQUEST` have it.

/// The path in its one form, its query untouched. None for a path that is refused: with an escaped slash or a zero
/// byte.
pub fn normalize(target: &str) -> Option<String> {
    if !target.starts_with('/') {
        return Some(target.to_owned());
    }
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    let path = decode(path)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            ".." => drop(segments.pop()),
            "." => {}
            "" if !last => continue,
            part => {
                segments.push(part);
                continue;
            }
        }
        if last {
            segments.push("");
        }
    }
    Some(format!("/{}{query}", segments.join("/")))
}

/// Decodes what needs no escape, and turns backslashes round.
fn decode(path: &str) -> Option<String> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        let escaped = rest.get(..2).filter(|_| character == '%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (escaped, character) {
            (Some(b'/' | b'\\' | 0), _) => return None,
            (Some(byte), _) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                decoded.push(char::from(byte));
                rest = &rest[2..];
            }
            (_, '\\') => decoded.push('/'),
            (_, other) => decoded.push(other),
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn each_path_has_one_form() {
        let check = |path: &str, expected: &str| assert_eq!(normalize(path).as_deref(), Some(expected), "{path}");
        check("/", "/");
        check("/a/b", "/a/b");
        check("/a/", "/a/");
        check("//a///b//", "/a/b/");
        check("/a//b/../%7Ec%41%2e/./x/%2e%2e/y?q=//../%7E", "/a/~cA./y?q=//../%7E");
        check("/a\\b/c", "/a/b/c");
        check("/a/../../x", "/x");
        check("/a/b/..", "/a/");
        check("/a/.", "/a/");
        check("/%zz", "/%zz");
        check("/a%c3%a9%2D", "/a%c3%a9-");
        check("*", "*");
    }

    #[test]
    fn an_escaped_slash_or_zero_byte_is_refused() {
        for path in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a%00b"] {
            assert_eq!(normalize(path), None, "{path}");
        }
        assert_eq!(normalize("/a?b=%2f").as_deref(), Some("/a?b=%2f"));
    }
}
