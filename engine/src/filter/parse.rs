//! The filter grammar (RFC 7644 figure 1), read by recursive descent whose depth is bounded.
//!
//! Wider than the RFC in three unambiguous ways: blanks may repeat or be missing next to a bracket or quote,
//! `not` may stand before an expression without parentheses, and a value path may be followed by a
//! sub-attribute and a comparison (`emails[type eq "work"].value eq "a"`), as Entra ID sends it.

use serde_json::Number;

use super::{Filter, Literal, Operator};
use crate::env::Limits;
use crate::error::{Kind, ScimError};
use crate::path::{self, AttrPath};

/// Bounds no setting lifts, so that recursion over a filter always fits a guest's stack.
const DEEPEST: usize = 128;
const MOST_TERMS: usize = 1000;

/// Reads a whole filter.
pub(super) fn filter(text: &str, limits: &Limits) -> Result<Filter, ScimError> {
    if text.len() > limits.filter_bytes {
        return refuse(format!("a filter has at most {} bytes", limits.filter_bytes));
    }
    let mut parser = Parser::new(text, limits);
    let filter = parser.disjunction()?;
    if parser.at_end() {
        Ok(filter)
    } else {
        refuse(format!("{} stands where `and`, `or` or the end of the filter is due", parser.here()))
    }
}

/// A position in the text of a filter or PATCH path.
pub(crate) struct Parser<'t> {
    rest: &'t str,
    depth: usize,
    deepest: usize,
    terms_left: usize,
    in_element: bool,
}

impl<'t> Parser<'t> {
    pub(crate) fn new(text: &'t str, limits: &Limits) -> Self {
        let mut parser = Self {
            rest: text,
            depth: 0,
            deepest: limits.filter_depth.min(DEEPEST),
            terms_left: limits.filter_terms.min(MOST_TERMS),
            in_element: false,
        };
        parser.skip_blanks();
        parser
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The longest run of characters an attribute path is made of, then any blanks.
    pub(crate) fn word(&mut self) -> &'t str {
        let word = self.run(path::is_path_char);
        self.skip_blanks();
        word
    }

    /// Takes `wanted` and the blanks behind it, if it is next.
    pub(crate) fn eat(&mut self, wanted: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(wanted) else { return false };
        self.rest = rest;
        self.skip_blanks();
        true
    }

    /// The filter and closing bracket of a value path whose opening bracket was taken.
    pub(crate) fn element(&mut self) -> Result<Filter, ScimError> {
        if self.in_element {
            return refuse("a value path cannot hold another");
        }
        self.in_element = true;
        let filter = self.nested(']');
        self.in_element = false;
        filter
    }

    fn disjunction(&mut self) -> Result<Filter, ScimError> {
        let mut left = self.conjunction()?;
        while self.keyword("or") {
            left = Filter::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Filter, ScimError> {
        let mut left = self.term()?;
        while self.keyword("and") {
            left = Filter::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Filter, ScimError> {
        if self.eat('(') {
            return self.nested(')');
        }
        if self.keyword("not") {
            let inner = if self.eat('(') { self.nested(')') } else { self.deeper(Self::term) };
            return Ok(Filter::Not(Box::new(inner?)));
        }
        self.expression()
    }

    /// What stands between brackets, and the closing one.
    fn nested(&mut self, close: char) -> Result<Filter, ScimError> {
        let filter = self.deeper(Self::disjunction)?;
        if self.eat(close) { Ok(filter) } else { refuse(format!("{} stands where `{close}` is due", self.here())) }
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Result<Filter, ScimError>) -> Result<Filter, ScimError> {
        if self.depth >= self.deepest {
            return refuse(format!("a filter nests at most {} deep", self.deepest));
        }
        self.depth += 1;
        let filter = read(self);
        self.depth -= 1;
        filter
    }

    /// A comparison, a presence test or a value path.
    fn expression(&mut self) -> Result<Filter, ScimError> {
        let path = self.path()?;
        if !self.eat('[') {
            return self.comparison(path);
        }
        let filter = self.element()?;
        let Some(rest) = self.rest.strip_prefix('.') else { return Ok(Filter::Element(path, Box::new(filter))) };
        self.rest = rest;
        let sub = self.path()?;
        let comparison = self.comparison(sub)?;
        Ok(Filter::Element(path, Box::new(Filter::And(Box::new(filter), Box::new(comparison)))))
    }

    fn path(&mut self) -> Result<AttrPath, ScimError> {
        let found = self.here();
        let word = self.word();
        if word.is_empty() {
            return refuse(format!("{found} stands where an attribute is due"));
        }
        AttrPath::parse(word).map_err(|error| ScimError::new(Kind::InvalidFilter, error.detail))
    }

    fn comparison(&mut self, path: AttrPath) -> Result<Filter, ScimError> {
        let Some(left) = self.terms_left.checked_sub(1) else {
            return refuse("the filter has too many terms");
        };
        self.terms_left = left;
        let found = self.here();
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let Some(operator) = Operator::named(word) else {
            return refuse(format!("{found} stands where an operator is due after `{path}`"));
        };
        Ok(Filter::Compare(path, operator, self.literal()?))
    }

    fn literal(&mut self) -> Result<Literal, ScimError> {
        let literal = if self.rest.starts_with('"') { self.string() } else { self.plain_literal() };
        self.skip_blanks();
        match literal {
            Some(literal) => Ok(literal),
            None => refuse("a value is due after an operator: a JSON string, a number, `true`, `false` or `null`"),
        }
    }

    fn string(&mut self) -> Option<Literal> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(at, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(at + 1)
        })?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        serde_json::from_str(text).ok().map(Literal::String)
    }

    fn plain_literal(&mut self) -> Option<Literal> {
        let word = self.run(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let is = |name| word.eq_ignore_ascii_case(name);
        if is("null") {
            Some(Literal::Null)
        } else if is("true") || is("false") {
            Some(Literal::Bool(is("true")))
        } else {
            number(word).map(Literal::Number)
        }
    }

    /// Takes a keyword in any case, unless it is only the beginning of a longer word.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.rest;
        let found = self.word().eq_ignore_ascii_case(keyword);
        if !found {
            self.rest = before;
        }
        found
    }

    fn run(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        run
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// The next character for an error text; never more, since values are personal data.
    fn here(&self) -> String {
        self.rest.chars().next().map_or_else(|| "the end".into(), |c| format!("`{c}`"))
    }
}

/// The JSON grammar decides what a number is, the standard library which one: it rounds a fraction exactly,
/// so that a printed number reads back as itself.
fn number(text: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(text).ok()?;
    if number.is_f64() { Number::from_f64(text.parse().ok()?) } else { Some(number) }
}

fn refuse<T>(detail: impl Into<String>) -> Result<T, ScimError> {
    Err(ScimError::new(Kind::InvalidFilter, detail))
}
