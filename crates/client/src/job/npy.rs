//! NumPy's `.npy` files, the part of them that tasks take: lists of 64-bit integers, with or without a sign, or of
//! doubles, and matrices of doubles or of floats of 32 bits.
//!
//! A file's header is hostile until it is read: [`header`] bounds and parses it, and nothing is allocated
//! before the shape it claims is known to be that of the file's size. The numbers are then read straight into
//! the aligned vector that the task ships, and written straight from the one that came back.
//! The format is NEP 1's (<https://numpy.org/neps/nep-0001-npy-format.html>), versions 1, 2 and 3.

use super::{fields::shorten, replace::Destination};
use bytemuck::{Pod, allocation::try_zeroed_vec, cast_slice, cast_slice_mut};
use header::{Dtype, Header, HeaderError};
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        matmul::{Element, Matrix},
        sort::{Keys, Number},
    },
    task::{ErrorCode, TaskError},
    worker::MAX_MESSAGE,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

pub mod header;
pub mod literal;

/// Why a file does not give an array.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct NpyError {
    path: PathBuf,
    reason: Reason,
}

/// What a matrix is.
const MATRIX: &str = "a matrix is two-dimensional, of dtype '<f8' or '<f4'";

/// What a list is.
const LIST: &str = "a list is one-dimensional, of dtype '<i8', '<u8' or '<f8'";

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("not a regular file")]
    NotAFile,
    #[error("it became shorter while it was read")]
    Shrunk,
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("its dtype is {dtype} and its shape {shape}; {wanted}")]
    Unsupported { dtype: String, shape: String, wanted: &'static str },
    #[error("its shape {shape} needs {needed} bytes of numbers, and the file has {found}")]
    Size { shape: String, needed: u128, found: u64 },
    #[error("its {0} bytes of numbers are more than one task can take ({MAX_MESSAGE} bytes)")]
    TooLarge(u64),
    #[error("there is no memory for its {0} bytes of numbers")]
    Memory(usize),
}

impl From<NpyError> for TaskError {
    fn from(error: NpyError) -> Self {
        let code = match error.reason {
            Reason::TooLarge(_) | Reason::Memory(_) => ErrorCode::TooLarge,
            _ => ErrorCode::InvalidInput,
        };
        Self::new(code, error.to_string())
    }
}

/// Reads a matrix, in C or in Fortran order.
///
/// # Errors
/// The file cannot be read, is no `.npy` file, holds something else, or is shorter or longer than its header says.
pub fn read_matrix(path: &Path) -> Result<Matrix, NpyError> {
    let read = || {
        let (header, mut file, size) = open(path)?;
        let (element, rows, columns) = match (header.dtype::<Element>(), header.shape.as_slice()) {
            (Some(element), &[rows, columns]) => (element, rows, columns),
            _ => return Err(unsupported(&header, MATRIX)),
        };
        let bytes = bytes(&header, element, size)?;
        let words = words(&mut file, bytes)?;
        let words = match element {
            _ if !header.fortran => words,
            Element::F64 => row_major::<f64>(&words, rows, columns),
            Element::F32 => row_major::<f32>(&words, rows, columns),
        };
        // There are as many words as that takes.
        let elements = Buffer::from_words(words, bytes as usize).unwrap_or_else(Buffer::from_scalars);
        Ok(Matrix { element, rows, columns, elements })
    };
    read().map_err(|reason| NpyError { path: path.to_owned(), reason })
}

/// Reads a list of 64-bit integers or doubles, as keys.
///
/// # Errors
/// As for [`read_matrix`].
pub fn read_list(path: &Path) -> Result<Keys, NpyError> {
    let Unread { number, count, mut file } = open_list(path)?;
    let read = words(&mut file, count.saturating_mul(8))
        .map(|words| Keys::Numbers { number, buffer: Buffer::from_scalars(words) });
    read.map_err(|reason| NpyError { path: path.to_owned(), reason })
}

/// A list of numbers in a file that is still to be read.
#[derive(Debug)]
pub struct Unread {
    /// Of which type.
    pub number: Number,
    /// How many.
    pub count: u64,
    /// The file, where the numbers begin.
    pub file: File,
}

/// Opens a list of 64-bit integers or doubles, however long.
///
/// # Errors
/// As for [`read_matrix`].
pub fn open_list(path: &Path) -> Result<Unread, NpyError> {
    let open = || {
        let (header, file, size) = open(path)?;
        match (header.dtype::<Number>(), header.shape.as_slice()) {
            (Some(number), &[count]) => {
                bytes(&header, number, size)?;
                Ok(Unread { number, count, file })
            }
            _ => Err(unsupported(&header, LIST)),
        }
    };
    open().map_err(|reason| NpyError { path: path.to_owned(), reason })
}

/// Writes an array in C order: numbers of this type, as little-endian bytes, of this shape.
///
/// # Errors
/// `invalid-input`: the file cannot be written; an old one is then as it was.
pub fn write(to: &Destination, dtype: impl Dtype, shape: &[u64], bytes: &[u8]) -> Result<(), TaskError> {
    to.write(&[&header::encode(dtype, shape), bytes])
}

/// Opens a file and reads its header. The third is how many bytes follow.
fn open(path: &Path) -> Result<(Header, File, u64), Reason> {
    // Asked before opening, because opening a pipe waits for its writer.
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(Reason::NotAFile);
    }
    let mut file = File::open(path)?;
    let (header, length) = header::read(&mut file)?;
    Ok((header, file, about.len().saturating_sub(length)))
}

/// How many bytes of numbers there are, by the shape and by the file's size.
fn bytes(header: &Header, dtype: impl Dtype, size: u64) -> Result<u64, Reason> {
    let one = dtype.size() as u128;
    let needed = header.shape.iter().try_fold(one, |product, &n| product.checked_mul(n.into()));
    if needed != Some(size.into()) {
        let needed = needed.unwrap_or(u128::MAX);
        return Err(Reason::Size { shape: header.shown_shape(), needed, found: size });
    }
    Ok(size)
}

/// Reads so many bytes, into as many words as they take.
fn words(file: &mut File, bytes: u64) -> Result<Vec<u64>, Reason> {
    let len = match usize::try_from(bytes) {
        Ok(fits) if bytes <= MAX_MESSAGE => fits,
        _ => return Err(Reason::TooLarge(bytes)),
    };
    let mut words = try_zeroed_vec(len.div_ceil(size_of::<u64>())).map_err(|()| Reason::Memory(len))?;
    match file.read_exact(&mut cast_slice_mut(&mut words)[..len]) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Reason::Shrunk),
        read => Ok(read.map(|()| words)?),
    }
}

fn unsupported(header: &Header, wanted: &'static str) -> Reason {
    let dtype: String = header.descr.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Reason::Unsupported { dtype: shorten(&dtype).into_owned(), shape: header.shown_shape(), wanted }
}

/// Columns of numbers one after the other, in words, as rows one after the other.
fn row_major<T: Pod>(columns_first: &[u64], rows: u64, columns: u64) -> Vec<u64> {
    // Both fit: there are as many numbers, or none at all.
    let (rows, columns) = (rows as usize, columns as usize);
    // Square blocks, so that a cache line that is fetched is used whole, on both sides, before it has to go.
    const BLOCK: usize = 32;
    let mut words = vec![0; columns_first.len()];
    if words.is_empty() {
        return words;
    }
    let (columns_first, out) = (cast_slice::<u64, T>(columns_first), cast_slice_mut::<u64, T>(&mut words));
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for row in top..rows.min(top + BLOCK) {
                for column in left..columns.min(left + BLOCK) {
                    out[row * columns + column] = columns_first[column * rows + row];
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::buffer::Scalar;

    /// A version 1 file with this header text, padded as NumPy pads it.
    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        let text = format!("{header:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(body);
        bytes
    }

    fn doubles(numbers: &[f64]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn list<T: Scalar>(number: Number, numbers: Vec<T>) -> Keys {
        Keys::Numbers { number, buffer: Buffer::from_scalars(numbers) }
    }

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join("x.npy");
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    #[test]
    fn a_matrix_reads_the_same_in_both_orders() {
        let home = Home::new();
        let elements = Buffer::from_scalars(vec![1.0, 2., 3., 4., 5., 6.]);
        let expected = Matrix { element: Element::F64, rows: 2, columns: 3, elements };
        let c = file(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
            &doubles(&[1., 2., 3., 4., 5., 6.]),
        );
        let f = file(
            "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }",
            &doubles(&[1., 4., 2., 5., 3., 6.]),
        );
        assert_eq!(read_matrix(&home.put(&c)).unwrap(), expected);
        assert_eq!(read_matrix(&home.put(&f)).unwrap(), expected);
    }

    #[test]
    fn floats_are_read_in_both_orders_whatever_their_number() {
        let home = Home::new();
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let rows = [1., -2.5, 3., f32::MAX, 5., 1e-45, 7., 8., 9.0];
        let columns = [1., f32::MAX, 7., -2.5, 5., 8., 3., 1e-45, 9.0];
        for (fortran, numbers) in [("False", rows), ("True", columns)] {
            let header = format!("{{'descr': '<f4', 'fortran_order': {fortran}, 'shape': (3, 3), }}");
            let matrix = read_matrix(&home.put(&file(&header, &bytes(&numbers)))).unwrap();
            assert!(matrix.element == Element::F32 && matrix.is_whole());
            assert_eq!(matrix.elements.scalars::<f32>().unwrap().as_ref(), rows);
            let to = Destination::new(&home.0.path().join("y.npy")).unwrap();
            write(&to, Element::F32, &[3, 3], matrix.elements.as_bytes()).unwrap();
            assert_eq!(read_matrix(&home.0.path().join("y.npy")).unwrap(), matrix);
        }
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }";
        let error = read_matrix(&home.put(&file(header, &[0; 72]))).unwrap_err();
        assert!(error.to_string().contains("needs 36 bytes of numbers, and the file has 72"), "{error}");
    }

    #[test]
    fn a_list_keeps_its_type_and_every_bit() {
        let home = Home::new();
        let nan = f64::from_bits(0x7ff8_0000_0000_1234);
        let bytes = file(
            "{'descr': '<f8', 'fortran_order': True, 'shape': (3,), }",
            &doubles(&[nan, -0.0, f64::INFINITY]),
        );
        assert_eq!(read_list(&home.put(&bytes)).unwrap(), list(Number::F64, vec![nan, -0.0, f64::INFINITY]));
        let bytes = file("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", &[0xff; 16]);
        assert_eq!(read_list(&home.put(&bytes)).unwrap(), list(Number::I64, vec![-1i64, -1]));
        let bytes = file("{'descr': '<u8', 'fortran_order': False, 'shape': (2,), }", &[0xff; 16]);
        assert_eq!(read_list(&home.put(&bytes)).unwrap(), list(Number::U64, vec![u64::MAX, u64::MAX]));
        let bytes = file("{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }", &[]);
        assert_eq!(read_list(&home.put(&bytes)).unwrap(), list::<i64>(Number::I64, vec![]));
    }

    #[test]
    fn what_is_not_supported_is_named_with_dtype_shape_and_path() {
        let home = Home::new();
        for (descr, shape, shown) in [
            ("'<f2'", "(2, 2)", "its dtype is '<f2' and its shape (2, 2)"),
            ("'>f8'", "(2, 2)", "its dtype is '>f8' and its shape (2, 2)"),
            ("'<f8'", "(4,)", "its dtype is '<f8' and its shape (4,)"),
            ("'<f8'", "(1, 2, 2)", "its dtype is '<f8' and its shape (1, 2, 2)"),
            ("'<f8'", "()", "its dtype is '<f8' and its shape ()"),
            (
                "[('a', '<f8'), ('b', '<i4', (2,))]",
                "(4,)",
                "its dtype is [('a', '<f8'), ('b', '<i4', (2,))] and",
            ),
        ] {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
            let path = home.put(&file(&header, &[0; 32]));
            let error = TaskError::from(read_matrix(&path).unwrap_err());
            assert_eq!(error.code, ErrorCode::InvalidInput);
            assert!(error.message.starts_with(&format!("{}: {shown}", path.display())), "{error}");
            assert!(read_list(&path).is_err() || shape == "(4,)", "{header}");
        }
    }

    #[test]
    fn a_shape_that_is_not_the_size_of_the_file_allocates_nothing() {
        let home = Home::new();
        for (shape, body) in [
            ("(2, 2)", 31),
            ("(2, 2)", 33),
            ("(2, 2)", 0),
            ("(4000000000, 4000000000)", 8),
            ("(18446744073709551615, 18446744073709551615)", 8),
            ("(2305843009213693952, 1)", 0),
            ("(0, 5)", 8),
        ] {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
            let error = read_matrix(&home.put(&file(&header, &vec![0; body]))).unwrap_err();
            assert!(matches!(error.reason, Reason::Size { .. }), "{shape}: {error}");
        }
        let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (18446744073709551615, 0), }";
        assert!(read_matrix(&home.put(&file(header, &[]))).unwrap().elements.is_empty());
    }

    #[test]
    fn a_file_that_no_message_could_carry_is_too_large_before_it_is_read() {
        let home = Home::new();
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1), }";
        let path = home.put(&file(header, &[]));
        // A hole: it takes no room on the disk.
        File::options().write(true).open(&path).unwrap().set_len(128 + (1 << 43)).unwrap();
        let error = TaskError::from(read_matrix(&path).unwrap_err());
        assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    }

    #[test]
    fn what_is_no_file_is_said_so() {
        let home = Home::new();
        assert!(read_list(home.0.path()).unwrap_err().to_string().ends_with(": not a regular file"));
        assert!(read_list(Path::new("/dev/zero")).unwrap_err().to_string().ends_with(": not a regular file"));
        let missing = home.0.path().join("missing.npy");
        let error = read_matrix(&missing).unwrap_err().to_string();
        assert_eq!(error, format!("{}: No such file or directory (os error 2)", missing.display()));
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back_to_the_bit(rows in 0u64..40, columns in 0u64..40, seed: u64) {
            let home = Home::new();
            let bits = (0..rows * columns).map(|i| sgdt_proto::kind::random::word(seed, i));
            let elements: Vec<u64> = bits.collect();
            let path = home.0.path().join("c.npy");
            let to = Destination::new(&path).unwrap();
            write(&to, Element::F64, &[rows, columns], cast_slice(&elements)).unwrap();
            let back = read_matrix(&path).unwrap();
            prop_assert_eq!((back.element, back.rows, back.columns), (Element::F64, rows, columns));
            prop_assert_eq!(back.elements.as_bytes(), cast_slice::<u64, u8>(&elements));
        }

        #[test]
        fn transposing_moves_every_element(rows in 1u64..100, columns in 1u64..100) {
            let fortran: Vec<u64> = (0..rows * columns).map(|i| i % rows * 1000 + i / rows).collect();
            let expected: Vec<u64> = (0..rows * columns).map(|i| i / columns * 1000 + i % columns).collect();
            prop_assert_eq!(row_major::<u64>(&fortran, rows, columns), expected);
        }
    }
}
