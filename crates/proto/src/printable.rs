//! What others have written, as it may be shown.

use std::fmt::{self, Display, Formatter, Write};

/// Shows something in one line that no terminal and no log takes for anything but text: control characters are escaped.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.char_indices().next_back().filter(|(_, last)| last.is_control()) {
                Some((at, control)) => write!(self.0, "{}{}", &part[..at], control.escape_debug())?,
                None => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_as_it_is_and_what_a_terminal_would_obey_does_not() {
        for (text, shown) in [
            ("", ""),
            ("worker w1: \u{e9}", "worker w1: \u{e9}"),
            ("a\nclient: all is well", "a\\nclient: all is well"),
            ("\u{1b}[2J\u{7}\r", "\\u{1b}[2J\\u{7}\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }
}
