//! Splitting a command into words as a shell does it: quotes, backslashes and comments; nothing is replaced.

/// The words of `command`.
///
/// # Errors
/// What is left open at its end, in the words of the library that CoreDNS uses.
pub(super) fn split(command: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut letters = command.chars();
    loop {
        // Between words, where a `#` begins a comment that ends with its line.
        let mut first = letters.by_ref().find(|letter| !is_blank(*letter));
        while first == Some('#') {
            first = letters.by_ref().skip_while(|letter| *letter != '\n').find(|letter| !is_blank(*letter));
        }
        let Some(first) = first else { return Ok(words) };
        words.push(word(first, &mut letters)?);
    }
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

/// The word that begins with `first`; what ends it is taken too.
fn word(first: char, letters: &mut impl Iterator<Item = char>) -> Result<String, &'static str> {
    let mut word = String::new();
    let mut next = Some(first);
    while let Some(letter) = next.filter(|letter| !is_blank(*letter)) {
        match letter {
            '\\' => word.push(letters.next().ok_or(AFTER_ESCAPE)?),
            '\'' => loop {
                match letters.next().ok_or(IN_QUOTES)? {
                    '\'' => break,
                    inside => word.push(inside),
                }
            },
            '"' => loop {
                match letters.next().ok_or(IN_QUOTES)? {
                    '"' => break,
                    '\\' => word.push(letters.next().ok_or(AFTER_ESCAPE)?),
                    inside => word.push(inside),
                }
            },
            letter => word.push(letter),
        }
        next = letters.next();
    }
    Ok(word)
}

const AFTER_ESCAPE: &str = "EOF found after escape character";
const IN_QUOTES: &str = "EOF found when expecting closing quote.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let check = |command: &str, want: &[&str]| assert_eq!(split(command).unwrap(), want, "{command}");
        check("", &[]);
        check("  \t ", &[]);
        check("echo  a b ", &["echo", "a", "b"]);
        check(r#"echo "a b" 'c "d' e"f g"h"#, &["echo", "a b", "c \"d", "ef gh"]);
        check(r#"echo a\ b "c\"d" 'e\f' \#"#, &["echo", "a b", "c\"d", "e\\f", "#"]);
        check(r#"echo "" '' &"#, &["echo", "", "", "&"]);
        check("echo a#b # not this\nbut this", &["echo", "a#b", "but", "this"]);
        check("# nothing", &[]);
        check("# nothing\n# at all\nbut", &["but"]);
        check("echo $HOME *", &["echo", "$HOME", "*"]);
    }

    #[test]
    fn what_is_left_open_is_an_error() {
        assert_eq!(split("echo \"a"), Err(IN_QUOTES));
        assert_eq!(split("echo 'a"), Err(IN_QUOTES));
        assert_eq!(split("echo a\\"), Err(AFTER_ESCAPE));
        assert_eq!(split("echo \"a\\"), Err(AFTER_ESCAPE));
    }
}
