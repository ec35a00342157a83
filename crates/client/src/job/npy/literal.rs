//! A Python literal, as far as `.npy` headers use them: a reader that goes from token to token and never back.

/// What is wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} at byte {place}")]
pub struct SyntaxError {
    /// What was expected there, or what is there and should not be.
    what: &'static str,
    /// Counted from the dictionary's beginning.
    place: usize,
}

/// As much of Python's syntax as a header uses.
pub(super) struct Literal<'a> {
    text: &'a [u8],
    place: usize,
}

impl<'a> Literal<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, place: 0 }
    }

    pub(super) fn wrong(&self, what: &'static str) -> SyntaxError {
        SyntaxError { what, place: self.place }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.place..).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        self.place += self.rest().iter().take_while(|b| b.is_ascii_whitespace()).count();
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.skip_blank();
        let taken = self.rest().first() == Some(&byte);
        self.place += usize::from(taken);
        taken
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), SyntaxError> {
        if self.take(byte) { Ok(()) } else { Err(self.wrong(what)) }
    }

    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        self.skip_blank();
        if self.rest().is_empty() { Ok(()) } else { Err(self.wrong("something after the dictionary")) }
    }

    /// A string in either kind of quotes. Nothing that can be in a header needs an escape.
    pub(super) fn string(&mut self) -> Result<&'a [u8], SyntaxError> {
        self.skip_blank();
        let quote = match self.rest().first() {
            Some(quote @ (b'\'' | b'"')) => *quote,
            _ => return Err(self.wrong("expected a string")),
        };
        let inside = self.rest().get(1..).unwrap_or_default();
        match inside.iter().position(|&b| b == quote || b == b'\\') {
            Some(end) if inside[end] == quote => {
                self.place += end + 2;
                Ok(&inside[..end])
            }
            _ => Err(self.wrong("a string without an end")),
        }
    }

    pub(super) fn boolean(&mut self) -> Result<bool, SyntaxError> {
        self.skip_blank();
        for (word, value) in [("True", true), ("False", false)] {
            if self.rest().starts_with(word.as_bytes()) {
                self.place += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("expected True or False"))
    }

    pub(super) fn shape(&mut self) -> Result<Vec<u64>, SyntaxError> {
        self.expect(b'(', "expected (")?;
        let mut shape = Vec::new();
        while !self.take(b')') {
            shape.push(self.length()?);
            if !self.take(b',') {
                self.expect(b')', "expected , or )")?;
                break;
            }
        }
        Ok(shape)
    }

    fn length(&mut self) -> Result<u64, SyntaxError> {
        self.skip_blank();
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        let text = str::from_utf8(&self.rest()[..digits]).unwrap_or_default();
        let length = text.parse().map_err(|_| self.wrong("expected a length that fits into 64 bits"))?;
        self.place += digits;
        // Python 2 wrote long integers with a suffix.
        if self.rest().first() == Some(&b'L') {
            self.place += 1;
        }
        Ok(length)
    }

    /// A string, or the list that describes a record: kept as written, with the quotes.
    pub(super) fn descr(&mut self) -> Result<String, SyntaxError> {
        self.skip_blank();
        let start = self.place;
        if self.rest().first() == Some(&b'[') {
            self.skip_brackets()?;
        } else {
            let inside = String::from_utf8_lossy(self.string()?);
            return Ok(format!("'{inside}'"));
        }
        Ok(String::from_utf8_lossy(&self.text[start..self.place]).into_owned())
    }

    fn skip_brackets(&mut self) -> Result<(), SyntaxError> {
        let mut depth = 0usize;
        loop {
            match self.rest().first() {
                Some(b'\'' | b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'[' | b'(') => depth += 1,
                Some(b']' | b')') => depth -= 1,
                Some(_) => {}
                None => return Err(self.wrong("a list without an end")),
            }
            self.place += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}
