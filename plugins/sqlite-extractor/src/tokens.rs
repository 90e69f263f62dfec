//! The words of a SQL statement, as SQLite sees them.

/// A word of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name or a keyword without quotes.
    Word(String),
    /// A name in quotes: `"a"`, `` `a` `` or `[a]`.
    Name(String),
    /// A text: `'a'`.
    Text(String),
    Number(String),
    /// Bytes in hexadecimal digits: `x'00'`.
    Blob(String),
    Sign(char),
}

impl Token {
    /// Whether it is a keyword.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    /// The name that it may stand for; SQLite takes texts for names where only a name is possible.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) | Self::Text(name) => Some(name),
            _ => None,
        }
    }
}

/// The words of a statement, without its comments.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ if rest.starts_with("--") => (None, rest.find('\n').map_or(rest.len(), |at| at + 1)),
            _ if rest.starts_with("/*") => (None, rest[2..].find("*/").map_or(rest.len(), |at| at + 4)),
            '"' | '`' => quoted(rest, first, Token::Name),
            '\'' => quoted(rest, first, Token::Text),
            '[' => {
                let end = rest.find(']').unwrap_or(rest.len());
                (Some(Token::Name(rest[1..end].to_owned())), (end + 1).min(rest.len()))
            }
            'x' | 'X' if rest[1..].starts_with('\'') => {
                let end = rest[2..].find('\'').map_or(rest.len(), |at| at + 2);
                (Some(Token::Blob(rest[2..end].to_owned())), (end + 1).min(rest.len()))
            }
            '0'..='9' | '.' if first != '.' || rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let length = number(rest);
                (Some(Token::Number(rest[..length].to_owned())), length)
            }
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..length].to_owned())), length)
            }
            _ => (Some(Token::Sign(first)), first.len_utf8()),
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

/// The statement without the semicolon at its end, after which only comments may follow.
pub fn without_semicolon(sql: &str) -> &str {
    let is_last = |at: &usize| tokens(&sql[at + 1..]).is_empty();
    // One in a comment is not a word of the statement.
    let is_word = |at: &usize| tokens(&sql[..*at]).len() < tokens(&sql[..=*at]).len();
    let places = sql.rmatch_indices(';').map(|(at, _)| at);
    places.take_while(is_last).find(is_word).map_or(sql, |at| &sql[..at])
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

/// A text in quotes, in which a quote is doubled.
fn quoted(rest: &str, quote: char, make: fn(String) -> Token) -> (Option<Token>, usize) {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return (Some(make(text)), at + 1);
        }
        text.push(character);
    }
    (Some(make(text)), rest.len())
}

/// The length of a number, with its fraction and its exponent.
fn number(rest: &str) -> usize {
    let mut before = ' ';
    let ends = |(_, character): &(usize, char)| {
        let is_part =
            is_word(*character) || *character == '.' || (matches!(character, '+' | '-') && matches!(before, 'e' | 'E'));
        before = *character;
        !is_part
    };
    rest.char_indices().find(ends).map_or(rest.len(), |(at, _)| at.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_semicolon_at_the_end_is_left_out() {
        for (sql, expected) in [
            ("a;", "a"),
            ("a; -- b;", "a"),
            ("a ; -- b", "a "),
            ("a -- b;", "a -- b;"),
            ("a; b", "a; b"),
            ("a ';'", "a ';'"),
            ("a", "a"),
        ] {
            assert_eq!(without_semicolon(sql), expected);
        }
    }

    #[test]
    fn names_texts_and_comments_are_told_apart() {
        let found = tokens("a \"b \"\"c\" [d e] `f` 'g''h' 1.5e-3 x'0a' -- i\n/* j */ (,) é");
        let name = |name: &str| Token::Name(name.to_owned());
        let expected = [
            Token::Word("a".to_owned()),
            name("b \"c"),
            name("d e"),
            name("f"),
            Token::Text("g'h".to_owned()),
            Token::Number("1.5e-3".to_owned()),
            Token::Blob("0a".to_owned()),
            Token::Sign('('),
            Token::Sign(','),
            Token::Sign(')'),
            Token::Word("é".to_owned()),
        ];
        assert_eq!(found, expected);
        for open in ["'a", "\"a", "[a", "x'a", "/* a", "-- a", ".", "x"] {
            assert!(tokens(open).len() <= 1, "{open}");
        }
    }
}
