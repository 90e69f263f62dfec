//! Patterns of paths, such as `data/*.csv` and `data/**/part-?.parquet`. No I/O.

use std::path::{Component, Path, PathBuf};

/// Part of a pattern: what one folder or file may be called, or any folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This name.
    Name(String),
    /// Every name that matches.
    Names(NamePattern),
    /// Any number of folders, or none: `**`.
    Folders,
}

/// A pattern of one name: `*` stands for any characters, `?` for one, `[a-z]` for one of these, `[!a-z]` for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    This(char),
    One,
    Any,
    /// Whether the character must be outside the ranges, and the ranges.
    OneOf(bool, Vec<(char, char)>),
}

/// Whether a path may stand for several files by its text; one that names a folder may, too.
pub fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// The segments of a path without `.` and `..`.
pub fn segments(path: &Path) -> Vec<Segment> {
    let mut segments = Vec::new();
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let name = name.to_string_lossy();
        match name.as_ref() {
            "**" if segments.last() == Some(&Segment::Folders) => {}
            "**" => segments.push(Segment::Folders),
            name if name.contains(['*', '?', '[']) => segments.push(Segment::Names(NamePattern::parse(name))),
            name => segments.push(Segment::Name(name.to_owned())),
        }
    }
    if segments.last() == Some(&Segment::Folders) {
        segments.push(Segment::Names(NamePattern::any()));
    }
    segments
}

/// The folders of a path before its first part that is a pattern.
pub fn folder(path: &Path) -> PathBuf {
    let mut folders: Vec<_> = path.iter().take_while(|name| !is_pattern(Path::new(name))).collect();
    if folders.len() == path.iter().count() {
        folders.pop();
    }
    folders.into_iter().collect()
}

/// Whether a path without `.` and `..` matches the segments.
pub fn matches(segments: &[Segment], path: &Path) -> bool {
    let names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    // For each number of names, whether the segments so far match exactly those.
    let mut reached = vec![false; names.len() + 1];
    reached[0] = true;
    for segment in segments {
        let mut next = vec![false; names.len() + 1];
        for place in 0..=names.len() {
            match segment {
                Segment::Folders => {
                    next[place] = reached[place] || (place > 0 && next[place - 1] && !is_hidden(&names[place - 1]))
                }
                Segment::Name(name) => next[place] = place > 0 && reached[place - 1] && names[place - 1] == *name,
                Segment::Names(names_of) => {
                    next[place] = place > 0 && reached[place - 1] && names_of.matches(&names[place - 1])
                }
            }
        }
        reached = next;
    }
    reached[names.len()]
}

/// Whether patterns leave out a file or folder of this name unless they begin with the same dot.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

impl NamePattern {
    /// Every name that is not hidden.
    pub fn any() -> Self {
        Self(vec![Token::Any])
    }

    fn parse(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let (mut tokens, mut at) = (Vec::new(), 0);
        while let Some(letter) = letters.get(at) {
            at += 1;
            match letter {
                '*' if tokens.last() == Some(&Token::Any) => {}
                '*' => tokens.push(Token::Any),
                '?' => tokens.push(Token::One),
                '[' => match one_of(&letters[at..]) {
                    Some((token, length)) => {
                        tokens.push(token);
                        at += length;
                    }
                    None => tokens.push(Token::This('[')),
                },
                other => tokens.push(Token::This(*other)),
            }
        }
        Self(tokens)
    }

    /// Whether `name` matches; a name that begins with a dot does only if the pattern does, too.
    pub fn matches(&self, name: &str) -> bool {
        if is_hidden(name) && self.0.first() != Some(&Token::This('.')) {
            return false;
        }
        let letters: Vec<char> = name.chars().collect();
        let (mut at, mut token) = (0, 0);
        // Where to go on if the characters that the last `*` has taken so far are too few.
        let mut again: Option<(usize, usize)> = None;
        while at < letters.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    again = Some((token + 1, at));
                    token += 1;
                }
                Some(one) if one.takes(letters[at]) => (at, token) = (at + 1, token + 1),
                _ => {
                    let Some((after, taken)) = again else { return false };
                    again = Some((after, taken + 1));
                    (token, at) = (after, taken + 1);
                }
            }
        }
        self.0[token..].iter().all(|token| *token == Token::Any)
    }
}

impl Token {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::This(this) => *this == letter,
            Self::One => true,
            Self::Any => false,
            Self::OneOf(outside, ranges) => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter)) != *outside
            }
        }
    }
}

/// The set of characters after a `[`, and how many characters its text has; `None` if it has no end.
fn one_of(letters: &[char]) -> Option<(Token, usize)> {
    let outside = matches!(letters.first(), Some('!' | '^'));
    let start = usize::from(outside);
    // A `]` that comes first is one of the characters.
    let end = start + 1 + letters.get(start + 1..)?.iter().position(|letter| *letter == ']')?;
    let (mut ranges, mut at) = (Vec::new(), start);
    while at < end {
        if at + 2 < end && letters[at + 1] == '-' {
            ranges.push((letters[at], letters[at + 2]));
            at += 3;
        } else {
            ranges.push((letters[at], letters[at]));
            at += 1;
        }
    }
    Some((Token::OneOf(outside, ranges), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, path: &str) -> bool {
        matches(&segments(Path::new(pattern)), Path::new(path))
    }

    #[test]
    fn a_pattern_matches_names_and_folders_as_in_a_shell() {
        for (pattern, path, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("*.csv", "in/a.csv", false),
            ("*.csv", ".a.csv", false),
            (".*.csv", ".a.csv", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("[a-c]x[!0-9]", "bxz", true),
            ("[a-c]x[!0-9]", "bx1", false),
            ("[]]", "]", true),
            ("a[", "a[", true),
            ("é?", "éü", true),
            ("in/**/*.csv", "in/a.csv", true),
            ("in/**/*.csv", "in/x/y/a.csv", true),
            ("in/**/*.csv", "in/.x/a.csv", false),
            ("in/**/*.csv", "out/a.csv", false),
            ("in/**", "in/x/a", true),
            ("in/**", "in", false),
            ("**/**/a/**/b", "x/a/y/z/b", true),
            ("in/*/a.csv", "in/x/a.csv", true),
            ("in/*/a.csv", "in/a.csv", false),
        ] {
            assert_eq!(found(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_their_lengths_multiplied() {
        let pattern = format!("{}b", "a*".repeat(200));
        assert!(!found(&pattern, &"a".repeat(255)));
        let deep = format!("{}c", "**/x/".repeat(50));
        assert!(!found(&deep, &"x/".repeat(100)));
    }
}
