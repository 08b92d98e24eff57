//! The tree back into text: as a Corefile or as TOML.
//!
//! Words are written as they were spelled, so that variables stay variables. What no text can say is refused.

use super::diagnostic::{Diagnostic, Result};
use super::toml::{ARGS, IMPORT, KEYS, LINES, SERVER};
use super::tree::{Directive, ServerBlock, Word};

/// The blocks as a Corefile. Imports and snippets are written out.
///
/// # Errors
/// A word that no Corefile can hold at its place, such as `}` as an argument.
pub fn to_corefile(blocks: &[ServerBlock]) -> Result<String> {
    let mut text = String::new();
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        for (index, key) in block.keys.iter().enumerate() {
            let spelled = key.raw();
            let snippet = block.keys.len() == 1 && spelled.starts_with('(') && spelled.ends_with(')');
            if key.text.is_empty()
                || spelled.is_empty()
                || spelled.ends_with(',')
                || snippet
                || (index == 0 && spelled == "import")
            {
                return Err(unwritable(key));
            }
            // Where keys are expected a closing brace is a key like any other.
            text += &if spelled == "}" { spelled.to_owned() } else { corefile_word(key)? };
            text.push(' ');
        }
        text += "{\n";
        for directive in &block.directives {
            corefile_line(directive, 1, &mut text)?;
        }
        text += "}\n";
    }
    Ok(text)
}

fn unwritable(word: &Word) -> Diagnostic {
    word.error(format!("'{}' cannot be written in a Corefile at this place", word.raw()))
}

fn corefile_line(directive: &Directive, depth: usize, text: &mut String) -> Result<()> {
    let indent = "    ".repeat(depth);
    if directive.name.raw() == "import" {
        return Err(unwritable(&directive.name));
    }
    text.push_str(&indent);
    *text += &corefile_word(&directive.name)?;
    for arg in &directive.args {
        text.push(' ');
        *text += &corefile_word(arg)?;
    }
    if let Some(block) = &directive.block {
        *text += " {\n";
        for line in block {
            corefile_line(line, depth + 1, text)?;
        }
        *text += &format!("{indent}}}");
    }
    text.push('\n');
    Ok(())
}

/// A word, in quotes if it needs them.
fn corefile_word(word: &Word) -> Result<String> {
    let spelled = word.raw();
    if matches!(spelled, "{" | "}") {
        return Err(unwritable(word));
    }
    let bare = !spelled.is_empty()
        && !spelled.starts_with(['"', '\u{feff}'])
        && !spelled.contains(|c: char| c.is_whitespace() || c == '#');
    if bare {
        return Ok(spelled.to_owned());
    }
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for c in spelled.chars() {
        // Backslashes are taken in pairs: one left over would take the quote after it.
        if c == '"' && backslashes % 2 == 1 {
            return Err(unwritable(word));
        }
        if c == '"' {
            quoted.push('\\');
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        quoted.push(c);
    }
    if backslashes % 2 == 1 {
        return Err(unwritable(word));
    }
    quoted.push('"');
    Ok(quoted)
}

/// The blocks as TOML. Imports and snippets are written out.
///
/// # Errors
/// A directive whose name is a key of its own in TOML, such as `keys`.
pub fn to_toml(blocks: &[ServerBlock]) -> Result<String> {
    let mut text = String::new();
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        if let Some(key) = block.keys.iter().find(|key| key.text.is_empty()) {
            return Err(key.error("an empty key cannot be written in TOML"));
        }
        text += &format!("[[{SERVER}]]\n{KEYS} = {}\n", toml_array(&block.keys));
        // Directives are told apart by what they are called, so a variable in their name is written as its value.
        let mut names: Vec<&str> = Vec::new();
        for directive in &block.directives {
            let name = directive.name.as_str();
            if [KEYS, IMPORT].contains(&name) {
                let message = format!("'{name}' cannot be written in TOML at this place");
                return Err(directive.name.error(message));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let (tables, values): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| block.named(name).any(|directive| directive.block.is_some()));
        for name in values {
            text += &toml_entry(name, &block.named(name).collect::<Vec<_>>());
        }
        for name in tables {
            let (open, close) = if block.named(name).count() == 1 { ("[", "]") } else { ("[[", "]]") };
            for directive in block.named(name) {
                text += &format!("\n{open}{SERVER}.{}{close}\n", toml_key(name));
                text += &toml_table(directive);
            }
        }
    }
    Ok(text)
}

/// `name = value` for lines of one name.
fn toml_entry(name: &str, lines: &[&Directive]) -> String {
    let value = match lines {
        [line] => toml_value(line),
        lines => format!("[{}]", join(lines.iter().map(|line| toml_items(&line.args, line)))),
    };
    format!("{} = {value}\n", toml_key(name))
}

fn toml_value(line: &Directive) -> String {
    match (line.args.as_slice(), &line.block) {
        ([], None) => "true".to_owned(),
        ([arg], None) => toml_word(arg),
        // Without arguments this is an array of one table: the option once, with that table.
        (args, _) => toml_items(args, line),
    }
}

/// An array of words, then of a line with a block its options as a table.
fn toml_items<'a>(words: impl IntoIterator<Item = &'a Word>, line: &Directive) -> String {
    let words = words.into_iter().map(toml_word);
    format!("[{}]", join(words.chain(line.block.as_deref().map(inline_table))))
}

/// The entries of a directive's own table.
fn toml_table(directive: &Directive) -> String {
    let mut text = String::new();
    if !directive.args.is_empty() {
        text += &format!("{ARGS} = {}\n", toml_array(&directive.args));
    }
    match directive.block.as_deref() {
        None => {}
        Some(lines) => match grouped(lines) {
            Some(groups) => text.extend(groups.iter().map(|group| toml_entry(group[0].name.raw(), group))),
            None if lines.is_empty() => text += &format!("{LINES} = []\n"),
            None => {
                text += &format!("{LINES} = [\n");
                for line in lines {
                    text += &format!("    {},\n", toml_line(line));
                }
                text += "]\n";
            }
        },
    }
    text
}

fn toml_line(line: &Directive) -> String {
    toml_items(std::iter::once(&line.name).chain(&line.args), line)
}

fn inline_table(lines: &[Directive]) -> String {
    match grouped(lines) {
        Some(groups) => {
            let entries =
                groups.iter().map(|group| toml_entry(group[0].name.raw(), group).trim_end().to_owned());
            format!("{{ {} }}", join(entries))
        }
        None if lines.is_empty() => "{}".to_owned(),
        None => format!("{{ {LINES} = [{}] }}", join(lines.iter().map(toml_line))),
    }
}

/// The lines by their names, if that keeps their order and no name means something else in a table.
fn grouped(lines: &[Directive]) -> Option<Vec<Vec<&Directive>>> {
    let mut groups: Vec<Vec<&Directive>> = Vec::new();
    for line in lines {
        let name = line.name.raw();
        match groups.last_mut() {
            Some(last) if last[0].name.raw() == name => last.push(line),
            _ if [ARGS, LINES].contains(&name) => return None,
            _ => groups.push(vec![line]),
        }
    }
    let mut names: Vec<&str> = groups.iter().map(|group| group[0].name.raw()).collect();
    names.sort_unstable();
    let distinct = names.windows(2).all(|pair| pair[0] != pair[1]);
    (distinct && !groups.is_empty()).then_some(groups)
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn toml_array(words: &[Word]) -> String {
    format!("[{}]", join(words.iter().map(toml_word)))
}

/// A number as a number, everything else as a string.
fn toml_word(word: &Word) -> String {
    let spelled = word.raw();
    match spelled.parse::<i64>() {
        Ok(number) if number.to_string() == spelled => spelled.to_owned(),
        _ => toml_string(spelled),
    }
}

fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { toml_string(name) }
}

fn toml_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
