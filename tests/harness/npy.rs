//! `.npy` files, as NumPy 1.0 of the format describes them: just enough to write inputs and to read outputs.

/// Writes a C-ordered array; `descr` is NumPy's name of the element type, as `<f8`.
pub fn encode<const N: usize>(
    descr: &str,
    shape: &[usize],
    elements: impl IntoIterator<Item = [u8; N]>,
) -> Vec<u8> {
    let shape: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data begin at a multiple of 64 bytes; the header ends in a line feed.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(length).expect("the header is short").to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).into_bytes());
    bytes.extend(elements.into_iter().flatten());
    bytes
}

/// Reads an array of elements of `N` bytes: its type, its shape, and the elements in C order.
///
/// # Panics
/// When it is not one.
pub fn decode<const N: usize>(bytes: &[u8]) -> (String, Vec<usize>, Vec<[u8; N]>) {
    assert_eq!(bytes.get(..6), Some(&b"\x93NUMPY"[..]), "not an .npy file");
    let (begin, length) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
    };
    let (header, data) = bytes[begin..].split_at(length);
    let header = str::from_utf8(header).expect("the header is text");
    let field = |name: &str, open: char, close: char| {
        let rest = header.split_once(name).and_then(|(_, rest)| rest.split_once(open));
        let value = rest.and_then(|(_, rest)| rest.split_once(close)).map(|(value, _)| value);
        value.unwrap_or_else(|| panic!("no {name} in {header}"))
    };
    assert!(header.contains("'fortran_order': False"), "not in C order: {header}");
    let extent = |text: &str| text.trim().parse().expect("an extent is a number");
    let shape =
        field("'shape'", '(', ')').split(',').filter(|text| !text.trim().is_empty()).map(extent).collect();
    let (elements, rest) = data.as_chunks::<N>();
    assert!(rest.is_empty(), "{} bytes are not whole elements of {N}", data.len());
    (field("'descr':", '\'', '\'').to_owned(), shape, elements.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = encode("<f8", &[2, 3], (0..6).map(|x| f64::from(x).to_le_bytes()));
        assert_eq!((bytes.len() - 6 * 8) % 64, 0);
        let (descr, shape, elements) = decode::<8>(&bytes);
        assert_eq!((descr.as_str(), shape), ("<f8", vec![2, 3]));
        assert_eq!(f64::from_le_bytes(elements[5]), 5.0);
        let one = encode("<i8", &[1], [7i64.to_le_bytes()]);
        assert!(
            String::from_utf8_lossy(&one)
                .contains("{'descr': '<i8', 'fortran_order': False, 'shape': (1, ), }")
        );
    }
}
