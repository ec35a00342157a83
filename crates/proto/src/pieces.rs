//! Small pieces of bytes, many of them to an allocation.
//!
//! The heads of tiny tasks are made on one thread and dropped on another; an allocation for each, and the allocator's
//! lock for each, would cost more than all else that happens to them. Pieces share blocks instead. A piece keeps its
//! block, so blocks are small, and what is not small has an allocation of its own.

use bytes::{BufMut, Bytes, BytesMut, buf::Writer};
use std::cell::Cell;

/// A block's size.
const BLOCK: usize = 16 * 1024;
/// The longest piece that goes into a block with others.
const PIECE: usize = 1024;

thread_local! {
    /// The rest of the block that this thread cuts pieces from.
    static REST: Cell<BytesMut> = Cell::default();
}

/// A copy of these bytes.
pub(crate) fn copied(bytes: &[u8]) -> Bytes {
    if bytes.len() > PIECE {
        return Bytes::copy_from_slice(bytes);
    }
    let mut rest = rest();
    rest.put_slice(bytes);
    let piece = rest.split().freeze();
    REST.set(rest);
    piece
}

/// What `write` writes.
pub(crate) fn written<E>(write: impl FnOnce(&mut Writer<BytesMut>) -> Result<(), E>) -> Result<Bytes, E> {
    // Taken and not borrowed: what writes may itself want a piece.
    let rest = rest();
    let room = rest.capacity();
    let mut writer = rest.writer();
    let result = write(&mut writer);
    let mut rest = writer.into_inner();
    let piece = rest.split().freeze();
    // A block that a long piece has had replaced by a larger one goes with that piece.
    if piece.len() <= room {
        REST.set(rest);
    }
    result.map(|()| piece)
}

fn rest() -> BytesMut {
    let mut rest = REST.take();
    if rest.capacity() < PIECE {
        // The same block again, once all its pieces are gone.
        rest.reserve(BLOCK);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text(text: &str) -> Bytes {
        written(|out| out.write_all(text.as_bytes())).unwrap()
    }

    #[test]
    fn pieces_are_what_was_put_into_them_however_long_and_nested() {
        let long = "x".repeat(100_000);
        let mut pieces = Vec::new();
        for n in 0..5_000 {
            pieces.push((copied(n.to_string().as_bytes()), n.to_string()));
            if n % 100 == 0 {
                let nested = written(|out| {
                    out.write_all(b"a")?;
                    pieces.push((text("inner"), "inner".to_owned()));
                    out.write_all(b"b")
                });
                pieces.push((nested.unwrap(), "ab".to_owned()));
                pieces.push((text(&long), long.clone()));
                pieces.push((copied(long.as_bytes()), long.clone()));
            }
        }
        assert!(pieces.iter().all(|(piece, text)| piece == text.as_bytes()));
    }

    #[test]
    fn a_failed_piece_leaves_nothing_behind() {
        let failed = written(|out| out.write_all(b"half").and(Err(std::io::Error::other("no"))));
        assert!(failed.is_err());
        assert_eq!(text("whole"), "whole");
    }

    #[test]
    fn a_long_piece_leaves_no_large_block_behind() {
        drop(text(&"x".repeat(1 << 20)));
        assert!(rest().capacity() <= 2 * BLOCK);
    }
}
