//! PostgREST's configuration file: a line `key = value` for each option, where a value is a string, a number or a truth
//! value (the format of the `configurator` library, as far as options use it).

use std::collections::BTreeMap;

/// What a file says, by key: each value as text.
///
/// `$(NAME)` in a string stands for a variable of the environment.
///
/// Errors: the line that is none, and why.
pub(super) fn read(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let here = |why: &str| format!("line {}: {why}", number + 1);
        let (key, value) = line.split_once('=').ok_or_else(|| here("it is not `key = value`"))?;
        let value = self::value(value.trim(), &variable).map_err(|why| here(&why))?;
        all.insert(key.trim().to_owned(), value);
    }
    Ok(all)
}

fn value(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let Some(quoted) = text.strip_prefix('"') else {
        // a comment may follow
        let bare = text.split('#').next().unwrap_or_default().trim();
        let is_word = !bare.is_empty() && !bare.contains(|c: char| c.is_whitespace() || c == '"');
        return if is_word { Ok(bare.to_owned()) } else { Err(format!("{text:?} is no value")) };
    };
    let mut value = String::new();
    let mut rest = quoted.chars();
    loop {
        match rest.next().ok_or("the string does not end")? {
            '"' => break,
            '\\' => value.push(escaped(rest.next())?),
            '$' => value.push_str(&interpolated(&mut rest, variable)?),
            other => value.push(other),
        }
    }
    let after = rest.as_str().trim();
    match after.is_empty() || after.starts_with('#') {
        true => Ok(value),
        false => Err(format!("{after:?} follows the string")),
    }
}

fn escaped(character: Option<char>) -> Result<char, String> {
    match character {
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some(same @ ('"' | '\\')) => Ok(same),
        _ => Err("an escape is one of \\n \\r \\t \\\" \\\\".to_owned()),
    }
}

/// `$(NAME)` or `$$`.
fn interpolated(
    rest: &mut std::str::Chars<'_>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let text = rest.as_str();
    if let Some(after) = text.strip_prefix('$') {
        *rest = after.chars();
        return Ok("$".to_owned());
    }
    let Some((name, after)) = text.strip_prefix('(').and_then(|text| text.split_once(')')) else {
        return Ok("$".to_owned());
    };
    *rest = after.chars();
    variable(name).ok_or_else(|| format!("the variable {name} is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(text: &str) -> Result<Vec<(String, String)>, String> {
        let variable = |name: &str| (name == "HOST").then(|| "db.example".to_owned());
        read(text, variable).map(|all| all.into_iter().collect())
    }

    #[test]
    fn a_value_is_a_string_a_number_or_a_word() {
        let text =
            "# all of it\n\na = \"x # y\" # why\nb=3000\n c = true # yes\nd = \"a \\\"b\\\" \\\\ $$ $1\"\n";
        let expected = [("a", "x # y"), ("b", "3000"), ("c", "true"), ("d", "a \"b\" \\ $ $1")];

        let read = read_with(text).unwrap();

        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_variable_stands_in_a_string() {
        let read = read_with("a = \"postgres://$(HOST)/x\"").unwrap();
        assert_eq!(read[0].1, "postgres://db.example/x");
        assert_eq!(read_with("a = \"$(NONE)\"").unwrap_err(), "line 1: the variable NONE is not set");
    }

    #[test]
    fn what_is_no_line_is_said_with_its_number() {
        for (text, expected) in [
            ("a = 1\nnonsense", "line 2: it is not `key = value`"),
            ("a = \"x", "line 1: the string does not end"),
            ("a = \"x\" y", "line 1: \"y\" follows the string"),
            ("a = \"\\q\"", "line 1: an escape is one of \\n \\r \\t \\\" \\\\"),
            ("a =", "line 1: \"\" is no value"),
            ("a = b c", "line 1: \"b c\" is no value"),
        ] {
            assert_eq!(read_with(text).unwrap_err(), expected, "{text}");
        }
    }
}
