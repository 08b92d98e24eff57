//! From the name of a file to the origin of a zone.

use regex::Regex;

use crate::wire::Name;

/// Which files are zones, and whose.
pub(super) struct FileNames {
    /// What a name must match somewhere; `None`: `db.` and then the origin.
    pattern: Option<Regex>,
    /// The origin, with `${1}` for what the first group matched.
    template: String,
}

impl Default for FileNames {
    fn default() -> Self {
        Self { pattern: Regex::new(r"db\.(.*)").ok(), template: "${1}".to_owned() }
    }
}

impl FileNames {
    /// Files that match `pattern`; in `template` `{1}` or `{name}` stands for a group of it.
    pub(super) fn new(pattern: Regex, template: &str) -> Self {
        Self { pattern: Some(pattern), template: template.replace('{', "${") }
    }

    /// The origin of the zone in the file of that name. `Ok(None)`: it is none.
    ///
    /// # Errors
    /// What the template makes of the name, if that is no domain name.
    pub(super) fn origin(&self, file: &str) -> Result<Option<Name>, String> {
        let Some(found) = self.pattern.as_ref().and_then(|pattern| pattern.captures(file)) else {
            return Ok(None);
        };
        let mut text = String::new();
        found.expand(&self.template, &mut text);
        if text.is_empty() {
            return Ok(None);
        }
        Name::from_text(&text).map(Some).map_err(|_| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_the_origin() {
        let usual = FileNames::default();
        let named = |pattern: &str, template: &str| FileNames::new(Regex::new(pattern).unwrap(), template);
        let check = |names: &FileNames, file: &str, want: Option<&str>| {
            let want = want.map(|origin| Name::from_text(origin).unwrap());
            assert_eq!(names.origin(file), Ok(want), "{file}");
        };
        check(&usual, "db.example.org", Some("example.org."));
        check(&usual, "old-db.Example.ORG", Some("example.org."));
        check(&usual, "example.org", None);
        check(&usual, "db.", None);
        check(&named(r"^(.*)\.zone$", "{1}"), "example.org.zone", Some("example.org."));
        check(&named(r"(?P<sub>\w+)-(?P<zone>\w+)", "{sub}.{zone}.test"), "a-b", Some("a.b.test."));
        check(&named("(x)", "fixed"), "x", Some("fixed."));
        assert_eq!(usual.origin("db.a..b"), Err("a..b".to_owned()));
    }
}
