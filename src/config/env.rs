//! Environment variables in words: `{$NAME}` and `{%NAME%}`.

/// Replacements in one word, enough for any honest one; a variable that contains itself would go on for ever, over a text that grows.
const REPLACEMENTS_MAX: usize = 250;

/// Length a word may grow to, in bytes.
const EXPANDED_LENGTH_MAX: usize = 1 << 20;

/// A look-up of variables; `None` for one that is not set.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The variables of this process. One whose value is not UTF-8 has the rest of it.
pub fn process_environment(name: &str) -> Option<String> {
    // Names that the system's interface cannot ask for are not set.
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// A word with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub(super) text: String,
    /// Names that are not set and became nothing.
    pub(super) unset: Vec<String>,
}

/// Replaces first every `{%NAME%}`, then every `{$NAME}`; a value is looked through again. An empty name ends the search.
///
/// # Errors
/// The name of the variable at which a limit was met, usually because it contains itself.
pub(super) fn expand(text: &str, environment: &Environment<'_>) -> Result<Expanded, String> {
    let mut expanded = Expanded { text: text.to_owned(), unset: Vec::new() };
    if text.contains('{') {
        replace(&mut expanded, "{%", "%}", environment)?;
        replace(&mut expanded, "{$", "}", environment)?;
    }
    Ok(expanded)
}

fn replace(
    word: &mut Expanded,
    open: &str,
    close: &str,
    environment: &Environment<'_>,
) -> Result<(), String> {
    let mut replacements = 0;
    while let Some(start) = word.text.find(open) {
        let Some(close_at) = word.text[start..].find(close) else { break };
        if close_at <= open.len() {
            break;
        }
        let name = word.text[start + open.len()..start + close_at].to_owned();
        let value = environment(&name);
        let reference = format!("{open}{name}{close}");
        let value_text = value.as_deref().unwrap_or_default();
        replacements += 1;
        let grown = word.text.matches(&reference).count().saturating_mul(value_text.len());
        if replacements > REPLACEMENTS_MAX || word.text.len().saturating_add(grown) > EXPANDED_LENGTH_MAX {
            return Err(name);
        }
        word.text = word.text.replace(&reference, value_text);
        if value.is_none() && !word.unset.contains(&name) {
            word.unset.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "A" => "a",
            "B:b" => "colon",
            "SPACED" => "x y",
            "NESTED" => "<{$A}>",
            "PERCENT" => "{%A%}",
            "LOOP" => "{$LOOP}",
            "GROWS" => "{$GROWS}{$GROWS}",
            "PING" => "{$PONG}",
            "PONG" => "{$PING}",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text, &environment).map(|word| word.text).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn both_spellings_are_replaced() {
        check("{$A}", "a");
        check("{%A%}", "a");
        check("x{$A}y{$A}:{%A%}", "xaya:a");
        check("{$SPACED}", "x y");
        check("{$B:b}", "colon");
        check("plain", "plain");
    }

    #[test]
    fn a_variable_that_is_not_set_is_nothing_and_is_remembered() {
        let expanded = expand("a{$NOPE}b{%NIX%}{$NOPE}", &environment).unwrap();
        assert_eq!(expanded.text, "ab");
        assert_eq!(expanded.unset, ["NIX", "NOPE"]);
    }

    #[test]
    fn values_are_looked_through_again() {
        check("{$NESTED}", "<a>");
        // The spelling with percent signs is only looked for first.
        check("{$PERCENT}", "{%A%}");
    }

    #[test]
    fn an_empty_name_ends_the_search() {
        check("{$}{$A}", "{$}{$A}");
        check("{$A}{$}{$A}", "a{$}a");
        check("{%}{$A}", "{%}a");
        check("{%%}x", "{%%}x");
        check("{$A", "{$A");
        check("{{$v}}", "{}");
        check("{{ $v }}", "{{ $v }}");
    }

    #[test]
    fn a_variable_that_contains_itself_is_refused_quickly() {
        for (text, name) in [("{$LOOP}", "LOOP"), ("{$GROWS}", "GROWS")] {
            assert_eq!(expand(text, &environment), Err(name.to_owned()));
        }
        assert!(expand("{$PING}", &environment).is_err());
    }
}
