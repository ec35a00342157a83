//! The header of a `.npy` file: a Python dictionary literal, read without Python.
//!
//! ```text
//! \x93NUMPY, version (2 bytes), length (u16, from version 2 on u32), {'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }
//! ```

use super::literal::{Literal, SyntaxError};
use crate::job::fields::shorten;
use sgdt_proto::kind::{matmul::Element, sort::Number};
use std::io::{self, Read};

/// The longest header that is read. NumPy writes 128 bytes for a plain array of any size.
const MAX_HEADER: usize = 64 << 10;
/// Where the numbers begin is a multiple of this, so that they can be mapped.
const ALIGNMENT: usize = 64;
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// What a header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The element's type, as it is written there.
    pub descr: String,
    /// Whether the first index runs fastest.
    pub fortran: bool,
    /// How many elements along each axis.
    pub shape: Vec<u64>,
}

/// Types of elements that tasks know, by their names here.
pub trait Dtype: Copy + 'static {
    /// Each of them.
    const EACH: &'static [Self];

    /// Its name in a header: little-endian, all of them.
    fn descr(self) -> &'static str;

    /// How many bytes an element takes.
    fn size(self) -> usize;
}

impl Dtype for Element {
    const EACH: &'static [Self] = &Self::ALL;

    fn descr(self) -> &'static str {
        match self {
            Self::F64 => "'<f8'",
            Self::F32 => "'<f4'",
        }
    }

    fn size(self) -> usize {
        self.size()
    }
}

impl Dtype for Number {
    const EACH: &'static [Self] = &Self::ALL;

    fn descr(self) -> &'static str {
        match self {
            Self::I64 => "'<i8'",
            Self::U64 => "'<u8'",
            Self::F64 => "'<f8'",
        }
    }

    fn size(self) -> usize {
        size_of::<u64>()
    }
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// The file does not begin like one.
    #[error("not a .npy file")]
    NotNpy,
    /// It begins like one.
    #[error("it ends within its header: was it copied whole?")]
    CutOff,
    /// Written in a later version.
    #[error("its .npy format is version {0}.{1}; 1, 2 and 3 can be read")]
    Version(u8, u8),
    /// A plain array's header is not that long.
    #[error("its header has {0} bytes; the most is {MAX_HEADER}")]
    TooLong(u32),
    /// The dictionary is not what it must be.
    #[error("its header cannot be read: {0}")]
    Malformed(#[from] SyntaxError),
}

impl Header {
    /// The element's type, if it is one of these.
    pub fn dtype<D: Dtype>(&self) -> Option<D> {
        D::EACH.iter().copied().find(|dtype| dtype.descr() == self.descr)
    }

    /// The shape as Python writes it, as far as a message has room for.
    pub fn shown_shape(&self) -> String {
        shorten(&tuple(&self.shape)).into_owned()
    }
}

/// Reads a header from a file's beginning. The second is how many bytes it took.
///
/// # Errors
/// See [`HeaderError`].
pub fn read(file: &mut impl Read) -> Result<(Header, u64), HeaderError> {
    let ends = |as_what| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => as_what,
            _ => HeaderError::Unreadable(error),
        }
    };
    let mut magic = [0; 6];
    file.read_exact(&mut magic).map_err(ends(HeaderError::NotNpy))?;
    if magic != MAGIC {
        return Err(HeaderError::NotNpy);
    }
    let mut rest = [0; 4];
    file.read_exact(&mut rest).map_err(ends(HeaderError::CutOff))?;
    let [major, minor, low, high] = rest;
    let (length, before) = match (major, minor) {
        (1, 0) => (u32::from(u16::from_le_bytes([low, high])), 10),
        (2 | 3, 0) => {
            let mut rest = [0; 2];
            file.read_exact(&mut rest).map_err(ends(HeaderError::CutOff))?;
            (u32::from_le_bytes([low, high, rest[0], rest[1]]), 12)
        }
        _ => return Err(HeaderError::Version(major, minor)),
    };
    if length as usize > MAX_HEADER {
        return Err(HeaderError::TooLong(length));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(ends(HeaderError::CutOff))?;
    Ok((parse(&text)?, before + u64::from(length)))
}

/// A header for numbers in C order, along one axis or two.
pub fn encode(dtype: impl Dtype, shape: &[u64]) -> Vec<u8> {
    let text = format!("{{'descr': {}, 'fortran_order': False, 'shape': {}, }}", dtype.descr(), tuple(shape));
    let before = MAGIC.len() + 4;
    // A line feed ends it, after as many spaces as alignment takes.
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    let mut header = Vec::with_capacity(before + length);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&[1, 0]);
    // A list or a matrix has a shape of some 45 characters at most: it fits into 128 bytes.
    header.extend_from_slice(&(length as u16).to_le_bytes());
    header.extend_from_slice(format!("{text:<width$}\n", width = length - 1).as_bytes());
    header
}

/// Reads the dictionary.
///
/// # Errors
/// Where it is not what it must be.
pub fn parse(text: &[u8]) -> Result<Header, SyntaxError> {
    let mut literal = Literal::new(text);
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    literal.expect(b'{', "expected {")?;
    while !literal.take(b'}') {
        let key = literal.string()?;
        literal.expect(b':', "expected :")?;
        let repeated = match key {
            b"descr" => descr.replace(literal.descr()?).is_some(),
            b"fortran_order" => fortran.replace(literal.boolean()?).is_some(),
            b"shape" => shape.replace(literal.shape()?).is_some(),
            _ => return Err(literal.wrong("a key that does not belong there")),
        };
        if repeated {
            return Err(literal.wrong("a key for the second time"));
        }
        if !literal.take(b',') {
            literal.expect(b'}', "expected , or }")?;
            break;
        }
    }
    literal.end()?;
    match (descr, fortran, shape) {
        (Some(descr), Some(fortran), Some(shape)) => Ok(Header { descr, fortran, shape }),
        _ => Err(literal.wrong("one of descr, fortran_order and shape is missing")),
    }
}

fn tuple(shape: &[u64]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(descr: &str, fortran: bool, shape: &[u64]) -> Header {
        Header { descr: descr.to_owned(), fortran, shape: shape.to_vec() }
    }

    #[test]
    fn what_numpy_writes_is_read() {
        for (text, expected) in [
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n",
                header("'<f8'", false, &[2, 3]),
            ),
            ("{'shape': (5,), 'fortran_order': True, 'descr': '<i8'}", header("'<i8'", true, &[5])),
            ("{\"descr\":\"|b1\",\"fortran_order\":False,\"shape\":()}", header("'|b1'", false, &[])),
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 4L), }",
                header("'<f8'", false, &[3, 4]),
            ),
            (
                "{'descr': [('}]', '<f8', (2,))], 'fortran_order': False, 'shape': (1,)}",
                header("[('}]', '<f8', (2,))]", false, &[1]),
            ),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_python_would_have_to_run_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "{'descr'",
            "{'descr': '<f8'",
            "{'descr': '<f8', 'fortran_order': False}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)} x",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2 3)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1.0,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551616,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': [2]}",
            "{'descr': '<f8', 'fortran_order': 0, 'shape': (2,)}",
            "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'more': 1}",
            "{'descr': '<f\\x38', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': [(, 'fortran_order': False, 'shape': (2,)}",
            "{'descr': __import__('os'), 'fortran_order': False, 'shape': (2,)}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_written_header_is_aligned_and_reads_back() {
        for shape in [vec![], vec![0], vec![7], vec![512, 512], vec![u64::MAX, u64::MAX]] {
            let bytes = encode(Number::F64, &shape);
            let (back, length) = read(&mut bytes.as_slice()).unwrap();
            assert_eq!((back, length), (header("'<f8'", false, &shape), bytes.len() as u64));
            assert!(bytes.len().is_multiple_of(ALIGNMENT) && bytes.ends_with(b"\n"));
        }
    }

    /// A header of version 1 with this text.
    fn bytes_of(text: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes(), text].concat()
    }

    #[test]
    fn all_versions_are_read_and_no_length_is_believed() {
        let text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}";
        for major in [2, 3] {
            let mut bytes = [MAGIC, &[major, 0], &(text.len() as u32).to_le_bytes(), text].concat();
            assert_eq!(read(&mut bytes.as_slice()).unwrap().1, 12 + text.len() as u64);
            bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(matches!(read(&mut bytes.as_slice()), Err(HeaderError::TooLong(u32::MAX))));
            bytes[8..12].copy_from_slice(&60_000u32.to_le_bytes());
            assert!(matches!(read(&mut bytes.as_slice()), Err(HeaderError::CutOff)));
        }
        let later = [MAGIC, &[4, 0, 0, 0]].concat();
        assert!(matches!(read(&mut later.as_slice()), Err(HeaderError::Version(4, 0))));
        for length in MAGIC.len()..bytes_of(text).len() {
            assert!(matches!(read(&mut &bytes_of(text)[..length]), Err(HeaderError::CutOff)), "{length}");
        }
        for short in [&b""[..], b"\x93NUMP", b"\x93NUMPX\x01\x00\x00\x00", b"PK\x03\x04 a zip file"] {
            assert!(matches!(read(&mut &*short), Err(HeaderError::NotNpy)), "{short:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = read(&mut bytes.as_slice());
        }

        #[test]
        fn nor_do_bytes_that_look_like_a_header(text in "[\\{\\}\\[\\]\\(\\)',:LTrueFalsdcpo_ 0-9<f8\\\\\"]{0,80}") {
            let _ = parse(text.as_bytes());
            let _ = parse(format!("{{'descr': {text}, 'shape': (1,)").as_bytes());
        }
    }
}
